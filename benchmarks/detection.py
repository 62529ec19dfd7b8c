"""Time until the harness is sure of a deadlock, and its false alarms.

    python benchmarks/detection.py [PATH …] [--fresh 3] [--results DIR] [--json]

Recomputed with the current rules from the histories of finished trials. PATH is a results folder, a run, a trial or a
history file; all histories below it count. Without a PATH, trials are run first: --fresh of the row that deadlocks and
as many of the row that survives, in turn (testcases/test_nbd_swap.py, `test_patch_undone` and `test_stock`).

  onset to certainty   trials expected to deadlock that did: from the last progress (read twice a second) to the moment
                       when the watch is at `stopped`; the recovery probe comes after that
  false alarms         share of trials expected to survive in which the watch was ever at `stopped` or `silent`
                       (without storage whose protocol may wait: its stops within that time are no alarms)
  longest gap          longest time without progress in each of these trials

Trials that cannot be used (infrastructure failures, kernels that behaved unexpectedly) are counted separately.
Takes seconds for given paths; a fresh pair of trials takes two to four minutes under software emulation. Fresh results
are removed unless --results names a folder to keep them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.command import INCOMPLETE, MEASURED, guarded, make_parser, positive, settings_of
from benchmarks.common.figures import Figure, figure_of, show
from harness.cli.progress import Bars
from harness.model.errors import UsageError
from harness.model.events import TrialFacts
from harness.model.history import Event, Kind, select
from harness.model.observe import Progress
from harness.model.opinion import State
from harness.model.settings import Settings
from harness.model.verdict import VerdictKind
from harness.providers import clean
from harness.results.store import SURVIVES, RunStore, TrialStore
from harness.results.text import plain_line
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy
from harness.verdicts.watch import Watch

DEADLOCK = "deadlock"
ROWS = ("testcases/test_nbd_swap.py::test_patch_undone", "testcases/test_nbd_swap.py::test_stock")
TRIAL_S = 1800.0
PAIRS = 3
ALARMS = (State.STOPPED, State.SILENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The watch's times for one history, in seconds."""

    verdict: VerdictKind
    summary: str
    detection_s: float | None
    alarms: tuple[State, ...]
    longest_gap_s: float
    bound_s: float = 0.0


def replay(events: Sequence[Event]) -> Replay:
    """Feed a history to a new watch and to the judge.

    `detection_s` is that of the stop still open at the end, None without one.
    """
    watch = Watch(policy_of(events))
    longest, alarms = 0.0, dict[State, None]()
    for event in events:
        moved, done = last_progress(watch), watch.opinion.state is State.FINISHED
        opinion = watch.feed(event)
        if opinion.state in ALARMS:
            alarms[opinion.state] = None
        if event.kind is Kind.PROGRESS and watch.phase == "load" and moved is not None and not done:
            longest = max(longest, event.t - moved)
    stop, verdict = watch.open_stop, judge(events)
    return Replay(
        verdict=verdict.kind,
        summary=plain_line(verdict.summary),
        detection_s=stop.certain_s - stop.onset_s if stop is not None else None,
        alarms=tuple(alarms),
        longest_gap_s=longest,
        bound_s=watch.policy.bound_s,
    )


def policy_of(events: Sequence[Event]) -> Policy:
    """The policy in force under load: a history has two, and the second one is scaled to its targets."""
    said = [facts.policy for _, facts in select(events, TrialFacts) if facts.policy]
    return Policy.from_dict(said[-1]) if said else Policy()


