"""What a run must not leave behind outside of its folder: data that its provider can act upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One thing that the run whose folder is `run` has to end; `provider` is the name of who can, `kind` its word.

    The fields say all that is needed to find the thing again, in another process, when the run itself is dead.
    """

    run: Path
    provider: str
    kind: str
    fields: Mapping[str, str]
