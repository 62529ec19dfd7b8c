"""Accuracy and cost of `harness compare --until-sure`, and of numbers of runs fixed beforehand.

    python benchmarks/comparison.py [--rounds 10000] [--pairs 60] [--difference 30] [--json]

Simulated; no guest is booted. Each row has a rate of hangs for each side. It shows how many comparisons ended with a
difference, with none worth knowing, or undecided after all pairs, and the pairs until then (median, 90th percentile).
Beside it is the share of comparisons with 10 and 30 runs of each side, fixed beforehand, that show a difference.
Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from harness.statistics.claims import GAP, MOST
from harness.statistics.exact import SIGNIFICANT, difference
from harness.statistics.sequential import weigh

FIXED = (10, 30)
RATES = (
    (1.0, 0.0), (0.9, 0.1), (0.5, 0.0), (0.3, 0.0), (0.1, 0.0), (0.8, 0.4), (0.65, 0.35), (0.5, 0.4),
    (0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.3, 0.3), (0.5, 0.5), (0.9, 0.9), (1.0, 1.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Shares of the comparisons by result, the pairs of runs that they took, and the power of fixed numbers of runs."""

    rate_a: float
    rate_b: float
    different: float
    alike: float
    undecided: float
    median: float
    most: float
    fixed: dict[int, float]


def simulate(rate_a: float, rate_b: float, *, rounds: int, pairs: int, gap: float, seed: int) -> Row:
    """All comparisons of one row at once."""
    random = np.random.default_rng([seed, round(1000 * rate_a), round(1000 * rate_b)])
    hits = [random.random((rounds, pairs)) < rate for rate in (rate_a, rate_b)]
    different, alike = weigh(*hits, gap=gap).decided()
    first = [np.where(found.any(axis=1), found.argmax(axis=1), pairs) for found in (different, alike)]
    claimed = (first[0] < pairs) & (first[0] <= first[1])
    dismissed = (first[1] < pairs) & ~claimed
    taken = np.minimum(np.minimum(*first) + 1, pairs)
    return Row(
        rate_a=rate_a,
        rate_b=rate_b,
        different=float(claimed.mean()),
        alike=float(dismissed.mean()),
        undecided=float((~claimed & ~dismissed).mean()),
        median=float(np.median(taken)),
        most=float(np.quantile(taken, 0.9)),
        fixed={runs: power(rate_a, rate_b, runs) for runs in FIXED},
    )


def power(rate_a: float, rate_b: float, runs: int) -> float:
    """The exact probability that so many runs of each side, fixed beforehand, show a difference."""
    chances = [stats.binom.pmf(np.arange(runs + 1), runs, rate) for rate in (rate_a, rate_b)]
    return float(sum(chances[0][a] * chances[1][b] for a, b in _showing(runs)))


_REGIONS: dict[int, list[tuple[int, int]]] = {}


def _showing(runs: int) -> list[tuple[int, int]]:
    """The pairs of numbers of hangs that show a difference; equal numbers never do, and it is symmetric."""
    if runs not in _REGIONS:
        pairs = [(a, b) for a in range(runs + 1) for b in range(a)]
        found = [(a, b) for a, b in pairs if (difference(a, runs, b, runs) or 1.0) < SIGNIFICANT]
        _REGIONS[runs] = [*found, *((b, a) for a, b in found)]
    return _REGIONS[runs]


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    heads = ["a", "b", "different", "alike", "undecided", "pairs: median", "90 %"]
    heads += [f"{runs} runs each show it" for runs in FIXED]
    lines = ["| " + " | ".join(heads) + " |", "|" + " ---: |" * len(heads)]
    for row in rows:
        shares = [row.rate_a, row.rate_b, row.different, row.alike, row.undecided]
        cells = [f"{share:.0%}" for share in shares[:2]] + [f"{share:.1%}" for share in shares[2:]]
        cells += [f"{row.median:.0f}", f"{row.most:.0f}", *(f"{share:.1%}" for share in row.fixed.values())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10_000, help="simulated comparisons of each row")
    parser.add_argument("--pairs", type=int, default=MOST, help="runs of each side at most")
    parser.add_argument("--difference", type=int, default=round(100 * GAP), help="worth knowing, percentage points")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    gap = given.difference / 100
    rows = [simulate(a, b, rounds=given.rounds, pairs=given.pairs, gap=gap, seed=given.seed) for a, b in RATES]
    print(json.dumps([asdict(row) for row in rows], indent=2) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
