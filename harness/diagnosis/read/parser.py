"""The parser of console messages, which fills `Facts`.

A stack belongs to the header before it: a task of a sysrq dump, a hung-task report, a watchdog's report, a register
dump. A stack without a header (pasted from /proc/PID/stack, or cut out of a dump) becomes a task without a name.
Messages of several processors interleave; if printk prints its caller, each caller has a stack of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from sys import intern

from harness.diagnosis.read import lines
from harness.diagnosis.read.facts import Facts, Notice, Stall, StallKind, Task
from harness.diagnosis.read.sections import MOST_OTHERS, Sections
from harness.diagnosis.read.stacks import Stack
from harness.model.finding import NoticeKind
from harness.verdicts.console.frames import Frame, frame_in, register_frame, trace_start
from harness.verdicts.console.text import Piece

__all__ = ["Parser"]

MOST_OPEN = 8
TEXT_CAP = 240

_BESIDE_A_STACK = re.compile(
    r"\s*(?:$|</?[A-Z]{3,8}>|[A-Z][A-Z0-9_]{1,7}: |[A-Z0-9]{2,3}:|Code:|Modules linked|Hardware name"
    r'|Tainted|Not tainted|"echo 0|Stack:|[0-9a-f]{8,16}(?: |$))'
)

_BY_DAEMON = re.compile(r"\s{0,4}kernel: ")
"""Text that some log daemons insert between their own prefix and the message."""
_NO_ADDRESS = "[] "
"""The rest of a frame's address after a web page took `<ffffffff81234567>` for a tag."""
_UNNAMED = "(unnamed)"
_FROM_PROC = "[<0>]"
"""An address in /proc/PID/stack; only sleeping tasks have such a stack."""

_NEWEST = frozenset({NoticeKind.NFS_SILENT, NoticeKind.NFS_BACK})
"""Kinds of which the newest notices are kept, not the first: the latest state counts."""


