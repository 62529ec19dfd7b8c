"""Accuracy and cost of bisecting a hang that shows in only some runs: this harness against plain bisection.

    python benchmarks/bisection.py [--rounds 1000] [--sizes 8,64,512,4096] [--rates 0.1,0.2,0.3,0.5,0.7,0.9,1] [--json]

Simulated; no guest is booted. Each round has another culprit. A bad commit hangs with the rate of its row, a good one
with the rate of false alarms that the harness assumes. Plain bisection (`git bisect run` with a loop in its script)
calls a commit good after 1, 3, 5 or 10 survivals, and bad at its first hang; it trusts both ends. The harness does not
know the rate, verifies both ends, and stops at its confidence; all that is included in its runs and builds. A build is
a change of commit. Prints a table in Markdown: the share of right answers, and runs; in brackets the harness's builds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from harness.statistics.bisection import FALSE_ALARM, Belief, runs_to_believe
from harness.statistics.orders import Chain

REPEATS = (1, 3, 5, 10)
OURS = "harness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One method at one size and rate: shares of rounds with a right and without an answer; mean runs and builds."""

    size: int
    rate: float
    way: str
    right: float
    unanswered: float
    runs: float
    builds: float


def plain(random: np.random.Generator, size: int, rate: float, repeats: int, rounds: int) -> Cell:
    """Plain bisection, all rounds at once: `low` is good and `high` is bad."""
    culprit = random.integers(1, size + 1, rounds)
    low, high, runs, builds = (np.full(rounds, value) for value in (0, size, 0, 0))
    while (open_ := high - low > 1).any():
        middle = (low + high) // 2
        hangs = random.random((rounds, repeats)) < np.where(middle >= culprit, rate, FALSE_ALARM)[:, None]
        bad = hangs.any(axis=1)
        runs += open_ * np.where(bad, hangs.argmax(axis=1) + 1, repeats)
        builds += open_
        high, low = np.where(open_ & bad, middle, high), np.where(open_ & ~bad, middle, low)
    return Cell(
        size=size,
        rate=rate,
        way=f"plain, {repeats}",
        right=float((high == culprit).mean()),
        unanswered=0.0,
        runs=float(runs.mean()),
        builds=float(builds.mean()),
    )


class Search:
    """One round of the harness's bisection."""

    def __init__(self, random: np.random.Generator, size: int, rate: float) -> None:
        self.culprit = int(random.integers(1, size + 1))
        self.runs = self.builds = 0
        self._random, self._rate, self._size = random, rate, size
        self._belief = Belief(Chain(size + 1))
        self._last: int | None = None

    def answer(self, confidence: float) -> int | None:
        """The culprit found, or None if the bad end did not hang."""
        if not any(self._run(self._size) for _ in range(runs_to_believe(None, confidence))):
            return None
        testable = np.ones(self._size + 1, dtype=np.bool_)
        while not self._belief.good_end_settled() and self._belief.culprit[0] < confidence:
            self._run(0)
        while (answer := self._belief.answer(testable)).confidence < confidence:
            side = self._belief.choose(testable, self._last)
            assert side is not None
            self._run(side)
        return answer.culprits[0]

    def _run(self, side: int) -> bool:
        hung = bool(self._random.random() < (self._rate if side >= self.culprit else FALSE_ALARM))
        self._belief.learn(side, hung=hung)
        self.runs += 1
        self.builds += side != self._last
        self._last = side
        return hung


def ours(random: np.random.Generator, size: int, rate: float, confidence: float, rounds: int) -> Cell:
    """The harness's bisection, one round after the other."""
    searches = [Search(random, size, rate) for _ in range(rounds)]
    answers = [search.answer(confidence) for search in searches]
    answered = [search for search, answer in zip(searches, answers, strict=True) if answer is not None]
    return Cell(
        size=size,
        rate=rate,
        way=OURS,
        right=sum(search.culprit == answer for search, answer in zip(searches, answers, strict=True)) / rounds,
        unanswered=answers.count(None) / rounds,
        runs=float(np.mean([search.runs for search in answered])),
        builds=float(np.mean([search.builds for search in answered])),
    )


def measure(sizes: Iterable[int], rates: Iterable[float], confidence: float, rounds: int, seed: int) -> list[Cell]:
    cells = []
    for size in sizes:
        for rate in rates:
            random = np.random.default_rng([seed, size, round(rate * 1000)])
            cells += [plain(random, size, rate, repeats, rounds) for repeats in REPEATS]
            cells.append(ours(random, size, rate, confidence, rounds))
            print(f"{size} commits, {rate:.0%}: {cells[-1]}", file=sys.stderr, flush=True)
    return cells


def table(cells: list[Cell]) -> str:
    ways = list(dict.fromkeys(cell.way for cell in cells))
    rows = ["| commits | hangs in | " + " | ".join(ways) + " |", "| ---: | ---: |" + " ---: |" * len(ways)]
    places = dict.fromkeys((cell.size, cell.rate) for cell in cells)
    for size, rate in places:
        texts = [_text(cell) for cell in cells if (cell.size, cell.rate) == (size, rate)]
        rows.append(f"| {size} | {rate:.0%} | " + " | ".join(texts) + " |")
    return "\n".join(rows)


def _text(cell: Cell) -> str:
    if cell.way != OURS:
        return f"{cell.right:.1%}, {cell.runs:.0f}"
    wrong = 1 - cell.right - cell.unanswered
    return f"{cell.right:.1%} (wrong {wrong:.1%}, none {cell.unanswered:.1%}), {cell.runs:.0f} ({cell.builds:.0f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="simulated bisections of each cell")
    parser.add_argument("--sizes", default="8,64,512,4096", help="commits after the good one")
    parser.add_argument("--rates", default="0.1,0.2,0.3,0.5,0.7,0.9,1", help="shares of runs in which it hangs")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    sizes, rates = [int(size) for size in options.sizes.split(",")], [float(rate) for rate in options.rates.split(",")]
    cells = measure(sizes, rates, options.confidence, options.rounds, options.seed)
    print(json.dumps([asdict(cell) for cell in cells], indent=2) if options.json else table(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
