"""Facts of a kernel console about a hang: tasks with their stacks, stalls, worker pools, notices.

Plain values: `parser` fills them, `graph` and `rules` read them. Each carries the line that it was read from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.finding import NoticeKind

__all__ = ["Device", "Facts", "Held", "Notice", "Stall", "StallKind", "Step", "Task", "Workqueue"]

MOST_TASKS = 2048
"""Maximum number of tasks kept of one host."""


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a stack; `sure` unless marked unreliable, `module` if the frame names one."""

    name: str
    line: int
    module: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that lockdep lists for a task, in the order of taking; the task may still wait for the last one."""

    lock: str
    at: str
    line: int
    address: str = ""


@dataclass(slots=True)
class Task:
    """A task of a dump or a report: `steps` innermost first, `state` as the kernel spells it ("" if not given).

    `hung_s` are the seconds of a hung-task report, `owner` is the likely owner of the awaited lock as the kernel
    reports it. `seen` counts the dumps with the task, `moved` is set if its stack differed between them, and `since_s`
    and `until_s` are the kernel's time stamps of the first and the last.
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
        """The reliable frames, or all frames if none is reliable."""
        return tuple(step for step in self.steps if step.sure) or self.steps

    @property
    def persists_s(self) -> float:
        """Seconds that it is known to have waited: from a report, or from dumps with the same stack."""
        between = 0.0
        if self.seen > 1 and not self.moved and self.since_s is not None and self.until_s is not None:
            between = self.until_s - self.since_s
        return max(self.hung_s or 0.0, between)


class StallKind(StrEnum):
    """The kernel's kinds of reports of a stuck processor or worker pool."""

    SOFT = "soft lockup"
    HARD = "hard lockup"
    RCU = "RCU stall"
    POOL = "workqueue lockup"


@dataclass(slots=True)
class Stall:
    """A watchdog's report of a processor that does not schedule, or of a worker pool without progress."""

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
    """A block device and its requests in flight at the time of the dump, from /sys/block/NAME/inflight."""

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
    """All facts of one host."""

    tasks: list[Task] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    workqueues: list[Workqueue] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)

    _by_pid: dict[int, Task] = field(default_factory=dict, repr=False, compare=False)

    def noticed(self, *kinds: NoticeKind) -> list[Notice]:
        """The notices of these kinds, in line order."""
        return [notice for notice in self.notices if notice.kind in kinds]

    def task(self, pid: int) -> Task | None:
        """The task with this pid, or None."""
        return self._by_pid.get(pid)

    def keep(self, task: Task) -> Task:
        """Add a task, or merge it with an earlier sighting; returns the result. At most `MOST_TASKS` are kept."""
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
        """Merge the facts of another text of the same host; a task keeps its newest stack."""
        for task in other.tasks:
            self.keep(task)
        self.stalls += other.stalls
        self.workqueues += other.workqueues
        self.notices += other.notices
        self.devices += other.devices


def _meet(old: Task, new: Task) -> None:
    """Merge two sightings of a task: the newest stack, the fields known to either, and whether it moved."""
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
