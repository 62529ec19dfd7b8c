"""Time until work begins, warm and cold, side by side with virtme-ng.

    python benchmarks/startup.py [--runs 3] [--json]

Each run measures, one after the other:
  warm boot        start of one guest from a snapshot until it answers over SSH (the topology `single` of
                   inventories/local.toml)
  warm first byte  start of the process `harness run` until the first operation of a small workload is seen;
                   progress is read twice a second, so this is up to 0.5 s late
  cold boot, cold first byte
                   the same with `--cold`, where the guest is powered on
  virtme-ng        `vng --run <kernel> -- true`, from the start of the process to its end, with the same kernel,
                   accelerator, processors and memory. The guest of virtme-ng has this machine's own root file system.

The steps of a warm first byte are taken from the trial's own history.

The snapshot is made, and virtme-ng is tried, before anything is timed, so that all files are in the page cache.
virtme-ng is installed into a virtual environment of its own below the cache folder. If it does not work, its row gives
the reason.

Takes about one minute a run under software emulation, and one before the first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import virtme
from benchmarks.common.children import run_child
from benchmarks.common.command import (
    INCOMPLETE,
    MEASURED,
    ROOT,
    arguments_of,
    guarded,
    make_parser,
    positive,
    settings_of,
)
from benchmarks.common.figures import Figure, figure_of, ratios, show
from benchmarks.common.guests import read_topology
from benchmarks.common.trials import harness_run, only_trial
from harness.cli.progress import Bars
from harness.guests.boot_spec import Machine
from harness.guests.provider import GuestProvider
from harness.model.errors import InfraError
from harness.model.events import Phase, TrialFacts, WorkloadProgress
from harness.model.history import Event, select
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.site.provider import HostNeeds

CASE = "benchmarks/cases/test_first_byte.py"
CASE_S = 600.0
BOOT_ONCE = ROOT / "benchmarks" / "common" / "boot_once.py"


# The steps of a trial before its workload's first operation: the phase in its history, and a description.
PHASES = {
    "boot": "guests, from snapshots, until SSH answers",
    "storage": "look at the host, storage",
    "baseline": "baseline, everything put in place",
}


def first_byte(events: Sequence[Event]) -> float | None:
    """The time of the workload's first seen operation, in seconds since the epoch; None without any."""
    started, worked = _begun(events), _worked(events)
    if started is None or worked is None:
        return None
    return started[1].started + worked.t - started[0].t


def shares(events: Sequence[Event], began: float) -> dict[str, float]:
    """Seconds of each step from the start of the process, `began`, to the first operation."""
    started, worked = _begun(events), _worked(events)
    if started is None or worked is None:
        return {}
    marks = {(phase.name, phase.state): event.t for event, phase in select(events, Phase)}
    found = {"start": started[1].started - began, "found": marks["boot", "begin"] - started[0].t}
    found |= {name: marks[name, "end"] - marks[name, "begin"] for name in PHASES}
    return {**found, "load": worked.t - marks["load", "begin"]}


def _begun(events: Sequence[Event]) -> tuple[Event, TrialFacts] | None:
    return next(select(events, TrialFacts), None)


def _worked(events: Sequence[Event]) -> Event | None:
    return next((event for event, done in select(events, WorkloadProgress) if done.ops), None)