class Parser:
    """Fills `facts` from the messages of one source; memory is bounded for any input."""

    def __init__(self, source: str) -> None:
        self.facts = Facts()
        self._source = intern(source)
        self._open: dict[str | None, Stack] = {}
        self._sections = Sections(self.facts, self._source)
        self._noticed: Counter[NoticeKind] = Counter()
        self._line = 0
        self._time: float | None = None
        self._headers: tuple[tuple[str, Callable[[Piece], bool]], ...] = (
            ("task:", self._task), ("0x", self._old_task), ("INFO: task ", self._hung), ("Comm: ", self._current),
            ("/stack", self._proc_stack), ("Workqueue: ", self._worker), ("held by ", self._section),
            ("workqueue ", self._section),
        )  # fmt: skip

    def see(self, piece: Piece, line: int) -> None:
        """Read one message from line number `line`."""
        self._line, self._time = line, piece.time_s
        if _BY_DAEMON.match(piece.text) or piece.text.startswith(_NO_ADDRESS):
            piece = replace(piece, text=_BY_DAEMON.sub("", piece.text, count=1).removeprefix(_NO_ADDRESS))
        for context in [context for context, stack in self._open.items() if stack.lapsed(line)]:
            self._finish(context)
        if self._frame(piece) or self._stall(piece):
            return
        if any(token in piece.text and read(piece) for token, read in self._headers) or self._sections.see(piece, line):
            return
        if trace_start(piece.text):
            self._trace(piece)
            return
        self._notice(piece)
        self._end_unnamed(piece)

    @property
    def idle(self) -> bool:
        """Whether lines without a needle of `lines.needles_without(self.full)` can be skipped."""
        return not self._open and self._sections.idle

    @property
    def full(self) -> frozenset[NoticeKind]:
        """The kinds of notices that have reached their limit."""
        return frozenset(kind for kind, count in self._noticed.items() if count >= MOST_OTHERS and kind not in _NEWEST)

    def close(self) -> Facts:
        """End the text; returns the facts."""
        for context in list(self._open):
            self._finish(context)
        return self.facts

    # Stacks

    def _frame(self, piece: Piece) -> bool:
        found = frame_in(piece.text) or self._stalled_at(piece)
        if found is None:
            return False
        module = lines.MODULE.search(piece.text)
        opened = self._opened(piece) or self._begin(piece, self._unnamed())
        opened.add(found, self._line, module["module"] if module else "")
        opened.named = opened.named or piece.text.lstrip().startswith(_FROM_PROC)
        return True

    def _stalled_at(self, piece: Piece) -> Frame | None:
        """The program counter of a stalled processor is its innermost frame."""
        opened = self._open.get(piece.context)
        return register_frame(piece.text) if opened and opened.stall and not opened.steps else None

    def _opened(self, piece: Piece) -> Stack | None:
        found = self._open.get(piece.context)
        if found is None and piece.context is not None:
            found = self._open.get(None)
        return found

    def _begin(self, piece: Piece, opened: Stack) -> Stack:
        self._finish(piece.context)
        if len(self._open) >= MOST_OPEN:
            self._finish(next(iter(self._open)))
        self._open[piece.context] = opened
        self._sections.end()
        return opened

    def _finish(self, context: str | None) -> None:
        opened = self._open.pop(context, None)
        if opened is None:
            return
        if opened.stall is not None:
            opened.stall.steps = tuple(opened.steps)
        elif opened.task is not None and opened.counts:
            opened.task.steps = tuple(opened.steps)
            self.facts.keep(opened.task)

    def _trace(self, piece: Piece) -> None:
        """Begin a stack of the header before it, unless that has its stack already."""
        opened = self._opened(piece)
        if opened and (opened.steps and opened.stall is None and opened.task and opened.task.state != "R"):
            self._begin(piece, self._unnamed())

    def _end_unnamed(self, piece: Piece) -> None:
        opened = self._open.get(piece.context)
        if opened and opened.steps and not opened.named and not _BESIDE_A_STACK.match(piece.text):
            self._finish(piece.context)

    def _unnamed(self) -> Stack:
        return Stack(self._line, task=self._new(_UNNAMED, None), named=False)

    def _new(self, name: str, pid: int | None, state: str = "") -> Task:
        stamp = self._time
        return Task(intern(name), pid, self._line, self._source, state=state, since_s=stamp, until_s=stamp)

    # Headers of tasks

    def _task(self, piece: Piece) -> bool:
        return self._header(piece, lines.TASK)

    def _old_task(self, piece: Piece) -> bool:
        return self._header(piece, lines.OLD_TASK)

    def _header(self, piece: Piece, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(piece.text)
        if found is None:
            return False
        pid = int(found["pid"]) if found["pid"] else None
        stalled = self._opened(piece)
        if stalled and stalled.stall and not stalled.steps and (found["state"] or "").upper() == "R":
            stalled.stall.task, stalled.stall.pid = found["name"].strip(), pid
            return True
        task = self._new(found["name"].strip(), pid, (found["state"] or "").upper())
        self._inherit(task)
        self._begin(piece, Stack(self._line, task=task))
        return True

    def _inherit(self, task: Task) -> None:
        """Copy the values of the hung-task report one line earlier to this task's header."""
        for opened in self._open.values():
            before = opened.task
            if before and before.name == task.name and task.pid in (None, before.pid) and not opened.steps:
                task.pid = before.pid
                task.hung_s, task.owner, task.lock_kind = before.hung_s, before.owner, before.lock_kind

    def _hung(self, piece: Piece) -> bool:
        if found := lines.HUNG.match(piece.text):
            task = self._new(found["name"], int(found["pid"]), "D")
            task.hung_s = float(found["seconds"])
            self._begin(piece, Stack(self._line, task=task))
            return True
        if owned := lines.OWNED.match(piece.text):
            pid = int(owned["pid"])
            waiting = [opened.task for opened in self._open.values() if opened.task] + self.facts.tasks
            for task in [task for task in waiting if task.pid == pid][:1]:
                task.owner, task.lock_kind = int(owned["owner_pid"]), owned["lock"].strip()
        return owned is not None

    def _current(self, piece: Piece) -> bool:
        """`CPU: PID: Comm:` of a register dump: a task that runs, not one that waits."""
        found = lines.COMM.match(piece.text)
        if found is None:
            return False
        opened = self._opened(piece)
        if opened and opened.stall:
            opened.stall.task, opened.stall.pid = found["name"], int(found["pid"])
            opened.stall.cpu = int(found["cpu"]) if opened.stall.cpu is None else opened.stall.cpu
        else:
            self._begin(piece, Stack(self._line, task=self._new(found["name"], int(found["pid"]), "R")))
        return True

    def _proc_stack(self, piece: Piece) -> bool:
        found = lines.PROC_STACK.match(piece.text)
        if found is None:
            return False
        self._begin(piece, Stack(self._line, task=self._new(_UNNAMED, int(found["tid"] or found["pid"]))))
        return True

    def _worker(self, piece: Piece) -> bool:
        found = lines.WORKER.match(piece.text)
        if found is None:
            return False
        opened = self._opened(piece)
        if opened is None or (opened.steps and opened.stall is None):
            opened = self._begin(piece, self._unnamed())
        text = intern(f"{found['queue']} {found['work'] or ''}".strip())
        if opened.stall:
            opened.stall.workqueue = text
        elif opened.task:
            opened.task.workqueue = text
        return True

    def _section(self, piece: Piece) -> bool:
        """Begin a list of held locks or busy workqueues; it ends any stack."""
        begins = self._sections.begins(piece)
        if begins:
            self._finish(piece.context)
            self._sections.see(piece, self._line)
        return begins

    # Stalls and single lines

    def _stall(self, piece: Piece) -> bool:
        for token, kind, pattern in lines.STALLS:
            if token in piece.text and (found := pattern.match(piece.text)):
                self._stalled(piece, kind, found)
                return True
        return False

    def _stalled(self, piece: Piece, kind: StallKind, found: re.Match[str]) -> None:
        group = found.groupdict()
        stall = Stall(kind, piece.text.strip()[:TEXT_CAP], self._line, self._source)
        stall.task, stall.cpu = group.get("name") or "", int(group["cpu"]) if group.get("cpu") else None
        stall.pid = int(group["pid"]) if group.get("pid") else None
        stall.seconds = float(group["seconds"]) if group.get("seconds") else None
        if kind is StallKind.POOL:
            stall.workqueue = f"pool cpus={group['cpus']}"
            self._finish(piece.context)
        else:
            self._begin(piece, Stack(self._line, stall=stall))
        if len(self.facts.stalls) < MOST_OTHERS:
            self.facts.stalls.append(stall)

    def _notice(self, piece: Piece) -> None:
        found = lines.notice_of(piece.text)
        if found is None:
            return
        kind, about = found
        if self._noticed[kind] >= MOST_OTHERS:
            if kind not in _NEWEST:
                return
            self.facts.notices.remove(next(old for old in self.facts.notices if old.kind is kind))
        self._noticed[kind] = min(self._noticed[kind] + 1, MOST_OTHERS)
        text = piece.text.strip()[:TEXT_CAP]
        self.facts.notices.append(Notice(kind, text, self._line, self._source, intern(about)))
