"""Evidence of a host that hangs, collected before anything is reset.

Collecting never raises, and every step has a deadline. Kernel output is taken from the console as it arrives, so it
needs no working memory, disk or network on the host.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness.drivers.protocols import Completed, Keyboard, NmiInjector, Registers
from harness.model.clock import Clock, Deadline
from harness.model.errors import DeadlineExceeded, HarnessError
from harness.model.events import EvidencePiece
from harness.monitors.recorder import Recorder
from harness.site.target import Target

# Memory, blocked tasks, processors (an NMI to each), all tasks: from short to long.
SYSRQ_KEYS = ("m", "w", "l", "t")
SYSRQ_MARK = b"sysrq: "
NMI_MARK = b"NMI"
QUIET_S = 1.0
SYSRQ_S = 20.0
READ_S = 4.0
SHELL_S = 8.0
NOT_OFFERED = "the host does not offer it"
REFUSALS = 2  # files that may block: each takes one of the agent's two readers
LIMIT = 4 * 1024 * 1024
# `task:thrash  state:D stack:…`; kernels before 5.10 leave out both words.
BLOCKED_TASK = re.compile(rb"(?:task:)?(\S{1,15}) +(?:state:)?D +(?:stack:|\d)")


T = TypeVar("T")


class ConsoleTap:
    """Keeps the newest console output of one host, for callers that make the kernel print something."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buffer = bytearray()
        self._open = False
        self._heard = 0.0
        self._lock = threading.Lock()

    def listen(self, data: bytes) -> None:
        """Take in console output."""
        with self._lock:
            self._heard = self._clock.monotonic()
            if self._open and len(self._buffer) < LIMIT:
                self._buffer += data

    def begin(self) -> None:
        """Discard the output so far."""
        with self._lock:
            self._buffer.clear()
            self._open = True

    def until_quiet(self, mark: bytes, deadline: Deadline) -> bytes:
        """The output since `begin`, once it contains `mark` and has been quiet for a second."""
        first = deadline.within(3.0)
        while not deadline.passed:
            with self._lock:
                printed, quiet = mark in self._buffer, self._clock.monotonic() - self._heard
            if printed and quiet > QUIET_S:
                break
            if not printed and first.passed:
                break
            self._clock.sleep(0.05)
        with self._lock:
            self._open = False
            return bytes(self._buffer)


