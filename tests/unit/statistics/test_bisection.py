"""Noisy bisection: the confidence that it states holds, and what it believes and asks for next."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics.bisection import FALSE_ALARM, Belief, runs_to_believe
from harness.statistics.orders import Chain, Graph

CONFIDENCE = 0.95


def search(random: np.random.Generator, *, size: int, culprit: int, rate: float) -> tuple[int, int]:
    """The answer for a chain, and the runs that it took; the ends are verified first."""
    belief, testable, runs = Belief(Chain(size)), np.ones(size, dtype=np.bool_), 0

    def run(side: int) -> bool:
        hung = bool(random.random() < (rate if side >= culprit else FALSE_ALARM))
        belief.learn(side, hung=hung)
        return hung

    while not run(size - 1):
        runs += 1
    while not belief.good_end_settled():
        runs, _ = runs + 1, run(0)
    side: int | None = None
    while (answer := belief.answer(testable)).confidence < CONFIDENCE:
        side = belief.choose(testable, side)
        assert side is not None
        runs, _ = runs + 1, run(side)
    return answer.culprits[0], runs + 1


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6, 1.0])
def test_the_stated_confidence_holds_at_any_rate_at_which_the_hang_shows(rate: float) -> None:
    random, rounds = np.random.default_rng(20260101), 150
    right = 0
    for _ in range(rounds):
        culprit = int(random.integers(1, 17))
        right += search(random, size=17, culprit=culprit, rate=rate)[0] == culprit
    error = (CONFIDENCE * (1 - CONFIDENCE) / rounds) ** 0.5
    assert right / rounds >= CONFIDENCE - 2.5 * error


def test_a_hang_that_always_shows_takes_little_more_than_plain_bisection() -> None:
    random = np.random.default_rng(1)
    runs = [search(random, size=257, culprit=int(random.integers(1, 257)), rate=1.0)[1] for _ in range(50)]
    assert np.mean(runs) < 3 * 8  # plain bisection: 8 runs, if it trusts the ends and every run


def test_a_hang_nearly_proves_that_the_culprit_is_not_later_and_a_survival_proves_little() -> None:
    hung, survived = Belief(Chain(11)), Belief(Chain(11))
    hung.learn(5, hung=True)
    survived.learn(5, hung=False)
    assert hung.bad[5] > 0.98
    assert 0.2 < survived.bad[5] < 0.5


def test_survivals_weigh_more_when_the_hang_is_known_to_show_often() -> None:
    often, rare = (Belief(Chain(11), rate=rate) for rate in (0.9, 0.1))
    for belief in (often, rare):
        for _ in range(3):
            belief.learn(5, hung=False)
    assert often.bad[5] < rare.bad[5]


def test_a_good_end_that_hangs_again_and_again_is_not_good() -> None:
    belief = Belief(Chain(6))
    belief.learn(5, hung=True)
    belief.learn(0, hung=True)
    belief.learn(0, hung=True)
    assert belief.answer(np.ones(6, dtype=np.bool_)).culprits == (0,)


def test_sides_that_cannot_be_tested_are_one_answer_with_the_next_that_can() -> None:
    belief, testable = Belief(Chain(8)), np.ones(8, dtype=np.bool_)
    testable[3:5] = False
    for _ in range(20):
        belief.learn(5, hung=True)
        belief.learn(2, hung=False)
    answer = belief.answer(testable)
    assert sorted(answer.culprits) == [3, 4, 5]
    assert answer.confidence > CONFIDENCE
    assert belief.choose(testable) not in (3, 4)


def test_the_side_that_was_just_run_is_run_again_while_that_says_nearly_as_much() -> None:
    belief, testable = Belief(Chain(65)), np.ones(65, dtype=np.bool_)
    belief.learn(64, hung=True)
    best = belief.choose(testable)
    assert best is not None
    assert belief.choose(testable, last=best - 1) == best - 1
    assert belief.choose(testable, last=1) == best


def test_a_commit_is_bad_only_if_the_culprit_is_among_its_ancestors() -> None:
    # 0 ── 1 ── 2 ─────── 5 (merge of 2 and 4)
    #       └── 3 ── 4 ──┘
    belief = Belief(Graph([(), (0,), (1,), (1,), (3,), (2, 4)]))
    for _ in range(15):
        belief.learn(5, hung=True)
        belief.learn(2, hung=False)
    assert belief.culprit[[1, 2]].sum() < 0.01
    assert belief.culprit[[3, 4, 5]] == pytest.approx(1 / 3, abs=0.01)


def test_commits_that_no_testable_commit_tells_apart_are_found_in_a_graph_with_merges() -> None:
    random = np.random.default_rng(7)
    parents = [(), *(tuple({int(random.integers(0, n)), int(random.integers(0, n))}) for n in range(1, 60))]
    graph = Graph(parents)
    testable = random.random(60) < 0.5
    sides = np.array([graph.affected(side) for side in range(60)])[testable]
    alike = np.array([[bool((sides[:, one] == sides[:, other]).all()) for one in range(60)] for other in range(60)])
    numbers = graph.classes(testable)
    assert ((numbers[:, None] == numbers) == alike).all()
    assert alike.sum() > 60


def test_a_chain_is_a_graph_without_merges() -> None:
    chain, graph = Chain(40), Graph([(), *((above,) for above in range(39))])
    weights = np.random.default_rng(3).random((40, 3))
    testable = np.random.default_rng(4).random(40) < 0.7
    assert np.allclose(chain.sums(weights), graph.sums(weights))
    assert all((chain.affected(side) == graph.affected(side)).all() for side in range(40))
    one, other = chain.classes(testable), graph.classes(testable)
    assert ((one[:, None] == one) == (other[:, None] == other)).all()


@pytest.mark.parametrize(("rate", "runs"), [(1.0, 1), (0.5, 5), (0.1, 29), (None, 29)])
def test_how_many_survivals_it_takes_to_call_a_side_good(rate: float | None, runs: int) -> None:
    assert runs_to_believe(rate, CONFIDENCE) == runs
