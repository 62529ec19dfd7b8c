"""Building blocks of self-test plans: small hosts, endless loads, and random instants of faults."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.faults.base import Fault
from harness.model.topology import GIB, MIB, Host, Link, Topology
from harness.storage.base import Storage
from harness.storage.disk import PlainDisk
from harness.trial.plan import Plan
from harness.verdicts.policy import Policy
from harness.workloads.base import Workload
from harness.workloads.steady import WRITES, Steady
from harness.workloads.thrash import SwapThrash

ROLE, SERVER = "client", "server"
LINK = "cluster"
FILE = "/var/tmp/harness-load"  # on the root disk
BLOCK = 65536
ENDLESS = 1_000_000  # passes: the load runs until its time is over
LIVE_S = 45.0  # of load if nothing stops it, and after the last fault or heal on a host that survives
# Of load after a fault that stops it: time to be sure of it, or to miss it. The kernel's workqueue watchdog takes up to
# 60 s.
AFTER_S = 80.0
EARLIEST_S, LATEST_S = 8.0, 20.0  # the load has begun by then, but not long before


def instant(random: Random) -> float:
    """A random time for a fault, in seconds after the load began."""
    return round(random.uniform(EARLIEST_S, LATEST_S), 2)


def alone(*, scratch: int = 0, modules: Sequence[str] = ()) -> Topology:
    """One small guest, optionally with a second disk."""
    host = Host(name="alone", memory=256 * MIB, cpus=2, scratch=scratch, modules=tuple(modules))
    return Topology(name="selftest-alone", hosts=(host,), roles={ROLE: host.name})


def with_disk() -> Topology:
    """One small guest with a second disk, on which faults are injected."""
    return alone(scratch=GIB)


def pair() -> Topology:
    """A small guest, and another one that serves its storage."""
    client = Host(name="small", memory=160 * MIB, cpus=2)
    server = Host(name="storage", memory=GIB, cpus=1)
    return Topology(
        name="selftest-pair",
        hosts=(client, server),
        roles={ROLE: client.name, SERVER: server.name},
        links=(Link(name=LINK, hosts=(client.name, server.name)),),
    )


def thrash(limit_s: float, ratio: float = 3.0, processes: int = 8) -> Workload:
    """An endless load that swaps `ratio` × the memory, with so many processes on each processor."""
    return SwapThrash(host=ROLE, processes_per_cpu=processes, ram_ratio=ratio, passes=ENDLESS, limit_s=limit_s)


def steady(limit_s: float, mode: str = "write", path: str = FILE, block: int = BLOCK) -> Workload:
    """An endless load that repeats one operation; `path` and `block` (bytes) are for the writing modes."""
    return Steady(host=ROLE, mode=mode, path=path if mode in WRITES else "", block=block, limit_s=limit_s)


def until(fault: Fault, after_s: float = AFTER_S) -> float:
    """How long a load must last for a fault's effect to be seen."""
    return fault.at_s + (fault.heal_after_s or 0.0) + after_s


def plan(
    topology: Topology, storage: Storage | None, load: Workload, faults: Sequence[Fault] = (), name: str = "selftest"
) -> Plan:
    """A plan that survives unless a fault is injected; without a storage, it uses the hosts' own disks."""
    return Plan(
        name=name,
        topology=topology,
        storage=storage or PlainDisk(host=ROLE),
        workload=load,
        faults=tuple(faults),
        policy=Policy(time_limited=True),
    )
