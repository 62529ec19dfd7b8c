"""Obligations: things outside its folder that a run must clean up, as data for the provider that can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One thing that the run at `run` must end; `provider` names the provider that can, `kind` is that provider's word.

    The fields suffice for another process to find the thing again when the run itself is dead.
    """

    run: Path
    provider: str
    kind: str
    fields: Mapping[str, str]
