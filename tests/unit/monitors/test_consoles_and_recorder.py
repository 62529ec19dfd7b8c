"""The console reader and the recorder: what is said goes into the history, in order, once."""

from __future__ import annotations

import threading

import pytest
from fakes import FakeClock, Log

from harness.model.events import Counters, Note
from harness.model.finding import Finding, FindingKind
from harness.model.history import Event, Kind
from harness.model.opinion import Opinion, State
from harness.monitors.consoles import ConsoleReader
from harness.monitors.recorder import Recorder
from harness.verdicts.console import Scanner


class FakeScanner:
    """Every line is a finding; what comes after the last newline is under way."""

    def __init__(self) -> None:
        self.rest = b""

    def _finding(self, line: bytes) -> Finding:
        return Finding(kind=FindingKind.PANIC if b"panic" in line else FindingKind.WARNING, title=line.decode(), line=1)

    def feed(self, data: bytes) -> list[Finding]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [self._finding(line) for line in lines]

    def close(self) -> list[Finding]:
        rest, self.rest = self.rest, b""
        return [self._finding(rest)] if rest else []

    @property
    def pending(self) -> Finding | None:
        return self._finding(self.rest) if self.rest else None


def test_findings_become_events_and_a_crash_shows_before_its_end() -> None:
    log = Log(FakeClock())
    reader = ConsoleReader("c1", log.recorder, FakeScanner())
    reader.listen(b"one\nKernel ")
    crashing = [reader.crashing]
    reader.listen(b"panic")
    assert [*crashing, reader.crashing] == [False, True]
    reader.close()
    reader.close()
    reader.listen(b"after the end\n")
    assert [event.data["title"] for event in log.of(Kind.CONSOLE, "c1")] == ["one", "Kernel panic"]
    assert log.of(Kind.CONSOLE)[1].data["kind"] == "panic"


def test_the_real_scanner_fits() -> None:
    log = Log(FakeClock())
    reader = ConsoleReader("c1", log.recorder, Scanner())
    reader.listen(b"[    9.100000] Kernel panic - not syncing: Attempted to kill init!\r\n")
    assert reader.crashing
    reader.close()
    assert log.of(Kind.CONSOLE)[0].data["kind"] == "panic"


def test_events_carry_the_time_of_the_trial_and_opinions_only_when_they_change() -> None:
    clock = FakeClock(500.0)
    seen: list[Event] = []
    thoughts = iter([State.IDLE, State.IDLE, State.RUNNING])
    recorder = Recorder(seen.append, lambda event: Opinion(next(thoughts), event.t, "so"), (), clock)
    for _ in range(3):
        clock.sleep(1.0)
        recorder.emit(Note(text="x"))
    kinds = [event.kind for event in seen]
    assert kinds == [Kind.NOTE, Kind.OPINION, Kind.NOTE, Kind.NOTE, Kind.OPINION]
    assert [event.t for event in seen] == [1.0, 1.0, 2.0, 3.0, 3.0] and recorder.now == 3.0
    assert seen[-1].data["state"] == "running"


def test_data_may_have_the_names_of_the_parameters() -> None:
    log = Log(FakeClock())
    log.recorder.emit(Counters({"kind": 1, "host": 2}), "c1")
    assert dict(log.events[0].data) == {"kind": 1, "host": 2} and log.events[0].host == "c1"


def test_many_threads_one_order() -> None:
    log = Log(FakeClock())

    def say(name: int) -> None:
        for number in range(50):
            log.recorder.emit(Note(text=str(number)), f"h{name}")

    threads = [threading.Thread(target=say, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(4):
        assert [event.data["text"] for event in log.of(Kind.NOTE, f"h{name}")] == [str(n) for n in range(50)]


def test_a_history_that_cannot_be_written_is_told_to_who_emits() -> None:
    def full(event: Event) -> None:
        raise OSError("No space left on device")

    recorder = Recorder(full, lambda event: Opinion(State.IDLE, 0.0, ""), (), FakeClock())
    with pytest.raises(OSError, match="No space"):
        recorder.emit(Note(text="x"))