class Startup:
    """The measurements: samples in seconds, [0] warm, [1] cold."""

    def __init__(self, settings: Settings, folder: Path, progress: Progress) -> None:
        self._settings, self._folder, self._progress = settings, folder, progress
        self._topology = read_topology()
        self._guests = GuestProvider(settings).prepare(self._topology, HostNeeds(), progress)
        self._virtme: virtme.VirtmeNg | None = None
        self.boots: tuple[list[float], list[float]] = ([], [])
        self.firsts: tuple[list[float], list[float]] = ([], [])
        self.shares: list[dict[str, float]] = []
        self.others: list[float] = []
        self.why_not = ""

    def run(self, runs: int) -> None:
        """Warm up, then take all measurements in turn."""
        self._progress.step("a snapshot, before anything is timed")
        self._boot(cold=False)
        self._try_virtme()
        for number in range(1, runs + 1):
            for cold, word in enumerate(("warm", "cold")):
                self._progress.step(f"run {number} of {runs}: {word} boot")
                self.boots[cold].append(self._boot(cold=bool(cold)))
                self._progress.step(f"run {number} of {runs}: {word} first byte")
                self.firsts[cold].append(self._first_byte(cold=bool(cold)))
            if self._virtme is not None:
                self._progress.step(f"run {number} of {runs}: virtme-ng")
                self.others.append(self._virtme.run_true(self._folder))

    @property
    def machine(self) -> Machine:
        """The image, kernel and modules that the guest boots from."""
        return self._guests.machines[self._topology.hosts[0].name]

    def _boot(self, *, cold: bool) -> float:
        command = [sys.executable, str(BOOT_ONCE), *arguments_of(replace(self._settings, cold=cold))]
        finished = run_child(command, limit_s=CASE_S, cwd=self._folder)
        if finished.exit_code != 0:
            raise InfraError(f"the guest did not boot:\n{finished.tail}")
        return float(finished.output.split()[-1])

    def _first_byte(self, *, cold: bool) -> float:
        settings = replace(self._settings, cold=cold)
        finished, run = harness_run(settings, self._folder / "results", CASE, limit_s=CASE_S)
        events = list(only_trial(finished, run).read_history())
        seen = first_byte(events)
        if seen is None:
            raise InfraError(f"the workload of {CASE} never reported an operation:\n{finished.tail}")
        if not cold:
            self.shares.append(shares(events, finished.began))
        return seen - finished.began

    def _try_virtme(self) -> None:
        host = self._topology.hosts[0]
        try:
            self._virtme = virtme.prepare(self._settings.cache, self.machine, host, self._folder, self._progress)
        except InfraError as error:
            self.why_not = str(error).partition("\n")[0]


def figures_of(startup: Startup) -> list[Figure]:
    """The samples as figures, with the ratios of measurements side by side."""
    machine, why_not = startup.machine, startup.why_not
    boot_note = f"{machine.kernel.release}, {machine.accelerator}"
    warm, cold = startup.boots
    first, cold_first = startup.firsts
    ratio = {"unit": "ratio", "note": why_not}
    return [
        figure_of("warm_boot", "warm boot: snapshot to SSH", "s", warm, note=boot_note),
        figure_of("cold_boot", "cold boot: power-on to SSH", "s", cold, note=boot_note),
        figure_of("warm_first_byte", "warm first byte: `harness run` to first operation", "s", first, aim="1.5"),
        *_steps(startup.shares),
        figure_of("cold_first_byte", "cold first byte", "s", cold_first),
        figure_of("virtme_ng_true", f"virtme-ng {virtme.VERSION}: `true`", "s", startup.others, note=why_not),
        figure_of("times_boot", "virtme-ng / warm boot", samples=ratios(startup.others, warm), aim="8", **ratio),
        figure_of("times_cold", "virtme-ng / cold boot", samples=ratios(startup.others, cold), **ratio),
        figure_of("times_first_byte", "virtme-ng / warm first byte", samples=ratios(startup.others, first), **ratio),
    ]


def _steps(samples: Sequence[dict[str, float]]) -> list[Figure]:
    """The steps of a warm first byte, in seconds."""
    steps = {
        "start": "Python, pytest, the case",
        "found": "image, kernel, memory",
        **PHASES,
        "load": "launch to first operation",
    }
    return [
        figure_of(f"warm_{name}", f"  {what}", "s", [sample[name] for sample in samples])
        for name, what in steps.items()
    ]


def measure(given: argparse.Namespace) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="harness-startup-") as name, Bars(Console(stderr=True)) as progress:
        folder = Path(name)
        startup = Startup(settings_of(given, results=folder / "results"), folder, progress)
        startup.run(given.runs)
    show("Startup", figures_of(startup), json_wanted=given.json)
    return INCOMPLETE if startup.why_not else MEASURED


def main() -> int:
    """Parse the command line and measure."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=positive, default=3, metavar="N", help="repetitions (default: 3)")
    given = parser.parse_args()
    return guarded(lambda: measure(given))


if __name__ == "__main__":
    sys.exit(main())
