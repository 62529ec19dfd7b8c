"""Claims of a comparison that may stop at any time, and their error rates; cheap to import."""

from __future__ import annotations

from enum import StrEnum

ALPHA = 0.05  # a difference is claimed at most that often if there is none
BETA = 0.10  # "no difference worth knowing" is claimed at most that often if the rates differ by the gap or more
GAP = 0.30
MOST = 60  # pairs


class Decision(StrEnum):
    """The claim that the pairs so far allow."""

    DIFFERENT = "different"
    ALIKE = "alike"
    OPEN = "open"
