"""What a comparison that may stop at any time can claim, and how often it may be wrong; cheap to import."""

from __future__ import annotations

from enum import StrEnum

ALPHA = 0.05  # a difference is claimed at most that often where there is none
BETA = 0.10  # that none is worth knowing is claimed at most that often where rates differ by the gap or more
GAP = 0.30
MOST = 60  # pairs


class Decision(StrEnum):
    """What the pairs so far allow to say."""

    DIFFERENT = "different"
    ALIKE = "alike"
    OPEN = "open"
