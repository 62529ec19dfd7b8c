"""iSCSI, NVMe/TCP, AoE and SMB: the commands that each host gets, in an order that works, and the bound of a wait."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakes import agent_of, make_site, make_topology, no_answer, shell_of

from harness.model.errors import DeadlineExceeded, InfraError, UsageError
from harness.model.topology import GIB, MIB, Host, Topology
from harness.site.target import Site
from harness.storage import aoe, iscsi, nvme_tcp, smb
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.iscsi import IscsiDisk
from harness.storage.iscsi_target import LIO, TARGET
from harness.storage.nvme_tcp import NQN, NvmeTcpDisk
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap

DD = "16777216 bytes (17 MB, 16 MiB) copied, 2 s, 8 MB/s\n"
STORAGES: dict[str, Storage] = {
    "tgt": IscsiDisk(),
    "lio": IscsiDisk(program=LIO),
    "aoe": AoeDisk(),
    "nvme": NvmeTcpDisk(),
    "smb": SmbDisk(),
    "swap": Swap(on=IscsiDisk()),
}


def willing(topology: Topology | None = None, **changes: object) -> Site:
    """A site whose hosts answer what healthy ones do."""
    site = make_site(topology, **changes)
    for target in site.targets.values():
        shell_of(target).answer("/sys/class/iscsi_session/session*; do", "session1 sda\n")
        shell_of(target).answer("/sys/class/nvme/nvme*; do", "nvme0 nvme0n1 nvme0c0n1\n")
        shell_of(target).answer("ip -o -4 address", "eth1\n")
        twice = DD * 2 if target is site.role("client") else DD
        shell_of(target).answer("if=/dev/harness-iscsi of=/dev/null", twice)
        shell_of(target).answer("dd if=/dev/zero", DD)
    return site


def alone(scratch: int = 0) -> Topology:
    """One host in both roles."""
    one = Host(name="one", memory=1024 * MIB, scratch=scratch)
    return Topology(name="loopback", hosts=(one,), roles={"client": "one", "server": "one"})


def said(site: Site, role: str) -> str:
    return "\n".join(shell_of(site.role(role)).commands)


def in_order(text: str, *steps: str) -> bool:
    places = [text.find(step) for step in steps]
    return -1 not in places and places == sorted(places)


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_every_command_is_whole_and_has_a_deadline_for_a_slow_host(storage: Storage) -> None:
    site = willing(make_topology(), slowdown=12.0)
    storage.set_up(site)
    assert storage.baseline(site) == 16 * MIB / 4096 / 2
    storage.tear_down(site)
    for role in ("client", "server"):
        shell = shell_of(site.role(role))
        assert shell.commands
        for command in shell.commands:
            subprocess.run(["sh", "-n", "-c", command], check=True)
        assert all(deadline.remaining > 100 for deadline in shell.deadlines)


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_the_server_goes_although_the_client_does_not_answer(storage: Storage) -> None:
    site = willing()
    shell_of(site.role("client")).replies = {"": no_answer("anything")}
    with pytest.raises(DeadlineExceeded):
        storage.tear_down(site)
    assert shell_of(site.role("server")).commands


@pytest.mark.parametrize(
    "storage", [IscsiDisk(), NvmeTcpDisk(), AoeDisk(), SmbDisk()], ids=lambda it: type(it).__name__
)
def test_the_agent_lets_go_before_the_client_is_asked_to(storage: Storage) -> None:
    site = willing()
    storage.tear_down(site)
    assert agent_of(site.role("client")).asked[0] == ("storage", {"path": None})


@pytest.mark.parametrize(
    "storage", [IscsiDisk(ratio=2.0), NvmeTcpDisk(ratio=2.0), AoeDisk(ratio=2.0)], ids=lambda it: type(it).__name__
)
def test_the_disk_is_in_memory_of_another_host_with_room(storage: IscsiDisk | NvmeTcpDisk | AoeDisk) -> None:
    site = willing()
    probe = storage.set_up(site)
    assert "mount -t tmpfs -o size=" in said(site, "server") and f"truncate -s {512 * MIB} " in said(site, "server")
    assert probe.spec == {"path": storage.path, "offset": 511 * MIB, "write": True} and probe.host == "c1"


@pytest.mark.parametrize(
    "storage", [IscsiDisk(), NvmeTcpDisk(), AoeDisk(), SmbDisk()], ids=lambda it: type(it).__name__
)
def test_a_host_that_serves_itself_keeps_it_on_its_scratch_disk_if_it_has_one(storage: Storage) -> None:
    site = willing(alone(scratch=GIB))
    storage.set_up(site)
    assert "tmpfs" not in said(site, "client") and "mkfs.ext4" in said(site, "client")
    site = willing(alone())
    storage.set_up(site)
    assert "tmpfs" not in said(site, "client") and "mkfs" not in said(site, "client")


def test_the_time_of_a_session_is_set_before_it_begins() -> None:
    site = willing()
    IscsiDisk(replacement_timeout_s=33).set_up(site)
    login = said(site, "client")
    timeout = "-o update -n node.session.timeo.replacement_timeout -v 33"
    assert in_order(login, "modprobe iscsi_tcp", "iscsid", "-o new", timeout, "--login")
    assert f"-T {TARGET} -p 10.77.0.2:3260" in login


def test_a_client_that_is_never_to_give_up_is_told_so() -> None:
    site = willing()
    IscsiDisk(replacement_timeout_s=None).set_up(site)
    AoeDisk(deadsecs_s=None).set_up(site)
    NvmeTcpDisk(ctrl_loss_s=None).set_up(site)
    assert "--ctrl-loss-tmo=-1 " in said(site, "client")
    assert "replacement_timeout -v -1 " in said(site, "client") and "aoe_deadsecs=86400 " in said(site, "client")


def test_the_disk_of_a_session_is_what_is_watched() -> None:
    probe = IscsiDisk().set_up(willing())
    assert probe.counters == {"sda": "/sys/block/sda/stat"}
    assert "/sys/class/iscsi_session/session1/state" in probe.evidence


def test_a_session_without_a_disk_is_no_storage() -> None:
    site = willing()
    shell_of(site.role("client")).answer("/sys/class/iscsi_session/session*; do", "")
    with pytest.raises(InfraError, match=r"c1: logged in to .*, and no disk came"):
        IscsiDisk().set_up(site)


@pytest.mark.parametrize("name", ["tgt", "lio"])
def test_a_target_that_does_not_listen_is_no_storage(name: str) -> None:
    site = willing()
    shell_of(site.role("server")).answer("ss -Hltn", exit_code=1)
    with pytest.raises(InfraError, match=r"s1: .* does not listen on port 3260"):
        STORAGES[name].set_up(site)


def test_the_kernels_target_is_taken_apart_from_the_outside_in() -> None:
    site = willing()
    IscsiDisk(program=LIO).tear_down(site)
    group = f"/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1"
    steps = (
        f"echo 0 >{group}/enable",
        "rm -f",
        f"rmdir {group}/np/*",
        "umount /sys/kernel/config",
        "umount -l",
    )
    assert in_order(said(site, "server"), *steps)


def test_the_path_of_an_nvme_disk_is_what_is_watched() -> None:
    probe = NvmeTcpDisk().set_up(willing())
    assert probe.counters == {"nvme0n1": "/sys/block/nvme0c0n1/stat"}, "the disk above it counts nothing before v6.4"
    assert "/sys/class/nvme/nvme0/state" in probe.evidence


@pytest.mark.parametrize(
    ("paths", "disks", "found"),
    [
        (["nvme0c0n1"], ["nvme0n1"], "nvme0 nvme0n1 nvme0c0n1"),
        (["nvme0n1"], ["nvme0n1"], "nvme0 nvme0n1 nvme0n1"),  # without multipath
        (["nvme0c0n1"], [], ""),
        ([], ["nvme0n1"], ""),  # not yet scanned, and the disk of another controller is there
    ],
)
def test_a_disk_is_found_once_it_and_its_path_are_there(
    tmp_path: Path, paths: list[str], disks: list[str], found: str
) -> None:
    controller, devices = tmp_path / "class" / "nvme0", tmp_path / "dev"
    for folder in (controller, devices, *(controller / path for path in paths)):
        folder.mkdir(parents=True)
    (controller / "subsysnqn").write_text(f"{NQN}\n")
    for disk in disks:
        (devices / disk).touch()
    script = nvme_tcp.FIND.replace("/sys/class/nvme", str(controller.parent)).replace("/dev", str(devices))
    script = script.replace("[ -b ", "[ -e ").replace("seq 50", "seq 1")
    assert subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.strip() == found


def test_the_times_of_an_nvme_controller_are_set_as_it_connects() -> None:
    site = willing()
    NvmeTcpDisk(ctrl_loss_s=33, fast_io_fail_s=22, keep_alive_s=4, reconnect_delay_s=3).set_up(site)
    text = said(site, "client")
    assert in_order(
        text, "modprobe nvme_tcp", f"nvme connect --transport=tcp --traddr=10.77.0.2 --trsvcid=4420 --nqn={NQN}"
    )
    assert "--ctrl-loss-tmo=33 --keep-alive-tmo=4 --reconnect-delay=3 --fast_io_fail_tmo=22" in text


def test_an_nvme_connection_without_a_disk_is_no_storage() -> None:
    site = willing()
    shell_of(site.role("client")).answer("/sys/class/nvme/nvme*; do", "")
    with pytest.raises(InfraError, match=r"c1: connected to .*, and no disk came"):
        NvmeTcpDisk().set_up(site)


def test_the_nvme_target_listens_once_its_namespace_is_there_and_stops_before_that_goes() -> None:
    site = willing()
    NvmeTcpDisk().set_up(site)
    namespace = f"/sys/kernel/config/nvmet/subsystems/{NQN}/namespaces/1"
    port = "/sys/kernel/config/nvmet/ports/1"
    serve = (
        "modprobe nvmet_tcp",
        f"echo 1 >{namespace}/enable",
        f"{port}/addr_trsvcid",
        "ln -s",
    )
    assert in_order(said(site, "server"), *serve)
    site = willing()
    NvmeTcpDisk().tear_down(site)
    stop = (f"rm -f {port}/subsystems/{NQN}", f"rmdir {port}", f"echo 0 >{namespace}/enable", f"rmdir {namespace} ")
    assert in_order(said(site, "server"), *stop, "umount /sys/kernel/config", "umount -l")


def test_aoe_goes_over_the_interface_between_the_hosts() -> None:
    site = willing()
    AoeDisk(deadsecs_s=44).set_up(site)
    assert "address show to 10.77.0.2 " in said(site, "server") and "vblade 77 0 eth1 " in said(site, "server")
    assert "aoe_iflist=eth1 aoe_deadsecs=44" in said(site, "client")


def test_the_queue_of_an_aoe_disk_is_the_kernels_own_unless_it_is_given() -> None:
    site = willing()
    AoeDisk().set_up(site)
    assert "nr_requests" not in said(site, "client")
    AoeDisk(nr_requests=8).set_up(site)
    assert in_order(said(site, "client"), "modprobe aoe", f"echo 8 >'/sys/block/{aoe.DISK}/queue/nr_requests'")


def test_an_aoe_disk_that_keeps_its_queue_is_no_storage() -> None:
    site = willing()
    shell_of(site.role("client")).answer("nr_requests", exit_code=1)
    with pytest.raises(InfraError, match=f"c1: {aoe.DEVICE} keeps its queue"):
        AoeDisk(nr_requests=8).set_up(site)


def test_aoe_on_one_host_goes_over_a_pair_of_virtual_interfaces() -> None:
    site = willing(alone())
    AoeDisk().set_up(site)
    text = said(site, "client")
    assert in_order(text, "type veth", f"vblade 77 0 {aoe.FAR}", f"aoe_iflist={aoe.NEAR}")
    AoeDisk().tear_down(site)
    steps = ("rmmod aoe", "pkill -x vblade", f"ip link del {aoe.NEAR}", "umount -l")
    assert in_order(said(site, "client"), *steps), "an interface that somebody holds does not go"


def test_aoe_without_an_interface_or_a_disk_is_no_storage() -> None:
    site = willing()
    shell_of(site.role("client")).answer("modprobe aoe", exit_code=1)
    with pytest.raises(InfraError, match=f"c1: no {aoe.DEVICE}"):
        AoeDisk().set_up(site)
    shell_of(site.role("server")).answer("ip -o -4 address", "")
    with pytest.raises(InfraError, match=r"s1: no interface has the address 10\.77\.0\.2"):
        AoeDisk().set_up(site)


def test_the_share_is_mounted_hard_and_its_file_is_there_for_the_probe() -> None:
    site = willing()
    probe = SmbDisk(echo_interval_s=7).set_up(site)
    mount = f"mount -t cifs -o guest,vers=3.1.1,hard,echo_interval=7 //10.77.0.2/harness {smb.MOUNT}"
    assert mount in said(site, "client") and f"truncate -s 4096 {smb.MOUNT}/probe" in said(site, "client")
    assert probe.spec["path"] == f"{smb.MOUNT}/probe"


def test_a_share_that_nobody_serves_is_no_storage() -> None:
    site = willing()
    shell_of(site.role("server")).answer("smbd -D", exit_code=1)
    with pytest.raises(InfraError, match="s1: smbd does not listen on port 445"):
        SmbDisk().set_up(site)
    assert not shell_of(site.role("client")).commands


def test_the_bounds_are_those_of_the_protocols() -> None:
    assert IscsiDisk(replacement_timeout_s=20).bound_s == 30
    assert IscsiDisk(replacement_timeout_s=None).bound_s == 10, "until a ping says that the session is dead"
    assert AoeDisk(deadsecs_s=20).bound_s == 20
    assert AoeDisk(deadsecs_s=None).bound_s == 16.5, "the first time that a frame is repeated"
    assert SmbDisk(echo_interval_s=5).bound_s == 20
    assert NvmeTcpDisk(ctrl_loss_s=20, keep_alive_s=4).bound_s == 26
    assert NvmeTcpDisk(ctrl_loss_s=20, fast_io_fail_s=12, keep_alive_s=4).bound_s == 18
    assert NvmeTcpDisk(ctrl_loss_s=None).bound_s == 17.5, "until it dials for the first time"
    assert Swap(on=AoeDisk(deadsecs_s=21)).bound_s == 21


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: IscsiDisk(replacement_timeout_s=0), "replacement_timeout of 0 s; it is 1 to 86400"),
        (lambda: AoeDisk(deadsecs_s=0), "deadsecs of 0 s; it is 1 to 86399, or None"),
        (lambda: AoeDisk(nr_requests=3), "a queue of 3 requests; the shortest has 4"),
        (lambda: NvmeTcpDisk(ctrl_loss_s=0), "ctrl_loss_tmo of 0 s; it is 1 to 86400, or None: for ever"),
        (lambda: NvmeTcpDisk(fast_io_fail_s=-1), "fast_io_fail_tmo of -1 s; it is 1 to 86400, or None: for ever"),
        (lambda: NvmeTcpDisk(keep_alive_s=0), "keep_alive_tmo of 0 s; it is 1 to 86400"),
        (lambda: SmbDisk(echo_interval_s=601), "echo_interval of 601 s; cifs accepts 1 to 600 s"),
    ],
)
def test_what_the_kernel_would_take_for_something_else_is_refused(make: type, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make()


def test_swap_begins_after_the_baseline_and_ends_before_its_disk_goes() -> None:
    site = willing()
    swap = Swap(on=IscsiDisk())
    probe = swap.set_up(site)
    assert probe.spec["write"] is False, "the kernel refuses writes to a device that it swaps to"
    assert "swapon" not in said(site, "client")
    swap.baseline(site)
    swap.tear_down(site)
    assert in_order(
        said(site, "client"), "dd if=/dev/zero", f"swapon {iscsi.DEVICE}", f"swapoff {iscsi.DEVICE}", "--logout"
    )


def test_swap_in_a_file_leaves_the_probe_its_own_and_has_no_holes() -> None:
    site = willing()
    probe = Swap(on=SmbDisk(), ratio=0.5).set_up(site)
    assert probe.spec["write"] is True
    assert f"fallocate -l {128 * MIB} {SmbDisk().path} || dd if=/dev/zero" in said(site, "client")
