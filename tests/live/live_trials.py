"""Small trials for the live tests: a load that does not swap, on one guest, with whatever is done to it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.faults.base import Fault
from harness.model.clock import SYSTEM_CLOCK
from harness.model.opinion import Opinion, State
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Topology
from harness.monitors.recorder import Recorder
from harness.storage.disk import PlainDisk
from harness.trial import Plan
from harness.trial.leftovers import Leftovers
from harness.verdicts.policy import Policy
from harness.workloads.thrash import SwapThrash

ROOT = Path(__file__).resolve().parents[2]
ENDLESS_PASSES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EndlessThrash(SwapThrash):
    """A fifth of the memory, touched again and again until its time is over."""

    processes_per_cpu: int = 2
    ram_ratio: float = 0.2
    passes: int = ENDLESS_PASSES
    limit_s: float = 40.0


def one_guest(*, memory: int = 256 * MIB, cmdline: str = "") -> Topology:
    """One guest in the role `client`."""
    host = Host(name="client", memory=memory, cpus=2, cmdline=cmdline)
    return Topology(name="one", hosts=(host,), roles={"client": "client"})


def quiet_plan(name: str, *faults: Fault, limit_s: float = 40.0, topology: Topology | None = None) -> Plan:
    """A trial that survives unless something is done to it."""
    return Plan(
        name=name,
        topology=topology or one_guest(),
        storage=PlainDisk(),
        workload=EndlessThrash(limit_s=limit_s),
        faults=faults,
        policy=Policy(time_limited=True),
    )


def make_traces() -> Leftovers:
    """What unloads, after a trial, the modules that came with a storage; its notes go nowhere."""
    return Leftovers(Recorder(lambda event: None, lambda event: Opinion(State.IDLE, event.t, ""), (), SYSTEM_CLOCK))


def guests_of(state: Path) -> list[int]:
    """Processes of guests and switches below a state folder."""
    return [
        process.pid
        for process in psutil.process_iter(["name", "cmdline", "status"])
        if process.info["name"].startswith(("qemu-system", "vde_"))
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and any(f"{state}/" in word for word in process.info["cmdline"] or ())
    ]


def start_run(output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`harness run` with these arguments, in a session of its own; what it prints is added to `output`."""
    command = [sys.executable, "-m", "harness.cli", "run", *arguments]
    with output.open("ab") as stream:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )


def new_run(case: Path, settings: Settings) -> list[str]:
    """The arguments that begin a run of `case` on local guests with these settings."""
    arguments = [str(case), "--inventory", str(ROOT / "inventories/local.toml")]
    return [*arguments, "--state", str(settings.state), "--cache", str(settings.cache)]
