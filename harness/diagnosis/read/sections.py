"""The reader of the kernel's lists of held locks and busy workqueues."""

from __future__ import annotations

from sys import intern

from harness.diagnosis.read import lines
from harness.diagnosis.read.facts import Facts, Held, Stall, StallKind, Task, Workqueue
from harness.verdicts.console.text import Piece

__all__ = ["MOST_OTHERS", "Sections"]

MOST_OTHERS = 256
"""Limit for each of: stalls, workqueues, pools, notices of one kind, locks of one task."""
LAPSE_LINES = 20
"""A list ends after so many other lines."""
POOL_HUNG_S = 30
"""Seconds without taking up queued work after which a pool is stuck, as for the kernel's own watchdog."""
MOST_FLYING = 1024
"""Maximum number of work items in flight kept of a workqueue; the kernel's default is 256 a processor or node."""


class Sections:
    """Reads the lists, line by line, into `facts`."""

    def __init__(self, facts: Facts, source: str) -> None:
        self._facts, self._source = facts, source
        self._holder: Task | None = None
        self._queue: Workqueue | None = None
        self._first = 0
        self._line = self._last = 0

    def begins(self, piece: Piece) -> bool:
        """Whether the message begins a list of a task's locks, or a workqueue."""
        return lines.HELD_BY.match(piece.text) is not None or lines.WORKQUEUE.match(piece.text) is not None

    @property
    def idle(self) -> bool:
        """Whether no list is open."""
        return self._holder is None and self._queue is None

    def end(self) -> None:
        """End the open list: another section begins."""
        self._holder = self._queue = None

    def see(self, piece: Piece, line: int) -> bool:
        """Read one message; returns whether it is part of a list."""
        self._line, self._time = line, piece.time_s
        if line - self._last > LAPSE_LINES:
            self.end()
        text = piece.text
        found = self._holder_line(text) or self._held(text) or self._busy(text) or self._in_queue(text)
        self._last = line if found else self._last
        return found

    def _holder_line(self, text: str) -> bool:
        found = lines.HELD_BY.match(text) if "held by " in text else None
        if found is None:
            return False
        pid = int(found["pid"])
        self._holder = self._facts.task(pid) or self._facts.keep(
            Task(intern(found["name"]), pid, self._line, self._source)
        )
        self._holder.held = ()
        return True

    def _held(self, text: str) -> bool:
        found = lines.HELD.match(text) if self._holder and "#" in text else None
        if found is None or self._holder is None:
            return False
        if len(self._holder.held) < MOST_OTHERS:
            one = Held(intern(found["lock"]), intern(found["at"]), self._line, found["address"] or "")
            self._holder.held = (*self._holder.held, one)
        return True

    def _busy(self, text: str) -> bool:
        found = lines.WORKQUEUE.match(text) if "workqueue " in text else None
        if found is not None:
            self._new_queue(intern(found["name"]))
        return found is not None

    def _new_queue(self, name: str) -> Workqueue:
        if self._queue is None:
            self._first = len(self._facts.workqueues)
        self._queue = Workqueue(name, self._line, self._source)
        if len(self._facts.workqueues) < MOST_OTHERS:
            self._facts.workqueues.append(self._queue)
        return self._queue

    def _in_queue(self, text: str) -> bool:
        return self._queue is not None and (
            self._active(self._queue, text) or self._works(self._queue, text) or self._pool(text)
        )

    def _active(self, queue: Workqueue, text: str) -> bool:
        """Read the active work items of a workqueue on one pool; each pool is an entry of its own."""
        found = lines.ACTIVE.match(text)
        if found is None:
            return False
        entry = self._new_queue(queue.name) if queue.limit else queue
        entry.active, entry.limit = int(found["active"]), int(found["limit"])
        entry.cpus, entry.pool = found["cpus"], int(found["pool"])
        return True

    def _pool(self, text: str) -> bool:
        """Read a worker pool. It is stuck if it has not taken up work for long that a listed workqueue queued on it.

        Older kernels print a time for every pool, even an idle one.
        """
        found = lines.POOL.match(text)
        if found is None:
            return False
        queued = any(q.pending and q.pool == int(found["pool"]) for q in self._facts.workqueues[self._first :])
        if queued and int(found["seconds"]) >= POOL_HUNG_S and len(self._facts.stalls) < MOST_OTHERS:
            stall = Stall(StallKind.POOL, text.strip(), self._line, self._source)
            stall.seconds, stall.workqueue = float(found["seconds"]), f"pool cpus={found['cpus']}"
            self._facts.stalls.append(stall)
        return True

    def _works(self, queue: Workqueue, text: str) -> bool:
        """Read the work items of a busy workqueue: in flight, pending, or waiting for a slot."""
        if "in-flight:" in text or text.lstrip().startswith(","):
            for flying in lines.FLYING.finditer(text):
                if len(queue.flying) < MOST_FLYING:
                    queue.flying[int(flying["pid"])] = intern(flying["work"])
        elif pending := lines.PENDING.match(text):
            queue.pending += pending["works"].count(",") + 1
        elif inactive := lines.INACTIVE.match(text):
            queue.inactive += inactive["works"].count(",") + 1
            queue.inactive_line = self._line
        else:
            return False
        return True
