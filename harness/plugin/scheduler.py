"""The scheduler of `-n`: each worker gets one trial at a time, so that none waits behind another.

A worker of xdist begins a test only when it knows the next one, or that there is none (`run_one_test` of
xdist/remote.py, 3.5 to 3.8). So every policy of xdist hands out a second test in advance, and cannot take it back: a
trial waits for minutes behind a longer one while another worker is idle. Here every trial is handed out together with
a *gap*, an item that does nothing. The gap is "the next one", and the worker waits in it until it gets the next trial.

A user who names another policy than xdist's own (`--dist loadfile`) gets that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pytest

DEFAULT_POLICY = "load"  # the policy of `-n` alone
GAP_KEY = "harness_gap"  # in the input of a worker that is handed gaps


class Node(Protocol):
    """The part of xdist's worker controller that is used here."""

    @property
    def shutting_down(self) -> bool:
        """Whether it takes no more tests."""

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Put tests of its collection into its queue."""

    def shutdown(self) -> None:
        """End the worker once its queue is empty."""


class TrialScheduler:
    """Gives each idle worker the first trial not yet begun; implements xdist's protocol `Scheduling`.

    Trials begin in the order of the collection. A gap has the first index after it.
    """

    def __init__(self, config: pytest.Config, workers: int) -> None:
        self._config, self._workers = config, workers
        self._collected: dict[Node, list[str] | None] = {}
        self._names: list[str] | None = None  # once every worker has collected
        self._waiting: list[int] = []
        self._running: dict[Node, int] = {}

    @property
    def nodes(self) -> list[Node]:
        """The workers that are alive."""
        return list(self._collected)

    @property
    def collection_is_completed(self) -> bool:
        """Whether trials can be handed out, or have been."""
        collected = [names for names in self._collected.values() if names is not None]
        return self._names is not None or len(collected) >= self._workers

    @property
    def tests_finished(self) -> bool:
        """Whether no trial is left to begin; xdist then ends each worker after its running trial."""
        return self.collection_is_completed and not self._waiting

    @property
    def has_pending(self) -> bool:
        """Whether a trial is left to begin, or runs."""
        return bool(self._waiting or self._running)

    def add_node(self, node: Node) -> None:
        """A worker is up, perhaps as a replacement of a dead one; it collects next."""
        self._collected[node] = None

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        self._collected[node] = list(collection)
        if self._names is not None and self._names != list(collection):
            self._stop("another worker")

    def schedule(self) -> None:
        """Every worker has collected, or the replacement of a dead one has."""
        if self._names is None:
            self._names, *others = [names for names in self._collected.values() if names is not None]
            self._waiting = list(range(len(self._names)))
            if any(names != self._names for names in others):
                self._stop("one another")
        self._hand_out()

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has ended a trial or a gap."""
        if self._running.get(node) == item_index:
            del self._running[node]
            self._hand_out()

    def mark_test_pending(self, item: str) -> None:
        """A plugin wants a trial whose worker died to run again."""
        assert self._names is not None
        self._waiting.insert(0, self._names.index(item))
        self._hand_out()

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """A worker has returned trials; this scheduler never requests that."""

    def remove_node(self, node: Node) -> str | None:
        """A worker has ended; returns its running trial if it died. Raises KeyError if the worker is unknown."""
        del self._collected[node]
        index = self._running.pop(node, None)
        return None if index is None or self._names is None else self._names[index]

    def _hand_out(self) -> None:
        assert self._names is not None
        for node, names in self._collected.items():
            is_free = names == self._names and node not in self._running and not node.shutting_down
            if self._waiting and is_free:
                self._running[node] = self._waiting.pop(0)
                node.send_runtest_some([self._running[node], len(self._names)])

    def _stop(self, others: str) -> None:
        """Begin no more trials: the same index would mean different trials to the workers."""
        self._waiting.clear()
        problem = f"the workers found other tests than {others}; were files changed meanwhile? Nothing more is begun"
        report = pytest.CollectReport(nodeid="harness", outcome="failed", longrepr=problem, result=[])
        self._config.hook.pytest_collectreport(report=report)


class OneAtATime:
    """Plugin of the controlling process: makes xdist use `TrialScheduler`."""

    _workers = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[object]) -> None:
        """Note how many workers are about to start."""
        self._workers = len(specs)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Inform a worker that it is handed gaps."""
        node.workerinput[GAP_KEY] = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> TrialScheduler:
        """See xdist's hook."""
        return TrialScheduler(config, self._workers)


class Gap(pytest.Item):
    """A placeholder between two trials of a worker."""

    def runtest(self) -> None:
        """Do nothing; `Gaps` keeps it out of the reports."""


class Gaps:
    """Plugin of a worker: adds a gap at the end of its collection, unknown to the controlling process."""

    @pytest.hookimpl(trylast=True)  # after xdist has sent the collection
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Add the gap."""
        session.items.append(Gap.from_parent(session, name="gap"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run nothing, report nothing."""
        return True if isinstance(item, Gap) else None
