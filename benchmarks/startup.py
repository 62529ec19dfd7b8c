"""How long it takes until work begins, side by side with virtme-ng.

    python benchmarks/startup.py [--runs 3] [--json]

Each run measures, one after the other:
  boot        power-on of one guest until it answers over SSH (the topology `single` of inventories/local.toml)
  first byte  start of the process `harness run` until the first operation of a small workload was seen, boot included;
              progress is read twice a second, so it is up to 0.5 s late
  virtme-ng   `vng --run <kernel> -- true`, from the start of the process to its end, with the same kernel,
              accelerator, processors and memory. The guest of virtme-ng has this machine's own root file system.

Boot and virtme-ng are done once before anything is timed, so that all find their files in the page cache. virtme-ng is
installed into a virtual environment of its own below the cache folder. Where it does not work, its row says why.

Takes about one minute a run under software emulation, and one before the first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
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
from harness.model.errors import InfraError
from harness.model.history import Event, Kind
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.targets.machines import Machine, machines_for

CASE = "benchmarks/cases/test_first_byte.py"
CASE_S = 600.0
BOOT_ONCE = ROOT / "benchmarks" / "common" / "boot_once.py"


def first_byte(events: Sequence[Event]) -> float | None:
    """When the first operation of the workload was seen, in seconds since the epoch; None if none was."""
    started = next((event for event in events if event.kind is Kind.TRIAL), None)
    worked = next((event for event in events if event.kind is Kind.PROGRESS and event.data["ops"] > 0), None)
    if started is None or worked is None:
        return None
    return float(started.data["started"]) + worked.t - started.t


class Startup:
    """The three measurements; their samples, in seconds."""

    def __init__(self, settings: Settings, folder: Path, progress: Progress) -> None:
        self._settings, self._folder, self._progress = settings, folder, progress
        self._topology = read_topology()
        self._machines = machines_for(settings, self._topology.hosts, progress)
        self._virtme: virtme.VirtmeNg | None = None
        self.boots: list[float] = []
        self.firsts: list[float] = []
        self.others: list[float] = []
        self.why_not = ""

    def run(self, runs: int) -> None:
        """Warm up, then take the three in turn."""
        self._progress.step("a boot before anything is timed")
        self._boot()
        self._try_virtme()
        for number in range(1, runs + 1):
            self._progress.step(f"run {number} of {runs}: boot")
            self.boots.append(self._boot())
            self._progress.step(f"run {number} of {runs}: first byte")
            self.firsts.append(self._first_byte())
            if self._virtme is not None:
                self._progress.step(f"run {number} of {runs}: virtme-ng")
                self.others.append(self._virtme.run_true(self._folder))

    @property
    def machine(self) -> Machine:
        """What the guest boots from."""
        return self._machines[self._topology.hosts[0].name]

    def _boot(self) -> float:
        command = [sys.executable, str(BOOT_ONCE), *arguments_of(self._settings)]
        finished = run_child(command, limit_s=CASE_S, cwd=self._folder)
        if finished.exit_code != 0:
            raise InfraError(f"the guest did not boot:\n{finished.tail}")
        return float(finished.output.split()[-1])

    def _first_byte(self) -> float:
        finished, run = harness_run(self._settings, self._folder / "results", CASE, limit_s=CASE_S)
        seen = first_byte(only_trial(finished, run).read_history())
        if seen is None:
            raise InfraError(f"the workload of {CASE} never reported an operation:\n{finished.tail}")
        return seen - finished.began

    def _try_virtme(self) -> None:
        host = self._topology.hosts[0]
        try:
            self._virtme = virtme.prepare(self._settings.cache, self.machine, host, self._folder, self._progress)
        except InfraError as error:
            self.why_not = str(error).partition("\n")[0]


def figures_of(startup: Startup) -> list[Figure]:
    """The samples as figures, with the ratios of what was measured side by side."""
    machine, why_not = startup.machine, startup.why_not
    boot_note = f"{machine.kernel.release}, {machine.accelerator}"
    return [
        figure_of("boot", "boot: power-on to SSH", "s", startup.boots, note=boot_note),
        figure_of("first_byte", "first byte: `harness run` to first operation", "s", startup.firsts),
        figure_of("virtme_ng_true", f"virtme-ng {virtme.VERSION}: `true`", "s", startup.others, note=why_not),
        figure_of("boot_ratio", "boot / virtme-ng", "ratio", ratios(startup.boots, startup.others), note=why_not),
        figure_of(
            "first_byte_ratio", "first byte / virtme-ng", "ratio", ratios(startup.firsts, startup.others), note=why_not
        ),
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
