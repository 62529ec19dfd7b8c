"""Cost of watching: throughput of a workload with and without it, and the agent's locked memory.

    python benchmarks/overhead.py [--runs 5] [--seconds 20] [--inventory FILE] [--json]

One host (the topology `single` of inventories/local.toml, or of another inventory, also with a physical host) runs one
process a processor. They fill a fifth of its memory and read it again and again; nothing swaps. Halves alternate, and
each pair gives one ratio:
  without   the agent's processes are stopped (SIGSTOP) and the harness samples nothing
  with      the agent runs as in a trial: heartbeat, every rung, the storage probe on the root disk, counters; the
            harness samples its own rungs and writes the history
Operations are read from the workload's shared counters over SSH, together with the host's clock, before and after
each half. A guest and the harness share this machine's processors, so the harness's own work counts too.

It also prints the processor shares in watched halves: the agent's of one processor of the host, and the harness's of
one processor of this machine. The SSH session that the harness opens every 5 s is in neither, only in the throughput.

  locked memory   Mlocked of the host's /proc/meminfo with the agent, minus the value after it was killed; beside it
                  the sum of Locked in its processes' smaps_rollup

Takes 1 minute and 2 × (seconds + 4 s) a run under software emulation: 5 minutes.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.command import MEASURED, guarded, make_parser, positive, settings_of
from benchmarks.common.figures import Figure, figure_of, ratios, show
from benchmarks.common.guests import INVENTORY, booted, read_topology
from harness.cli.progress import Bars
from harness.guest.progress import FIRST, SLOT_SIZE
from harness.model.clock import SYSTEM_CLOCK
from harness.model.errors import InfraError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import KIB, MIB, Topology
from harness.monitors.ladder import PERIOD_S, HostMonitor
from harness.monitors.recorder import Recorder
from harness.results.store import RunStore
from harness.site.target import Site, Target
from harness.storage.disk import PlainDisk
from harness.trial.event_router import EventRouter
from harness.verdicts.policy import Policy
from harness.verdicts.watch import Watch
from harness.workloads.thrash import PROGRESS, SwapThrash

LOAD = SwapThrash(processes_per_cpu=1, ram_ratio=0.2, passes=1_000_000)
SETTLE_S = 2.0
GO_S = 60.0
COUNT = struct.Struct("=Q")
TICKS_PER_S = 100  # of /proc/<pid>/stat: USER_HZ, the same on every x86 kernel
AGENT = "^python3 .*agent.py"  # anchored: the shell that runs pgrep has the pattern in its own command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Operations of all workers at `uptime_s` on the host's clock."""

    uptime_s: float
    ops: int


def parse_reading(text: str) -> Reading:
    """The base64 text of /proc/uptime followed by the progress file; raises ValueError on anything else.

    The layout of the progress file is in docs/agent.md.
    """
    try:
        line, _, shared = base64.b64decode(text, validate=True).partition(b"\n")
        slots = range(FIRST, len(shared), SLOT_SIZE)
        if not slots or (len(shared) - FIRST) % SLOT_SIZE:
            raise ValueError(f"{len(shared)} bytes are no progress file")
        return Reading(uptime_s=float(line.split()[0]), ops=sum(COUNT.unpack_from(shared, at)[0] for at in slots))
    except (binascii.Error, IndexError) as error:
        raise ValueError(f"no reading: {text[:80]!r}") from error


def rate(before: Reading, after: Reading) -> float:
    """Operations a second between two readings."""
    return (after.ops - before.ops) / (after.uptime_s - before.uptime_s)


def costs(without: Sequence[float], watched: Sequence[float]) -> list[float]:
    """Throughput lost by watching in per cent, for each pair; negative if the watched half was faster."""
    return [100 * (1 - ratio) for ratio in ratios(watched, without)]


