"""The plan of a bisection, stored in the run's folder; with the log, it suffices to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.bisect.candidates import Candidates
from harness.bisect.signature import read_signature
from harness.bisect.state import Setting
from harness.model.errors import UsageError
from harness.results.files import DamagedResult, read_json, write_json

NAME = "bisect.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A bisection: of `case`, begun in `folder` with the options `given`.

    `tree` is the git tree, `build` the command that builds a commit, `side` the text of a built commit's side; all are
    empty if no tree is bisected.
    """

    case: str
    folder: str
    candidates: Candidates
    confidence: float
    rate: float | None = None
    signature: str = ""
    tree: str = ""
    build: str = ""
    side: str = ""
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def setting(self) -> Setting:
        """The user's settings."""
        signature = read_signature(self.signature) if self.signature else None
        return Setting(confidence=self.confidence, rate=self.rate, signature=signature)


def write_plan(run: Path, plan: Plan) -> None:
    """Write `plan` into the folder `run`; raises HostEnvironmentError."""
    write_json(run / NAME, asdict(plan))


def read_plan(run: Path) -> Plan:
    """Read what `write_plan` wrote; raises UsageError if the run is no bisection."""
    path = run / NAME
    try:
        record: dict[str, Any] = read_json(path)
        return Plan(**{**record, "candidates": Candidates.from_dict(record["candidates"])})
    except FileNotFoundError as error:
        raise UsageError(f"{run}: no bisection (it has no {NAME}); see `harness run --resume`") from error
    except (KeyError, TypeError) as error:
        raise DamagedResult(path=path, problem=f"not what a bisection was begun with ({error!r})") from error
