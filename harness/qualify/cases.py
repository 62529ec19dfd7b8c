"""Cases of the stages under memory pressure and of the soak: each with a control that has the same load without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.model.topology import Topology
from harness.monitors.instruments.hog import Hog
from harness.monitors.instruments.sockets import SERVICES, SocketWatch
from harness.storage.disk import PlainDisk
from harness.storage.nbd import NbdSwap
from harness.storage.nfs import NfsDisk
from harness.trial.plan import Plan
from harness.verdicts.policy import Policy
from harness.workloads.thrash import SwapThrash
from harness.workloads.transfer import Transfer

STALL_S = 3.0  # the shortest stall of the IPoIB report
SWAP = NbdSwap(ratio=1.5)
NFS = NfsDisk()
# More memory than is left, so that some of it is swapped; not much more, or the reader of a transfer has none.
HOG = Hog(share=0.4, after_s=8.0)
IPERF3 = SocketWatch(ports=(SERVICES["iperf3"],), stall_s=STALL_S)

Make = Callable[[str, Topology, float], Plan]  # name, hosts, seconds of load


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`plan` must survive on hosts that are well. `control` leaves out what the case adds: it shows that the rest is.

    `linked`: it needs two hosts with a link. `blames` says what is at fault if the case hangs and its control does not.
    """

    name: str
    about: str
    linked: bool
    plan: Make
    control: Make
    blames: str


def _thrash(share: float, seconds: float) -> SwapThrash:
    return SwapThrash(processes_per_cpu=4, ram_ratio=share, passes=0, refills=True, limit_s=seconds)


def _swap(name: str, topology: Topology, seconds: float) -> Plan:
    return Plan(name=name, topology=topology, storage=SWAP, workload=_thrash(1.3, seconds))


def _no_swap(name: str, topology: Topology, seconds: float) -> Plan:
    return Plan(name=name, topology=topology, storage=PlainDisk(), workload=_thrash(0.3, seconds))


def _transfer(direction: str) -> Make:
    def make(name: str, topology: Topology, seconds: float) -> Plan:
        load = Transfer(direction=direction, seconds=seconds)
        return Plan(name=name, topology=topology, storage=SWAP, workload=load, instruments=(IPERF3, HOG))

    return make


def plain_transfer(direction: str) -> Make:
    """A transfer with nothing beside it."""

    def make(name: str, topology: Topology, seconds: float) -> Plan:
        load = Transfer(direction=direction, seconds=seconds)
        return Plan(name=name, topology=topology, storage=PlainDisk(), workload=load, instruments=(IPERF3,))

    return make


def files(name: str, topology: Topology, seconds: float) -> Plan:
    """A file written over NFS, again and again."""
    load = Transfer(kind="file", path=f"{NFS.mount}/load", seconds=seconds)
    return Plan(name=name, topology=topology, storage=NFS, workload=load, policy=Policy())


def _files_pressed(name: str, topology: Topology, seconds: float) -> Plan:
    load = Transfer(kind="file", path=f"{NFS.mount}/load", seconds=seconds)
    return Plan(name=name, topology=topology, storage=NFS, workload=load, instruments=(Hog(share=0.5, after_s=8.0),))


PRESSURE = (
    Case(
        name="swap over the network",
        about="swap on an NBD that another host serves, more memory in use than there is",
        linked=True,
        plan=_swap,
        control=_no_swap,
        blames="writing out over this link takes memory that only writing out would free",
    ),
    Case(
        name="outgoing transfer beside a hog",
        about="iperf3 to the other host while memory is swapped over the same link",
        linked=True,
        plan=_transfer("outgoing"),
        control=plain_transfer("outgoing"),
        blames="what sends on this link waits for memory",
    ),
    Case(
        name="incoming transfer beside a hog",
        about="iperf3 from the other host while memory is swapped over the same link",
        linked=True,
        plan=_transfer("incoming"),
        control=plain_transfer("incoming"),
        blames="what receives on this link, or acknowledges, waits for memory",
    ),
    Case(
        name="loopback NFS beside a hog",
        about="a host that mounts itself, as the survivor of a cluster does, short of memory",
        linked=False,
        plan=_files_pressed,
        control=files,
        blames="writeback to its own NFS server waits for memory that only writeback frees",
    ),
)
SOAK = (
    ("outgoing", plain_transfer("outgoing")),
    ("incoming", plain_transfer("incoming")),
    ("NFS", files),
)
