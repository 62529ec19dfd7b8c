"""Console readers: they scan console output as it arrives, and record findings in the history."""

from __future__ import annotations

import threading
from typing import Protocol

from harness.model.finding import CRASHES, Finding
from harness.monitors.recorder import Recorder


class Scanner(Protocol):
    """Turns bytes of a console into findings; `harness.verdicts.console.Scanner` is one."""

    def feed(self, data: bytes) -> list[Finding]:
        """The findings that are complete with `data`."""

    def close(self) -> list[Finding]:
        """The findings that were still incomplete."""

    @property
    def pending(self) -> Finding | None:
        """The finding that is not complete yet."""


class ConsoleReader:
    """Reads the console of one host. `listen` is called on the thread of its serial port."""

    def __init__(self, host: str, recorder: Recorder, scanner: Scanner) -> None:
        self._host, self._recorder, self._scanner = host, recorder, scanner
        self._lock = threading.Lock()
        self._closed = False

    def listen(self, data: bytes) -> None:
        """Take in console output."""
        with self._lock:
            if not self._closed:
                self._emit(self._scanner.feed(data))

    @property
    def crashing(self) -> bool:
        """Whether a crash report has begun; a kernel that panics may never print its end."""
        with self._lock:
            pending = self._scanner.pending
            return pending is not None and pending.kind in CRASHES

    def close(self) -> None:
        """Finish the report that is under way."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._emit(self._scanner.close())

    def _emit(self, findings: list[Finding]) -> None:
        for finding in findings:
            self._recorder.emit(finding, self._host)
