"""A running trial as plain lines: one for each thing that happens, none for a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from harness.model.history import Event, Kind
from harness.results.text import plain_line

# A console under memory pressure can report without end; its findings are in the history and the report.
MOST_FINDINGS = 20


def describe(event: Event) -> str | None:
    """`event` in one line, or None if it is a sample or otherwise nothing to tell."""
    words = _WORDS.get(event.kind)
    text = words(event) if words is not None else None
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
        if event.kind is Kind.OPINION:
            before, self._opinion = self._opinion, str(event.data.get("state", ""))
            return before == self._opinion
        if event.kind is Kind.CONSOLE:
            self._findings += 1
            if self._findings == MOST_FINDINGS + 1:
                self.write(f"{event.t:7.1f} s  further console findings go to the history only")
            return self._findings > MOST_FINDINGS
        return False


def _phase(event: Event) -> str | None:
    return f"phase {event.data.get('name')}" if event.data.get("state") == "begin" else None


def _opinion(event: Event) -> str:
    why = event.data.get("why")
    return f"watch: {event.data.get('state')}" + (f": {why}" if why else "")


def _console(event: Event) -> str:
    return f"console: {event.data.get('kind')}: {event.data.get('title')}"


def _fault(event: Event) -> str:
    return f"fault {event.data.get('name')}: {event.data.get('action')}"


def _recovery(event: Event) -> str:
    detail = event.data.get("detail")
    answer = "recovered" if event.data.get("recovered") else "not recovered"
    return f"recovery probe: {event.data.get('step')}, {answer}" + (f": {detail}" if detail else "")


def _limit(event: Event) -> str:
    return f"the load's time is over ({event.data.get('seconds')} s)"


def _lag(event: Event) -> str:
    return f"the harness itself did not run for {event.data.get('seconds')} s"


def _infra(event: Event) -> str:
    return f"harness: {event.data.get('error')}"


def _note(event: Event) -> str:
    return str(event.data.get("text"))


_WORDS: dict[Kind, Callable[[Event], str | None]] = {
    Kind.PHASE: _phase,
    Kind.OPINION: _opinion,
    Kind.CONSOLE: _console,
    Kind.FAULT: _fault,
    Kind.RECOVERY: _recovery,
    Kind.LIMIT: _limit,
    Kind.LAG: _lag,
    Kind.INFRA: _infra,
    Kind.NOTE: _note,
}