def field_kib(text: str, name: str) -> int:
    """The sum of all lines `<name>: <n> kB`; raises ValueError if there is none."""
    found = [int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")]
    if not found:
        raise ValueError(f"no line {name!r}")
    return sum(found)


def cpu_seconds(text: str) -> float:
    """Processor seconds of the processes in lines of /proc/<pid>/stat, including those of their ended children."""
    lines = [line.rpartition(")")[2].split() for line in text.splitlines()]
    return sum(int(tick) for words in lines for tick in words[11:15]) / TICKS_PER_S


class Loaded:
    """The host under load, accessed over SSH only."""

    def __init__(self, site: Site, target: Target) -> None:
        self._site, self._target = site, target
        self.agent = tuple(int(word) for word in self.run("pgrep -f %s", AGENT).split())

    def run(self, command: str, *arguments: object) -> str:
        """The output of a command."""
        return self._target.shell.run(command, *arguments, deadline=self._site.deadline(20)).stdout

    def read(self) -> Reading:
        """Clock and counters, read by one process so that they belong together."""
        return parse_reading(self.run("cat /proc/uptime %s | base64 -w0", PROGRESS))

    def signal_agent(self, name: str) -> None:
        """Send the agent's processes a signal."""
        self.run(f"kill -{name} {' '.join(map(str, self.agent))}")

    def agent_cpu(self) -> float:
        """Processor seconds used by the agent."""
        return cpu_seconds(self.run(f"cat {' '.join(f'/proc/{pid}/stat' for pid in self.agent)}"))

    def await_load(self) -> None:
        """Wait until every worker has filled its memory; raises InfraError if it takes too long."""
        pages = int(self._target.facts.memory * LOAD.ram_ratio) // 4096
        end = time.monotonic() + GO_S * max(1.0, self._target.facts.slowdown)
        while self.read().ops < 2 * pages:
            if time.monotonic() > end:
                raise InfraError("the workload did not get going")
            time.sleep(1.0)

    def locked(self) -> tuple[float, float]:
        """MiB locked by the agent: the decrease once it is killed, and the agent's own sum."""
        self.run("pkill -KILL -x thrash; sleep 1")
        files = " ".join(f"/proc/{pid}/smaps_rollup" for pid in self.agent)
        own = field_kib(self.run(f"cat {files}"), "Locked")
        before = field_kib(self.run("cat /proc/meminfo"), "Mlocked")
        self.signal_agent("KILL")
        after = field_kib(self.run("sleep 2; cat /proc/meminfo"), "Mlocked")
        return (before - after) * KIB / MIB, own * KIB / MIB


class Watching:
    """Turns watching on and off for the same host."""

    def __init__(self, host: Loaded, target: Target, router: EventRouter, recorder: Recorder) -> None:
        self._host, self._target = host, target
        self._router, self._recorder = router, recorder
        self.agent_shares: list[float] = []
        self.harness_shares: list[float] = []

    def without(self, seconds: float) -> float:
        """Operations a second without watching."""
        self._host.signal_agent("STOP")
        try:
            time.sleep(SETTLE_S)
            return self._rate(lambda: time.sleep(seconds))
        finally:
            self._host.signal_agent("CONT")

    def watched(self, seconds: float) -> float:
        """Operations a second while agent and monitor work as in a trial."""
        monitor = HostMonitor(self._target, self._router.agents[self._target.name], self._recorder, SYSTEM_CLOCK)
        monitor.start()
        try:
            tick_for(monitor, SETTLE_S)
            agent, own, begun = self._host.agent_cpu(), time.process_time(), time.monotonic()
            result = self._rate(lambda: tick_for(monitor, seconds))
            own, elapsed = time.process_time() - own, time.monotonic() - begun
            self.harness_shares.append(100 * own / elapsed)
            self.agent_shares.append(100 * (self._host.agent_cpu() - agent) / elapsed)
            return result
        finally:
            monitor.stop()
            # A pending echo must come back before the agent, which sends it, is stopped.
            time.sleep(PERIOD_S)

    def _rate(self, wait: Callable[[], None]) -> float:
        before = self._host.read()
        wait()
        return rate(before, self._host.read())


def tick_for(monitor: HostMonitor, seconds: float) -> None:
    """Sample once a second for `seconds`."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        monitor.tick()
        time.sleep(min(PERIOD_S, left))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Operations a second of each half, processor shares of each watched half in per cent, and MiB locked."""

    without: tuple[float, ...]
    watched: tuple[float, ...]
    agent_shares: tuple[float, ...]
    harness_shares: tuple[float, ...]
    locked_mib: float
    own_locked_mib: float


def measure_host(
    settings: Settings, topology: Topology, folder: Path, runs: int, seconds: float, progress: Progress
) -> Overhead:
    """Bring the host up, set the load going, alternate, and at the end kill the agent."""
    trial = RunStore.create(folder / "results", manifest={}).trial("overhead")
    recorder = Recorder(trial.append, Watch(Policy()).feed, (), SYSTEM_CLOCK)
    router = EventRouter(topology, recorder, SYSTEM_CLOCK)
    progress.step("bringing the host up")
    with booted(settings, topology, router, folder, progress) as (site, _):
        target = site.role(LOAD.host)
        host = Loaded(site, target)
        start_load(site, target, host)
        watching = Watching(host, target, router, recorder)
        without, watched = [], []
        for number in range(1, runs + 1):
            progress.step(f"run {number} of {runs}: without")
            without.append(watching.without(seconds))
            progress.step(f"run {number} of {runs}: with")
            watched.append(watching.watched(seconds))
        progress.step("locked memory")
        locked, own = host.locked()
    trial.close()
    return Overhead(
        without=tuple(without),
        watched=tuple(watched),
        agent_shares=tuple(watching.agent_shares),
        harness_shares=tuple(watching.harness_shares),
        locked_mib=locked,
        own_locked_mib=own,
    )


def start_load(site: Site, target: Target, host: Loaded) -> None:
    """Give the agent all its tasks of a trial, and start the workload."""
    storage = PlainDisk().set_up(site)
    shared = LOAD.prepare(site)
    target.agent.ask("storage", **storage.spec, deadline=site.deadline(5))
    target.agent.ask("stats", files=dict(storage.counters), deadline=site.deadline(5))
    target.agent.ask("progress", path=shared.path, deadline=site.deadline(5))
    LOAD.launch(site)
    host.await_load()


def figures_of(measured: Overhead) -> list[Figure]:
    """The measurements as figures; the spread of the halves shows how much of the cost may be noise."""
    middle = sorted(measured.without)[len(measured.without) // 2]
    spread = (
        round(100 * (max(measured.without) - min(measured.without)) / middle, 4) if len(measured.without) > 1 else None
    )
    return [
        figure_of("ops_without", "throughput without", "ops/s", measured.without),
        figure_of("ops_with", "throughput with", "ops/s", measured.watched),
        figure_of("cost", "cost of watching", "%", costs(measured.without, measured.watched), aim="< 2 %"),
        figure_of("agent_cpu", "agent, of a processor of the host", "%", measured.agent_shares),
        figure_of("harness_cpu", "harness, of a processor here", "%", measured.harness_shares),
        Figure(name="noise", what="spread of the halves without", unit="%", value=spread),
        Figure(
            name="locked", what="locked by the agent", unit="MiB", value=round(measured.locked_mib, 2), aim="< 24 MiB"
        ),
        Figure(name="locked_own", what="the same by smaps_rollup", unit="MiB", value=round(measured.own_locked_mib, 2)),
    ]


def measure(given: argparse.Namespace) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="harness-overhead-") as name, Bars(Console(stderr=True)) as progress:
        folder = Path(name)
        settings = settings_of(given, results=folder / "results")
        topology = read_topology(given.inventory)
        measured = measure_host(settings, topology, folder, given.runs, given.seconds, progress)
    show("Overhead", figures_of(measured), json_wanted=given.json)
    return MEASURED


def main() -> int:
    """Parse the command line and measure."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=positive, default=5, metavar="N", help="pairs of halves (default: 5)")
    parser.add_argument("--seconds", type=positive, default=20, metavar="S", help="length of a half (default: 20)")
    parser.add_argument(
        "--inventory", type=Path, default=INVENTORY, metavar="FILE", help="where `single` is (default: %(default)s)"
    )
    given = parser.parse_args()
    return guarded(lambda: measure(given))


if __name__ == "__main__":
    sys.exit(main())
