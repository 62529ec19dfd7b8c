"""The order in which trials are handed to workers, with workers that hold one item back as those of xdist do."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plugin.scheduler import Node, TrialScheduler

SHUTDOWN = -1


class Worker:
    """`WorkerInteractor` of xdist/remote.py: it begins an item once it has the next one, or is told to end."""

    def __init__(self) -> None:
        self.shutting_down = False
        self._queue: deque[int] = deque()

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self._queue.extend(indices)

    def shutdown(self) -> None:
        self.shutting_down = True
        self._queue.append(SHUTDOWN)

    def next_item(self) -> int | None:
        """The item that it can begin now."""
        can = len(self._queue) > 1 and self._queue[0] != SHUTDOWN
        return self._queue.popleft() if can else None


@dataclass(kw_only=True)
class Sessions:
    """A session of `workers` over trials of these `durations`; those of `deadly` take their worker with them."""

    durations: Sequence[float]
    workers: int
    deadly: Sequence[int] = ()
    reported: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        hook = SimpleNamespace(pytest_collectreport=lambda report: self.reported.append(report.longrepr))
        config: Any = SimpleNamespace(hook=hook)
        self.scheduler = TrialScheduler(config, self.workers)
        self.names = [f"t{index}" for index in range(len(self.durations))]
        self.started: dict[int, float] = {}
        self.crashed: list[str | None] = []
        self._busy: list[tuple[float, int, Worker, int]] = []
        self._free: dict[Worker, float] = {}
        self._now = 0.0

    def run(self) -> None:
        for _ in range(self.workers):
            self._join()
        while self._busy:
            self._begin()
            assert not self._waits_in_vain(), "a worker is idle while a trial has not begun"
            if self._busy:
                self._end_one()

    def _join(self) -> None:
        worker = Worker()
        self._free[worker] = self._now
        self.scheduler.add_node(worker)
        self.scheduler.add_node_collection(worker, self.names)
        if self.scheduler.collection_is_completed:
            self.scheduler.schedule()
        self._begin()

    def _begin(self) -> None:
        for worker in list(self._free):
            while worker in self._free and (index := worker.next_item()) is not None:
                if index == len(self.names):
                    self.scheduler.mark_test_complete(worker, index)
                    continue
                self.started[index] = self._now
                del self._free[worker]
                heapq.heappush(self._busy, (self._now + self.durations[index], index, worker, index))
        if self.scheduler.tests_finished:
            for node in self.scheduler.nodes:
                if not node.shutting_down:
                    node.shutdown()

    def _waits_in_vain(self) -> bool:
        return len(self.started) < len(self.names) and bool(self._free)

    def _end_one(self) -> None:
        self._now, _, worker, index = heapq.heappop(self._busy)
        if index in self.deadly:
            self.crashed.append(self.scheduler.remove_node(worker))
            self._join()
        else:
            self._free[worker] = self._now
            self.scheduler.mark_test_complete(worker, index)
        self._begin()


@given(
    durations=st.lists(st.floats(0.1, 100), min_size=1, max_size=20),
    workers=st.integers(1, 5),
    deadly=st.sets(st.integers(0, 19), max_size=4),
)
def test_no_worker_is_idle_while_a_trial_has_not_begun(durations: list[float], workers: int, deadly: set[int]) -> None:
    session = Sessions(durations=durations, workers=workers, deadly=tuple(deadly))
    session.run()
    assert set(session.started) == set(range(len(durations))), "every trial runs, and once"
    assert list(session.started) == sorted(session.started), "in the order of the collection"
    assert session.crashed.count(None) == 0
    assert not session.scheduler.has_pending and session.scheduler.tests_finished


def test_the_third_trial_begins_when_the_shorter_of_the_first_two_ends() -> None:
    session = Sessions(durations=[60, 10, 5], workers=2)
    session.run()
    assert session.started == {0: 0, 1: 0, 2: 10}


def test_a_worker_that_replaces_a_dead_one_goes_on_with_the_rest() -> None:
    session = Sessions(durations=[60, 10, 5, 5], workers=2, deadly=[1])
    session.run()
    assert session.crashed == ["t1"]
    assert session.started == {0: 0, 1: 0, 2: 10, 3: 15}


def test_a_worker_that_dies_between_two_trials_takes_none_with_it() -> None:
    scheduler, (first, second) = scheduler_of({"a": ["t0", "t1"], "b": ["t0", "t1"]})
    scheduler.mark_test_complete(first, 0)
    assert scheduler.remove_node(first) is None
    assert scheduler.remove_node(second) == "t1"
    with pytest.raises(KeyError):
        scheduler.remove_node(second)


def test_a_trial_that_somebody_wants_again_comes_first() -> None:
    scheduler, (first, second) = scheduler_of({"a": ["t0", "t1", "t2"], "b": ["t0", "t1", "t2"]})
    assert scheduler.remove_node(second) == "t1"
    scheduler.mark_test_pending("t1")
    scheduler.mark_test_complete(first, 0)
    assert scheduler.remove_node(first) == "t1"


def test_workers_that_found_other_tests_are_given_none() -> None:
    scheduler, nodes = scheduler_of({"a": ["t0", "t1"], "b": ["t1", "t0"]})
    assert scheduler.tests_finished and not scheduler.has_pending
    assert [scheduler.remove_node(node) for node in nodes] == [None, None]


def test_a_late_worker_that_found_other_tests_is_given_none() -> None:
    scheduler, (first, second) = scheduler_of({"a": ["t0", "t1", "t2"], "b": ["t0", "t1", "t2"]})
    scheduler.remove_node(second)
    late = Worker()
    scheduler.add_node(late)
    scheduler.add_node_collection(late, ["t0"])
    scheduler.schedule()
    assert scheduler.tests_finished and scheduler.remove_node(late) is None
    assert scheduler.remove_node(first) == "t0"


def test_nothing_selected_is_finished_at_once() -> None:
    scheduler, _ = scheduler_of({"a": [], "b": []})
    assert scheduler.tests_finished


def scheduler_of(collections: Mapping[str, Sequence[str]]) -> tuple[TrialScheduler, list[Node]]:
    session = Sessions(durations=[], workers=len(collections))
    nodes: list[Node] = [Worker() for _ in collections]
    for node, names in zip(nodes, collections.values(), strict=True):
        session.scheduler.add_node(node)
        session.scheduler.add_node_collection(node, names)
    session.scheduler.schedule()
    return session.scheduler, nodes
