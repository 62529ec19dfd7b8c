"""Obligations of runs: noted before the thing exists, and again once it is gone; `obligations.jsonl` of a run's folder.

A process killed in between leaves one note too many, never one too few. The reaper meets what is still owed then.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.model.errors import HostEnvironmentError
from harness.model.obligation import Obligation
from harness.state.locks import explained

OBLIGATIONS = "obligations.jsonl"


def owe(obligation: Obligation) -> None:
    """Note an obligation before the thing is made; if this raises HostEnvironmentError, it must not be made."""
    _append(obligation, met=False)


def meet(obligation: Obligation) -> None:
    """Note that an obligation is met, once the thing is known to be gone; never raises.

    If the note cannot be written, the reaper later looks for the thing and finds nothing.
    """
    with suppress(HostEnvironmentError):
        _append(obligation, met=True)


def owed(run: Path) -> tuple[Obligation, ...]:
    """Obligations that the run at `run` has not met, in the order in which they were noted."""
    try:
        lines = (run / OBLIGATIONS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    found: list[Obligation] = []
    for line in lines:
        record = _record(line)
        if (obligation := _obligation(run, record)) is None:
            continue
        if obligation in found:
            found.remove(obligation)
        if record["met"] is False:
            found.append(obligation)
    return tuple(found)


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}  # a kill or a full disk cut it short: the thing was not made
    return record if isinstance(record, dict) else {}


def _obligation(run: Path, record: dict[str, Any]) -> Obligation | None:
    match record:
        case {"provider": str(provider), "kind": str(kind), "fields": dict(fields), "met": bool()}:
            return Obligation(run=run, provider=provider, kind=kind, fields={str(k): str(v) for k, v in fields.items()})
    return None


def _append(obligation: Obligation, *, met: bool) -> None:
    record = {"provider": obligation.provider, "kind": obligation.kind, "fields": dict(obligation.fields), "met": met}
    with explained(obligation.run), (obligation.run / OBLIGATIONS).open("a", encoding="utf-8") as file:
        # Begins a new line: the one before may have been cut short.
        file.write("\n" + json.dumps(record) + "\n")
