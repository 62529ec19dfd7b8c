"""A report being read: its headline, the following messages, and their finding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.model.finding import Finding
from harness.model.finding import FindingKind as Kind
from harness.verdicts.console.blame import asked_in, blocked_in, broke_in, stalled_in
from harness.verdicts.console.frames import Frame, frame_in, register_frame, trace_start
from harness.verdicts.console.headline import Match
from harness.verdicts.console.text import Piece

__all__ = ["Report"]

MOST_LINES = 400
"""Console lines that a report may span after its headline."""
MOST_QUIET = 60
"""A report with a stack ends after so many messages that do not belong to a stack."""
_MOST_FRAMES = 128
_MOST_TRACES = 8

_STALLS = frozenset({Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.RCU_STALL})
_STACKED = _STALLS | {Kind.HUNG_TASK, Kind.OOPS, Kind.SANITIZER, Kind.LOCKDEP, Kind.PANIC, Kind.WARNING}
_OWNER = re.compile(
    r"CPU: (?P<cpu>\d{1,5}) (?:UID: \d{1,10} )?PID: (?P<pid>\d{1,9}) Comm: (?P<task>.{1,64}?) +(?:Not t|T)ainted"
)
_BY_TASK = re.compile(r"(?:Read|Write|Free) .{0,80}by task (?P<task>[^\n]{1,64})/(?P<pid>\d{1,9})")
_ACQUIRES = re.compile(r".{0,200}, at: (?:\[<[0-9a-f]{4,20}>\] )?(?P<function>[A-Za-z_][\w.]{0,127})\+0x")
_END = re.compile(r"-{2,12}\[ (?:end trace|end Kernel panic|cut here)|Showing all locks held|sysrq: |Rebooting in \d")
_USER_MODE = re.compile(r"(?:RIP: 0033:|RIP: 002b:|RIP: 0023:)|--- interrupt: c00")
_NEXT_TRACE = re.compile(
    r"NMI backtrace for cpu|Sending NMI|Task dump for CPU|task:\S|rcu: (?:RCU grace-period kthread|Stack dump)"
    r"|\S.{0,40} [RDST] +running task"
)
_DROPPED = "printk messages dropped"
_NOT_THE_STALL = frozenset({"rcu_gp_kthread", "rcu_gp_fqs_loop"})


@dataclass(slots=True)
class _Trace:
    frames: list[Frame] = field(default_factory=list)
    called: bool = False
    closed: bool = False

    def names(self) -> tuple[str, ...]:
        sure = tuple(frame.name for frame in self.frames if frame.sure)
        last = self.frames[-1].caller if self.frames else None
        return (*sure, last) if last else sure


@dataclass(slots=True)
class Report:
    """A report being read. `add` takes messages until `done`; `finding` is the finding so far."""

    match: Match
    line: int
    time_s: float | None
    context: str | None
    done: bool = False
    _last: int = 0
    _quiet: int = 0
    _broken: bool = False
    _leftovers: list[_Trace] = field(default_factory=list)
    _fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._take(self.match.fields)
        self._last = self.line
        self.done = self.match.headline.single

    @property
    def kind(self) -> Kind:
        """The kind of its headline."""
        return self.match.headline.kind

    def expects(self, context: str | None) -> bool:
        """Whether a message with this printk caller may belong to the report."""
        return self.context is None or context in (self.context, None)

    def absorbs(self, match: Match, line: int) -> bool:
        """Whether another headline is a further line of this report; if so, its values are taken over."""
        if not self._same(match, line):
            return False
        self._take(match.fields)
        if self.kind is Kind.OOM_KILL:
            self.match, self.done = match, True
        elif self.match.headline.prelude and match.headline.kind is not self.kind:
            self.match = Match(self.match.headline, self.match.title, match.fields)
        return True

    def _same(self, match: Match, line: int) -> bool:
        headline = match.headline
        if headline.fragment:
            return self.kind in (Kind.OOPS, Kind.SANITIZER)
        if self.match.headline.prelude:
            return headline.kind in (Kind.OOPS, Kind.WARNING) and line - self.line <= 8
        if self.kind is Kind.OOM_KILL:
            return headline.kind is Kind.OOM_KILL and headline.continues
        if self.kind is Kind.RCU_STALL:
            return headline.kind is Kind.RCU_STALL and line - self.line <= MOST_LINES
        return self.kind is Kind.OOPS and headline.kind is Kind.OOPS and headline.continues and not self._leftovers

    def add(self, piece: Piece, line: int) -> None:
        """Take a message that follows the headline."""
        self._last = line
        text = piece.text
        if self._add_frame(text):
            return
        if _DROPPED in text:
            self._broken = True
        if trace_start(text):
            self._open_trace()
        else:
            self._add_other(text)
        if self._quiet > MOST_QUIET and self._leftovers:
            self.done = True

    def expire(self, line: int) -> None:
        """End the report when it has run too far behind `line`."""
        if line - self.line > MOST_LINES:
            self.done = True

    def _open_trace(self) -> None:
        """Begin a stack; its innermost frame is the program counter of the register dump before it."""
        self._quiet = 0
        if not (self._leftovers and not self._leftovers[-1].closed and not self._leftovers[-1].called):
            self._leftovers.append(_Trace())
        self._leftovers[-1].called = True

    def _add_frame(self, text: str) -> bool:
        frame = frame_in(text) or register_frame(text)
        if frame is None:
            return False
        self._quiet = 0
        if not self._leftovers or self._leftovers[-1].closed:
            self._leftovers.append(_Trace())
        if len(self._leftovers) <= _MOST_TRACES and len(self._leftovers[-1].frames) < _MOST_FRAMES:
            self._leftovers[-1].frames.append(frame)
        return True

    def _add_other(self, text: str) -> None:
        self._quiet += 1
        message = text.strip()
        if self._leftovers and _NEXT_TRACE.match(message):
            self._leftovers[-1].closed = True
        # The task that ran out of memory is not the one that was killed for it.
        if self.kind is not Kind.OOM_KILL and (owner := _OWNER.match(message) or _BY_TASK.match(message)):
            self._take(owner.groupdict())
        elif self.kind is Kind.LOCKDEP and (found := _ACQUIRES.match(message)):
            self._take(found.groupdict())
        self.done = self.done or self._ends(message)

    def _ends(self, message: str) -> bool:
        if _END.match(message):
            return bool(self._leftovers) or message.startswith("sysrq: ")
        return self.kind is Kind.HUNG_TASK and bool(self._leftovers) and _USER_MODE.match(message) is not None

    def _take(self, fields: dict[str, str | None]) -> None:
        for name, value in fields.items():
            if value is not None and name not in self._fields:
                self._fields[name] = value

    def finding(self) -> Finding:
        """The finding from the messages read so far."""
        stack, function = self._blame()
        said = self._fields
        return Finding(
            kind=self.kind, title=self.match.title, line=self.line, function=function, task=said.get("task"),
            pid=_number(said.get("pid")), cpu=_number(said.get("cpu")), time_s=self.time_s,
            corrupted=self._corrupted(function), stack=stack,
        )  # fmt: skip

    def _corrupted(self, function: str | None) -> bool:
        """Whether lines are known to be lost, or a stack that the kernel prints is missing or unusable."""
        return self._broken or (function is None and self.kind in _STACKED and not self.match.headline.bare)

    def _blame(self) -> tuple[tuple[str, ...], str | None]:
        stacks = [names for trace in self._leftovers if (names := trace.names())]
        if self.kind in (Kind.SOFT_LOCKUP, Kind.RCU_STALL):
            return _stalled(stacks)
        stack = stacks[0] if stacks else ()
        if self.kind in (Kind.HUNG_TASK, Kind.HARD_LOCKUP):
            return stack, blocked_in(stack)
        if self.kind in (Kind.OOM_KILL, Kind.PAGE_ALLOC_FAILURE):
            return stack, asked_in(stack)
        return stack, self._fields.get("function") or broke_in(stack)


def _stalled(stacks: list[tuple[str, ...]]) -> tuple[tuple[str, ...], str | None]:
    for stack in stacks:
        if not _NOT_THE_STALL.intersection(stack) and (function := stalled_in(stack)):
            return stack, function
    return (stacks[0] if stacks else ()), None


def _number(text: str | None) -> int | None:
    return int(text) if text else None
