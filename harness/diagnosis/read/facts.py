"""What a kernel console holds that bears on a hang: tasks with their stacks, stalls, worker pools, complaints.

Plain values; `parser` fills them, `waits` and `graph` read them. Every one carries the line it was read from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.finding import NoticeKind

__all__ = ["Device", "Facts", "Held", "Notice", "Stall", "StallKind", "Step", "Task", "Workqueue"]

MOST_TASKS = 2048
"""Tasks that are kept of one host."""


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a stack; `sure` unless the unwinder guesses, `module` where the frame names one."""

    name: str
    line: int
    module: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that lockdep lists for a task, in the order of taking; the last may be the one it waits for."""

    lock: str
    at: str
    line: int
    address: str = ""


@dataclass(slots=True)
class Task:
    """A task of a dump or a report: `steps` innermost first, `state` as the kernel spells it ("" if not said).

    `hung_s` are the seconds of a hung-task report, `owner` whom the kernel calls the likely owner of the lock that it
    waits for. `seen` counts the dumps it was in, `moved` says that its stack was not the same in all of them, and
    `since_s` and `until_s` are the kernel's time stamps of the first and the last.
    """

    name: str
    pid: int | None
    line: int
    source: str
    state: str = ""
    steps: tuple[Step, ...] = ()
    hung_s: float | None = None
    workqueue: str = ""
    held: tuple[Held, ...] = ()
    owner: int | None = None
    lock_kind: str = ""
    seen: int = 1
    moved: bool = False
    since_s: float | None = None
    until_s: float | None = None

    @property
    def label(self) -> str:
        """The task as the kernel would write it, `name:pid`."""
        return f"{self.name}:{self.pid}" if self.pid is not None else self.name

    @property
    def path(self) -> tuple[Step, ...]:
        """The frames that the unwinder vouches for, or all of them where it vouches for none."""
        return tuple(step for step in self.steps if step.sure) or self.steps

    @property
    def persists_s(self) -> float:
        """Seconds that it is known to have waited: from a report, or from dumps in which it stands unmoved."""
        between = 0.0
        if self.seen > 1 and not self.moved and self.since_s is not None and self.until_s is not None:
            between = self.until_s - self.since_s
        return max(self.hung_s or 0.0, between)


class StallKind(StrEnum):
    """Ways in which the kernel says that a processor or a worker pool does not get on."""

    SOFT = "soft lockup"
    HARD = "hard lockup"
    RCU = "RCU stall"
    POOL = "workqueue lockup"


@dataclass(slots=True)
class Stall:
    """A processor that does not schedule, as a watchdog reported it; a worker pool that does not get on."""

    kind: StallKind
    text: str
    line: int
    source: str
    cpu: int | None = None
    task: str = ""
    pid: int | None = None
    seconds: float | None = None
    workqueue: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(slots=True)
class Workqueue:
    """A busy workqueue: `active` of `limit` work items run on `pool`, `inactive` ones wait for a slot."""

    name: str
    line: int
    source: str
    active: int = 0
    limit: int = 0
    flying: dict[int, str] = field(default_factory=dict)
    pending: int = 0
    inactive: int = 0
    inactive_line: int = 0
    cpus: str = ""
    pool: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A block device and its requests in flight when it was looked at, as /sys/block/NAME/inflight has them."""

    name: str
    in_flight: int
    source: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A line of the console; `about` is the server, device or task it names."""

    kind: NoticeKind
    text: str
    line: int
    source: str
    about: str = ""


@dataclass(slots=True)
class Facts:
    """All that was read, of one host."""

    tasks: list[Task] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    workqueues: list[Workqueue] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)

    _by_pid: dict[int, Task] = field(default_factory=dict, repr=False, compare=False)

    def noticed(self, *kinds: NoticeKind) -> list[Notice]:
        """The notices of these kinds, in the order of their lines."""
        return [notice for notice in self.notices if notice.kind in kinds]

    def task(self, pid: int) -> Task | None:
        """The task with this number, if it was seen."""
        return self._by_pid.get(pid)

    def keep(self, task: Task) -> Task:
        """Add a task, onto itself if it is there already; the one that stands. More than `MOST_TASKS` are not kept."""
        old = self._by_pid.get(task.pid) if task.pid is not None else None
        if old is not None and old.name == task.name:
            _meet(old, task)
            return old
        if len(self.tasks) < MOST_TASKS:
            self.tasks.append(task)
            if task.pid is not None:
                self._by_pid.setdefault(task.pid, task)
        return task

    def add(self, other: Facts) -> None:
        """Take in what another text of the same host said; the newest stack of a task stands."""
        for task in other.tasks:
            self.keep(task)
        self.stalls += other.stalls
        self.workqueues += other.workqueues
        self.notices += other.notices
        self.devices += other.devices


def _meet(old: Task, new: Task) -> None:
    """One more sight of a task: the newest stack, what either knows, and whether it moved in between."""
    if new.steps:
        if old.steps:
            old.moved = old.moved or _names(old) != _names(new)
            old.seen += 1
        old.steps, old.line, old.source = new.steps, new.line, new.source
        old.state = new.state or old.state
    stamps = [stamp for stamp in (old.since_s, old.until_s, new.since_s, new.until_s) if stamp is not None]
    old.since_s, old.until_s = (min(stamps), max(stamps)) if stamps else (None, None)
    if new.hung_s is not None:
        old.hung_s = max(old.hung_s or 0.0, new.hung_s)
    old.workqueue = new.workqueue or old.workqueue
    old.held = new.held or old.held
    old.owner = new.owner if new.owner is not None else old.owner
    old.lock_kind = new.lock_kind or old.lock_kind


def _names(task: Task) -> list[str]:
    return [step.name for step in task.path]
