"""A verdict other than SURVIVED, as an exception for pytest.

VerdictError               a verdict other than SURVIVED, as an exception for pytest
├── HangDetected               STALLED, LIVELOCKED, DEADLOCKED, LOCKED_UP
├── CrashDetected              CRASHED
├── KilledByOOM                OOM_KILLED
├── IoFailed                   IO_FAILED
└── NoVerdict                  INCONCLUSIVE, LOST: an error of the trial, not a failure of the kernel
"""

from __future__ import annotations

from harness.model.verdict import Verdict, VerdictKind

__all__ = ["CrashDetected", "HangDetected", "IoFailed", "KilledByOOM", "NoVerdict", "VerdictError", "error_of"]


class VerdictError(AssertionError):
    """A trial ended with a verdict other than SURVIVED; `verdict` says which and why."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(f"{verdict.kind.value}: {verdict.summary}")


class HangDetected(VerdictError):
    """The kernel under test hung: STALLED, LIVELOCKED, DEADLOCKED or LOCKED_UP."""


class CrashDetected(VerdictError):
    """The kernel under test crashed."""


class KilledByOOM(VerdictError):
    """The OOM killer ended the workload or a daemon that the storage depends on."""


class IoFailed(VerdictError):
    """The kernel reported storage errors to the tasks that waited for I/O, and the workload ended because of them."""


class NoVerdict(VerdictError):
    """INCONCLUSIVE or LOST: an error of the trial, not a failure of the kernel."""


_ERRORS = {
    VerdictKind.CRASHED: CrashDetected,
    VerdictKind.OOM_KILLED: KilledByOOM,
    VerdictKind.IO_FAILED: IoFailed,
}


def error_of(verdict: Verdict) -> VerdictError | None:
    """The exception to raise for `verdict` in a test; None if the kernel survived."""
    if verdict.kind is VerdictKind.SURVIVED:
        return None
    if verdict.is_hang:
        return HangDetected(verdict)
    return _ERRORS.get(verdict.kind, NoVerdict)(verdict)
