"""The thread that looks at the hosts: what is said when it ends before its time, or stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from fakes import FakeClock, Log

from harness.model.clock import SYSTEM_CLOCK, Clock
from harness.model.errors import InfraError
from harness.model.history import Kind
from harness.monitors.ladder import HostMonitor
from harness.trial.ticker import BLIND_S, Ticker
from harness.verdicts.policy import Policy


class Monitor:
    """A host of which each look does what the test says."""

    def __init__(self, look: Callable[[], object]) -> None:
        self.look = look
        self.looks = 0

    def start(self) -> None:
        """Nothing runs in the background."""

    def stop(self) -> None:
        """Nothing runs in the background."""

    def tick(self) -> None:
        self.looks += 1
        self.look()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def _ticker(look: Callable[[], object], clock: Clock = SYSTEM_CLOCK) -> tuple[Ticker, Monitor, Log]:
    monitor, log = Monitor(look), Log(FakeClock(0.0), Policy())
    return Ticker([cast(HostMonitor, monitor)], log.recorder, clock), monitor, log


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "not within 20 s"
        time.sleep(0.01)


def test_hosts_are_looked_at_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.trial.ticker.PERIOD_S", 0.01)
    ticker, monitor, _ = _ticker(lambda: None)
    with ticker:
        _until(lambda: monitor.looks >= 2)
        ticker.check()
    assert "ticker" not in {thread.name for thread in threading.enumerate()}


def _fail() -> None:
    raise ValueError("not enough values to unpack")


def test_a_look_that_fails_is_no_survival() -> None:
    ticker, monitor, _ = _ticker(_fail)
    with pytest.raises(InfraError, match=r"not watched to the end: ValueError.*not enough values"), ticker:
        _until(lambda: monitor.looks == 1)


def test_a_look_that_fails_is_told_while_the_load_runs() -> None:
    ticker, monitor, _ = _ticker(_fail)
    with pytest.raises(InfraError, match="not watched"), ticker:
        _until(lambda: monitor.looks == 1)
        for _ in range(1000):
            ticker.check()
            time.sleep(0.01)


def test_the_error_of_the_experiment_goes_before_the_watchs() -> None:
    ticker, monitor, _ = _ticker(_fail)
    with pytest.raises(KeyError), ticker:
        _until(lambda: monitor.looks == 1)
        raise KeyError("first")


def test_a_look_that_does_not_end(released: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.trial.ticker.LAST_LOOK_S", 0.05)
    clock = FakeClock(0.0)
    ticker, monitor, _ = _ticker(released.wait, clock)
    with pytest.raises(InfraError, match=r"not sampled for 6\d s: a tick does not end"), ticker:
        _until(lambda: monitor.looks == 1)
        while clock.now < BLIND_S + 5.0:
            clock.sleep(0.25)
            ticker.check()
    assert BLIND_S < clock.now <= BLIND_S + 0.5


def test_a_machine_that_stood_still_is_not_blamed_on_the_look(released: threading.Event) -> None:
    clock = FakeClock(0.0)
    ticker, monitor, _ = _ticker(released.wait, clock)
    with ticker:
        _until(lambda: monitor.looks == 1)
        clock.sleep(10 * BLIND_S)
        ticker.check()
        released.set()


def test_a_late_look_is_noted(released: threading.Event) -> None:
    clock = FakeClock(0.0)
    ticker, monitor, log = _ticker(released.wait, clock)
    with ticker:
        _until(lambda: monitor.looks == 1)
        clock.sleep(10.0)
        released.set()
        _until(lambda: bool(log.of(Kind.LAG)))
    assert [event.data["seconds"] for event in log.of(Kind.LAG)] == [9.0]
