"""Canaries: durations of everyday actions, before the load and under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.measure import Measure
from harness.monitors.instrument import ask, end_script
from harness.monitors.instruments.board import Times, draw, read_board
from harness.site.target import Site
from harness.site.zipapp import pack

SCRIPT = Path(__file__).parent / "guest" / "canaries.py"
FOLDER = "/run/harness/canaries"
BOARDS = {"calm": "/dev/shm/harness-canaries-calm", "load": "/dev/shm/harness-canaries-load"}
UPTIME = "/proc/uptime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """Times `true`, `date` and `ls -lR tree` on `host`, and synchronous writes to the file `writer`, if given.

    Canaries are ordinary processes: normal priority, no locked memory. They first run for `calm_s` seconds before the
    load, after the storage was set up; the times under load are compared with these. `true` and `date` run every 0.5 s,
    `ls` every second. The writer appends 4 KiB every 0.1 s and waits until it is on the disk.
    """

    host: str = "client"
    writer: str = ""
    tree: str = "/usr/lib/python3"
    calm_s: float = 10.0

    def describe(self) -> str:
        """See `Instrument.describe`."""
        wrote = f", synchronous writes to {self.writer}" if self.writer else ""
        return f"canaries on {self.host}: true, date, ls -lR {self.tree}{wrote}"

    def prepare(self, site: Site) -> None:
        """See `Instrument.prepare`: also the calm part."""
        target = site.role(self.host)
        target.shell.run("mkdir -p %s && rm -f %s %s", FOLDER, *BOARDS.values(), deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/canaries.pyz", deadline=site.deadline(10))
        command, *arguments = self._command("calm", self.calm_s)
        target.shell.run(str(command), *arguments, deadline=site.deadline(self.calm_s + 10))
        # Make the second board now, so that it can be opened while memory is plentiful.
        target.shell.run("cp %s %s", *BOARDS.values(), deadline=site.deadline(10))
        ask(site, self.host, "open", paths=[*BOARDS.values(), UPTIME])
        ask(site, self.host, "open", paths=[BOARDS["load"]], write=True)

    def launch(self, site: Site) -> None:
        """See `Instrument.launch`."""
        command, *arguments = self._command("load", 0)
        site.role(self.host).shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{FOLDER}/log", deadline=site.deadline(10)
        )

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; the distributions go into the evidence."""
        now_s = float(ask(site, self.host, "read", path=UPTIME).split()[0])
        boards = {phase: ask(site, self.host, "read", path=path) for phase, path in BOARDS.items()}
        calm, load = (read_board(boards[phase], now_s) for phase in ("calm", "load"))
        (evidence / f"canaries-{site.role(self.host).name}.txt").write_text(draw(calm, load), encoding="utf-8")
        return [measure for phase, found in (("calm", calm), ("load", load)) for measure in _figures(phase, found)]

    def end(self, site: Site) -> None:
        """See `Instrument.end`."""
        end_script(site, self.host, BOARDS["load"], f"-f {FOLDER}/canaries.pyz")

    def _command(self, phase: str, seconds: float) -> tuple[object, ...]:
        canaries = ["fork=", "date=", f"ls={self.tree}", *([f"writer={self.writer}"] if self.writer else [])]
        arguments = (f"{FOLDER}/canaries.pyz", BOARDS[phase], seconds, *canaries)
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)


def _figures(phase: str, found: Sequence[Times]) -> list[Measure]:
    """Measures of each canary: median, 99th percentile, worst, and when the worst began."""
    figures = []
    for times in found:
        name = f"{times.name} {phase}"
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            figures.append(Measure(name=f"{name} {word}", value=round(times.percentile(share), 1), unit="ms"))
        figures.append(Measure(name=f"{name} worst", value=round(times.worst_ms, 1), unit="ms"))
    return figures
