"""Verdicts per hour with 1, 2 and 4 trials at the same time, and whether they are still right.

    python benchmarks/throughput.py [--workers 1 2 4] [--rows 4] [--json]

Each number of workers runs the same trials (benchmarks/cases/test_throughput.py): `--rows` that deadlock, and as many
that survive; by default eight in all. Beside the rate are its costs: verdicts that are not as expected, and steal time
as a share of the time that the guests' processors wanted (median over the trials; see `steal time` in the figures of
any trial). The number of workers for `-n auto` was chosen by these figures.

Takes up to twenty minutes for each number of workers under software emulation on two processors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.command import MEASURED, guarded, make_parser, positive, settings_of
from benchmarks.common.figures import Figure, show
from benchmarks.common.trials import harness_run
from harness.cli.progress import Bars
from harness.model.errors import InfraError
from harness.results.store import TrialStore

CASE = "benchmarks/cases/test_throughput.py"
LIMIT_S = 3 * 3600.0
STEAL_TIME = "steal time"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one number of workers."""

    workers: int
    verdicts: int
    wrong: int
    seconds: float
    steal: float


def result_of(workers: int, trials: list[TrialStore], seconds: float) -> Result:
    """Count the verdicts of a run that took `seconds`; raises InfraError if there is none."""
    records = [record for trial in trials if (record := trial.read_verdict()) is not None]
    if not records:
        raise InfraError(f"{workers} workers came to no verdict")
    shares = [float(found.value) for trial in trials for found in trial.read_measures() if found.name == STEAL_TIME]
    wrong = sum(not record["as_expected"] for record in records)
    return Result(workers, len(records), wrong, seconds, median(shares) if shares else 0.0)


def figures_of(results: list[Result]) -> list[Figure]:
    """Three figures for each number of workers."""
    figures = []
    for result in results:
        n, some = result.workers, f"{result.workers} at the same time"
        note = f"{result.verdicts} in {result.seconds / 60:.1f} minutes"
        rate = round(3600 * result.verdicts / result.seconds, 1)
        figures += [
            Figure(name=f"rate_{n}", what=f"{some}: verdicts", unit="1/h", value=rate, note=note),
            Figure(name=f"wrong_{n}", what=f"{some}: not as expected", unit="", value=result.wrong, aim="0"),
            Figure(name=f"steal_{n}", what=f"{some}: {STEAL_TIME}", unit="%", value=result.steal),
        ]
    return figures


def measure(given: argparse.Namespace) -> int:
    """Measure and print."""
    results = []
    with tempfile.TemporaryDirectory(prefix="harness-throughput-") as name, Bars(Console(stderr=True)) as progress:
        folder = Path(name)
        settings = settings_of(given, results=folder / "results")
        for workers in given.workers:
            progress.step(f"{workers} at the same time")
            options = ["-n", str(workers), "-k", " or ".join(f"[{row}]" for row in range(given.rows))]
            finished, run = harness_run(settings, folder / "results", CASE, limit_s=LIMIT_S, options=options)
            results.append(result_of(workers, run.trials(), finished.seconds))
    show("Throughput", figures_of(results), json_wanted=given.json)
    return MEASURED


def main() -> int:
    """Parse the command line and measure."""
    parser = make_parser(__doc__)
    parser.add_argument("--workers", type=positive, nargs="+", default=[1, 2, 4], metavar="N", help="default: 1 2 4")
    parser.add_argument("--rows", type=int, choices=range(1, 5), default=4, help="of each kind; default: 4")
    given = parser.parse_args()
    return guarded(lambda: measure(given))


if __name__ == "__main__":
    sys.exit(main())