class Collector:
    """Collects the evidence of one host into a folder, and records each item in the history."""

    def __init__(self, target: Target, tap: ConsoleTap, folder: Path, recorder: Recorder, clock: Clock) -> None:
        self._target, self._tap, self._folder = target, tap, folder
        self._recorder, self._clock = recorder, clock

    def sysrq(
        self, load: Sequence[str] = (), *, agent: bool = True, keys: Sequence[str] = SYSRQ_KEYS, label: str = ""
    ) -> None:
        """Make the kernel print its state with sysrq; tries the agent, then the serial port, then the keyboard.

        `load` are names of tasks; the number of blocked ones is recorded. `agent=False` leaves out that channel.
        """
        for key in keys:
            name = f"{label}sysrq-{key}"
            for channel, press in self._channels(key)[0 if agent else 1 :]:
                self._tap.begin()
                try:
                    press()
                except HarnessError as error:
                    self._note(name, None, f"{channel}: {error}")
                    continue
                text = self._tap.until_quiet(SYSRQ_MARK, self._deadline(SYSRQ_S))
                if SYSRQ_MARK in text:
                    self._write(name, text, channel, _blocked_tasks(text, load) if key == "w" else None)
                    break
            else:
                self._note(name, None, "no channel for sysrq printed anything")

    def _channels(self, key: str) -> list[tuple[str, Callable[[], object]]]:
        """The channels that can send a sysrq key: the agent, and the others that the host offers."""
        target = self._target
        channels: list[tuple[str, Callable[[], object]]] = [
            ("agent", lambda: target.agent.ask("sysrq", key=key, deadline=self._deadline(SYSRQ_S)))
        ]
        if (console := target.console) is not None:
            channels.append(("serial break", lambda: self._outside("serial break", lambda: console.send_break(key))))
        if (keyboard := target.find(Keyboard)) is not None:
            channels.append(("keyboard", lambda: self._outside("keyboard", lambda: keyboard.send_sysrq(key))))
        return channels

    def nmi(self) -> None:
        """Send an NMI, which no mask blocks: a processor that prints something still executes."""
        injector = self._target.find(NmiInjector)
        if injector is None:
            self._note("nmi", None, NOT_OFFERED)
            return
        self._tap.begin()
        try:
            self._outside("nmi", injector.inject_nmi)
        except HarnessError as error:
            self._note("nmi", None, str(error))
            return
        self._write("nmi", self._tap.until_quiet(NMI_MARK, self._deadline(SYSRQ_S)), self._target.power.source)

    def registers(self) -> None:
        """Save the registers of the processors, read from outside."""
        registers = self._target.find(Registers)
        if registers is None:
            self._note("registers", None, NOT_OFFERED)
            return
        try:
            text = self._outside("registers", registers.registers)
            self._write("registers", text.encode(), self._target.power.source)
        except HarnessError as error:
            self._note("registers", None, str(error))

    def _outside(self, what: str, act: Callable[[], T]) -> T:
        """Act upon the host from outside; raises DeadlineExceeded if the call does not return in time."""
        done: list[T | Exception] = []

        def run() -> None:
            try:
                done.append(act())
            except Exception as error:
                done.append(error)

        thread = threading.Thread(target=run, name=f"{what} {self._target.name}", daemon=True)
        thread.start()
        thread.join(SYSRQ_S)
        if not done:
            problem = f"{self._target.power.source} does not answer"
            raise DeadlineExceeded(host=self._target.name, command=what, problem=problem)
        if isinstance(found := done[0], Exception):
            raise found
        return found

    def files(self, paths: Sequence[str], label: str = "") -> None:
        """Read files of the host through the agent; skip one that blocks, stop after two."""
        refused = 0
        for path in paths:
            name = label + path.strip("/").replace("/", "-")
            try:
                text = self._target.agent.ask("read", path=path, deadline=self._deadline(READ_S))
            except HarnessError as error:
                refused += "no answer" in str(error)
                self._note(name, None, str(error).splitlines()[0])
                if refused >= REFUSALS:
                    self._note("files", None, "the agent's readers are blocked; no more files")
                    return
                continue
            self._write(name, text.encode(), "agent")

    def command(self, name: str, command: str) -> None:
        """Save the output of a command, if SSH still answers."""
        try:
            done: Completed = self._target.shell.run(command, deadline=self._deadline(SHELL_S), check=False)
        except HarnessError as error:
            self._note(name, None, str(error).splitlines()[0])
            return
        self._write(name, (done.stdout + done.stderr).encode(), "ssh")

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self._clock)

    def _write(self, name: str, data: bytes, channel: str, waiting: int | None = None) -> None:
        path = self._folder / f"{self._target.name}.{name}.txt"
        try:
            path.write_bytes(data[:LIMIT])
        except OSError as error:
            self._note(name, None, str(error))
            return
        self._note(name, path, f"{len(data)} bytes over {channel}", waiting)

    def _note(self, name: str, path: Path | None, detail: str, waiting: int | None = None) -> None:
        file = path.name if path is not None else ""
        piece = EvidencePiece(name=name, path=file, ok=path is not None, detail=detail, waiting=waiting)
        self._recorder.emit(piece, self._target.name)


def _blocked_tasks(text: bytes, names: Sequence[str]) -> int:
    """The number of tasks with one of these names that the kernel shows as blocked."""
    wanted = {name.encode() for name in names}
    return sum(match[1] in wanted for match in BLOCKED_TASK.finditer(text))
