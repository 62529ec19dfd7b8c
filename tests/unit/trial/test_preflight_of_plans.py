"""What the parts of a plan need of the kernels of its hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drivers.protocols import DiskThrottle, Pausable, Power
from harness.faults.guest import Pause
from harness.faults.kernel import KernelFault
from harness.guests import provider
from harness.kernels.preflight import SYMBOLS
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Topology
from harness.monitors.instruments.capture import Capture
from harness.monitors.instruments.sockets import SocketWatch
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.disk import PlainDisk
from harness.storage.failover import FailoverNfs
from harness.storage.ganesha import GaneshaDisk
from harness.storage.iscsi import IscsiDisk
from harness.storage.iscsi_target import LIO
from harness.storage.loop import LoopDisk
from harness.storage.mapped import MappedDisk
from harness.storage.nbd import NbdDisk, NbdSwap
from harness.storage.nfs import NfsDisk
from harness.storage.nvme_tcp import NvmeTcpDisk
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap
from harness.storage.tmpfs import Tmpfs
from harness.trial.plan import Plan
from harness.trial.preflight import host_needs, kernel_needs
from harness.workloads.thrash import SwapThrash

HOSTS = tuple(Host(name=name, memory=256 * MIB) for name in ("front", "back", "third"))
PAIR = Topology(
    name="pair", hosts=HOSTS, roles={"client": "front", "server": "back", "first": "back", "second": "third"}
)
ALONE = Topology(name="alone", hosts=HOSTS[:1], roles={"client": "front", "server": "front"})

CASES: list[tuple[Storage, dict[str, set[str]]]] = [
    (PlainDisk(), {}),
    (NbdSwap(), {"front": {"nbd", "CONFIG_SWAP"}}),
    (NbdDisk(), {"front": {"nbd"}}),
    (AoeDisk(), {"front": {"aoe"}, "back": {"af_packet"}}),
    (IscsiDisk(), {"front": {"iscsi_tcp", "sd_mod"}, "back": set()}),
    (
        IscsiDisk(program=LIO),
        {"front": {"iscsi_tcp", "sd_mod"}, "back": {"configfs", "iscsi_target_mod", "target_core_file"}},
    ),
    (NvmeTcpDisk(), {"front": {"nvme_tcp"}, "back": {"configfs", "nvmet", "nvmet_tcp"}}),
    (SmbDisk(), {"front": {"cifs"}}),
    (NfsDisk(), {"front": {"nfs", "nfsv4"}, "back": {"nfsd", "CONFIG_NFSD_V4"}}),
    (NfsDisk(version="3"), {"front": {"nfs", "nfsv3"}, "back": {"nfsd"}}),
    (GaneshaDisk(), {"front": {"nfs", "nfsv4"}}),
    (MappedDisk(), {"front": {"dm_mod", "dm_delay"}}),
    (MappedDisk(use="swap"), {"front": {"dm_mod", "dm_delay", "CONFIG_SWAP"}}),
    (LoopDisk(disk=MappedDisk(use="file")), {"front": {"loop", "dm_mod", "dm_delay"}}),
    (LoopDisk(disk=NfsDisk()), {"front": {"loop", "nfs", "nfsv4"}, "back": {"nfsd", "CONFIG_NFSD_V4"}}),
    (Tmpfs(disk=SmbDisk()), {"front": {"cifs"}}),
    (Swap(on=IscsiDisk()), {"front": {"iscsi_tcp", "sd_mod", "CONFIG_SWAP"}, "back": set()}),
    (
        FailoverNfs(),
        {
            "front": {"nfs", "nfsv4"},
            "back": {"nfs", "nfsv4", "nfsd", "CONFIG_NFSD_V4"},
            "third": {"nfs", "nfsv4", "nfsd", "CONFIG_NFSD_V4"},
        },
    ),
]


def plan(storage: Storage, topology: Topology) -> Plan:
    return Plan(name="x", topology=topology, storage=storage, workload=SwapThrash(host="client"))


@pytest.mark.parametrize(("storage", "needs"), CASES, ids=[case.describe() for case, _ in CASES])
def test_a_storage_needs_its_drivers_on_the_hosts_that_load_them(storage: Storage, needs: dict[str, set[str]]) -> None:
    assert {host: set(names) for host, names in kernel_needs(plan(storage, PAIR)).items()} == needs


@pytest.mark.parametrize(("storage", "needs"), CASES, ids=[case.describe() for case, _ in CASES])
def test_the_option_of_every_driver_is_known(storage: Storage, needs: dict[str, set[str]]) -> None:
    names = {name for of_host in kernel_needs(plan(storage, PAIR)).values() for name in of_host}
    assert {name for name in names if not name.startswith("CONFIG_")} <= set(SYMBOLS)


def test_one_host_in_two_roles_needs_what_both_need() -> None:
    assert kernel_needs(plan(AoeDisk(), ALONE)) == {"front": ("aoe", "veth", "af_packet")}
    assert set(kernel_needs(plan(NfsDisk(), ALONE))["front"]) == {"nfs", "nfsv4", "nfsd", "CONFIG_NFSD_V4"}


def test_faults_and_instruments_are_asked_as_well() -> None:
    made = Plan(
        name="x",
        topology=PAIR,
        storage=NbdDisk(),
        workload=SwapThrash(host="client"),
        faults=(KernelFault(role="server", what="panic"),),
        instruments=(Capture(host="client"), SocketWatch(host="server")),
    )
    assert kernel_needs(made) == {"front": ("nbd", "af_packet"), "back": ("CONFIG_MODULES", "inet_diag", "tcp_diag")}


def test_a_role_that_the_topology_does_not_have_is_left_to_whoever_uses_it() -> None:
    assert kernel_needs(plan(NbdDisk(client="nobody"), PAIR)) == {}


def test_a_plan_whose_hosts_lack_what_it_needs_is_refused_before_a_kernel_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Plan(
        name="x",
        topology=PAIR,
        storage=NfsDisk(scratch=True, bytes_per_s=1000),
        workload=SwapThrash(host="client"),
        faults=(Pause(role="client"),),
    )
    needs = host_needs(made)
    assert {need.capability for need in needs.capabilities} == {DiskThrottle, Pausable}
    monkeypatch.setattr(provider, "offers", lambda host: frozenset({Power}))
    with pytest.raises(UsageError) as raised:
        provider.GuestProvider(Settings(state=tmp_path, cache=tmp_path, results=tmp_path)).check(PAIR, needs, Silent())
    storage, pause = str(raised.value).splitlines()
    assert storage.startswith("NfsDisk needs DiskThrottle, which host 'back'")
    assert pause.startswith("Pause needs Pausable, which host 'front' does not offer")


@pytest.mark.parametrize(
    ("storage", "programs"),
    [
        (NbdSwap(), {"front": {"nbd-client"}, "back": {"nbd-server"}}),
        (NfsDisk(), {"front": {"mount.nfs"}, "back": {"rpc.nfsd", "rpc.mountd", "exportfs"}}),
        (AoeDisk(), {"front": set(), "back": {"vblade"}}),
        (NvmeTcpDisk(), {"front": {"nvme"}, "back": set()}),
        (MappedDisk(), {}),
    ],
)
def test_a_plan_names_the_programs_of_client_and_server(storage: Storage, programs: dict[str, set[str]]) -> None:
    plan = Plan(name="x", topology=PAIR, storage=storage, workload=SwapThrash())
    assert {host: set(names) for host, names in host_needs(plan).programs.items()} == programs


def test_a_host_that_serves_itself_needs_both() -> None:
    plan = Plan(name="x", topology=ALONE, storage=NbdSwap(), workload=SwapThrash())
    assert set(host_needs(plan).programs["front"]) == {"nbd-client", "nbd-server"}
