"""Owned hosts, as processes of this machine see them: who uses one, and which are in quarantine.

| path below the state folder | what it is |
| --- | --- |
| `hosts/<name>-<8 hex>.lock` | locked for as long as a process uses the host; the digits are of its SSH host key |
| `hosts/<name>-<8 hex>.quarantine` | why the host is used no more, until somebody has looked at it |

The lock keeps processes of this machine apart. The reservation on the host itself (`physical.reservation`) keeps
machines apart.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from harness.model.clock import Deadline
from harness.state.locks import describe, explained, held, read_record, try_lock
from harness.state.state import StateDir

FOLDER = "hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Why a host is used no more: `since` in seconds since the epoch, `evidence` a folder or "" if there is none."""

    reason: str
    since: float
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The files of one host in a state folder; `key` is its pinned SSH host key."""

    state: StateDir
    name: str
    key: str

    @property
    def _stem(self) -> Path:
        digest = sha256(" ".join(self.key.split()[:2]).encode()).hexdigest()[:8]
        return self.state.path / FOLDER / f"{self.name}-{digest}"

    @property
    def _lock(self) -> Path:
        return self._stem.with_suffix(".lock")

    @property
    def _quarantine(self) -> Path:
        return self._stem.with_suffix(".quarantine")

    def holder(self) -> str:
        """The process of this machine that uses the host, "" if none does."""
        try:
            descriptor = try_lock(self._lock, shared=True)
        except OSError:
            return ""
        if descriptor is None:
            return describe(read_record(self._lock))
        os.close(descriptor)
        return ""

    def held(self, purpose: str, deadline: Deadline, on_wait: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the host for the body; wait for the process that has it. Raises InfraError when the deadline passes."""
        self.state.folder(FOLDER)
        return held(self._lock, f"host {self.name}", purpose, deadline, on_wait)

    @property
    def quarantine(self) -> Quarantine | None:
        """Why the host is in quarantine; None if it is not."""
        try:
            record = json.loads(self._quarantine.read_bytes())
            return Quarantine(
                reason=str(record["reason"]), since=float(record["since"]), evidence=str(record["evidence"])
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return Quarantine(reason=f"{self._quarantine} cannot be read", since=0.0)

    def put_in_quarantine(self, reason: str, evidence: str = "") -> None:
        """Have nobody of this state folder use the host until `end_quarantine`."""
        self.state.folder(FOLDER)
        record = asdict(Quarantine(reason=reason, since=time.time(), evidence=evidence))
        with explained(self._quarantine):
            new = self._quarantine.with_suffix(".new")
            new.write_text(json.dumps(record) + "\n", encoding="utf-8")
            new.replace(self._quarantine)

    def end_quarantine(self) -> bool:
        """Use the host again; returns whether it was in quarantine."""
        with suppress(FileNotFoundError):
            self._quarantine.unlink()
            return True
        return False
