"""A running trial as plain lines: one for each thing that happens, none for a sample."""

from __future__ import annotations

from typing import TextIO

from harness.model.events import (
    FaultStep,
    InfraFailure,
    Lag,
    LoadLimit,
    Note,
    Payload,
    Phase,
    RecoveryStep,
    WatchOpinion,
)
from harness.model.finding import Finding
from harness.model.history import Event
from harness.results.text import plain_line

# A console under memory pressure can report without end; its findings are in the history and the report.
MOST_FINDINGS = 20


def describe(event: Event) -> str | None:
    """`event` in one line, or None if it is a sample or otherwise nothing to tell."""
    text = _words(event.payload)
    if text is None:
        return None
    prefix = f"{event.host}: " if event.host else ""
    return plain_line(prefix + text)


class LineView:
    """An observer that writes a line for every phase, change of opinion, finding and fault.

    `prefix` is put before each line: the name of the test where several run at once.
    """

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        self._stream = stream
        self._prefix = f"{prefix}: " if prefix else ""
        self._opinion = ""
        self._findings = 0

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def on_event(self, event: Event) -> None:
        """See `Observer.on_event`."""
        if self._is_repetition(event):
            return
        line = describe(event)
        if line is not None:
            self.write(f"{event.t:7.1f} s  {line}")

    def write(self, line: str) -> None:
        """Write one line, in one piece: other processes may write to the same terminal."""
        self._stream.write(f"{self._prefix}{line}\n")
        self._stream.flush()

    def _is_repetition(self, event: Event) -> bool:
        if isinstance(opinion := event.payload, WatchOpinion):
            before, self._opinion = self._opinion, opinion.state
            return before == self._opinion
        if isinstance(event.payload, Finding):
            self._findings += 1
            if self._findings == MOST_FINDINGS + 1:
                self.write(f"{event.t:7.1f} s  further console findings go to the history only")
            return self._findings > MOST_FINDINGS
        return False


def _words(payload: Payload) -> str | None:
    match payload:
        case Phase():
            return f"phase {payload.name}" if payload.begins else None
        case WatchOpinion():
            return f"watch: {payload.state}" + (f": {payload.why}" if payload.why else "")
        case Finding():
            return f"console: {payload.kind}: {payload.title}"
        case FaultStep():
            return f"fault {payload.name}: {payload.action}"
        case RecoveryStep():
            answer = "recovered" if payload.recovered else "not recovered"
            return f"recovery probe: {payload.step}, {answer}" + (f": {payload.detail}" if payload.detail else "")
    return _harness_words(payload)


def _harness_words(payload: Payload) -> str | None:
    """What the harness says of itself."""
    match payload:
        case LoadLimit():
            return f"the load's time is over ({payload.seconds} s)"
        case Lag():
            return f"the harness itself did not run for {payload.seconds} s"
        case InfraFailure():
            return f"harness: {payload.error}"
        case Note():
            return payload.text
    return None