def last_progress(watch: Watch) -> float | None:
    """The time of the last progress of any workload, in trial time; None without any."""
    return max((host.moved_s for host in watch.hosts.values() if host.workers), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Replays sorted by their use."""

    deadlocks: tuple[Replay, ...]
    survivors: tuple[Replay, ...]
    left_out: tuple[str, ...]


def tally(trials: Sequence[tuple[str, str, Replay]]) -> Tally:
    """Sort (name, expectation, replay); a trial expected to survive that raised an alarm always counts as survivor."""
    deadlocks, survivors, left_out = [], [], []
    for name, expected, result in trials:
        if expected == DEADLOCK and result.verdict is VerdictKind.DEADLOCKED and result.detection_s is not None:
            deadlocks.append(result)
        elif expected == SURVIVES and not result.bound_s and (result.alarms or result.verdict is VerdictKind.SURVIVED):
            survivors.append(result)
        else:
            left_out.append(f"{name}: {result.verdict.value}, {result.summary}")
    return Tally(deadlocks=tuple(deadlocks), survivors=tuple(survivors), left_out=tuple(left_out))


def figures_of(counted: Tally) -> list[Figure]:
    """The tally as figures."""
    seconds = [result.detection_s for result in counted.deadlocks if result.detection_s is not None]
    gaps = [result.longest_gap_s for result in counted.survivors]
    alarms = sum(bool(result.alarms) for result in counted.survivors)
    share = 100 * alarms / len(gaps) if gaps else None
    none = "" if seconds else "no trial deadlocked as expected"
    alone = "" if gaps else "no trial survived as expected"
    worst = round(max(seconds), 4) if seconds else None
    longest = round(max(gaps), 4) if gaps else None
    return [
        figure_of("detection", "deadlock: onset to certainty", "s", seconds, aim="≤ 10 s", note=none),
        Figure(name="detection_worst", what="the same, worst", unit="s", value=worst, note=none),
        Figure(name="deadlocks", what="deadlocks", unit="trials", value=len(seconds)),
        Figure(name="false_alarms", what="survivors with an alarm", unit="%", value=share, aim="0 %", note=alone),
        figure_of("survivor_gap", "survivor: longest gap in progress", "s", gaps, note=alone),
        Figure(name="survivor_gap_worst", what="the same, worst", unit="s", value=longest, note=alone),
        Figure(name="survivors", what="survivors", unit="trials", value=len(gaps), aim="10 or more"),
        Figure(
            name="left_out",
            what="trials left out",
            unit="trials",
            value=len(counted.left_out),
            note="; ".join(counted.left_out),
        ),
    ]


def find_trials(path: Path) -> list[TrialStore]:
    """The trials of a results folder, a run, a trial or a history file; raises UsageError without any."""
    if path.name == "history.jsonl" and path.is_file():
        return [TrialStore(path.parent)]
    if (path / "history.jsonl").is_file():
        return [TrialStore(path)]
    runs = [RunStore(path)] if (path / "trials").is_dir() else RunStore.runs(path)
    trials = [trial for run in runs for trial in run.trials() if trial.history_path.is_file()]
    if not trials:
        raise UsageError(f"{path}: no history.jsonl in it; name a results folder, a run or a trial")
    return trials


def run_fresh(settings: Settings, results: Path, pairs: int, progress: Progress) -> None:
    """Run both rows in turn; the tally judges their results."""
    from benchmarks.common.trials import harness_run

    try:
        for number in range(1, pairs + 1):
            for row in ROWS:
                progress.step(f"pair {number} of {pairs}: {row.rpartition('::')[2]}")
                harness_run(settings, results, row, limit_s=TRIAL_S)
    finally:
        clean(settings)


@contextmanager
def results_folder(given: Path | None) -> Iterator[Path]:
    """Where fresh trials leave their results: kept if the user named it."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="harness-detection-") as name:
        yield Path(name)


def measure(given: argparse.Namespace) -> int:
    """Run fresh trials if asked for, replay, print."""
    with results_folder(given.results) as results:
        pairs = given.fresh or (0 if given.paths else PAIRS)
        if pairs:
            with Bars(Console(stderr=True)) as progress:
                run_fresh(settings_of(given, results=results), results, pairs, progress)
        trials = [trial for path in [*given.paths, *([results] if pairs else [])] for trial in find_trials(path)]
        counted = tally([(trial.slug, trial.expected, replay(trial.read_history())) for trial in trials])
    show("Detection", figures_of(counted), json_wanted=given.json)
    return MEASURED if counted.deadlocks or counted.survivors else INCOMPLETE


def main() -> int:
    """Parse the command line and measure."""
    parser = make_parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="finished trials (default: run fresh ones)")
    parser.add_argument(
        "--fresh", type=positive, metavar="N", help=f"pairs of trials to run (default: {PAIRS}, without a PATH)"
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="keep the results of fresh trials here")
    given = parser.parse_args()
    return guarded(lambda: measure(given))


if __name__ == "__main__":
    sys.exit(main())
