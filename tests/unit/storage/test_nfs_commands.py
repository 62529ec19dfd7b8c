"""NFS: the commands that each host gets, in an order that works, and the bound of a wait."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from fakes import agent_of, hypervisor_of, make_site, make_topology, no_answer, shell_of

from harness.model.errors import DeadlineExceeded, ShellError, UsageError
from harness.model.topology import MIB, Host, Topology
from harness.site.target import Site
from harness.storage.nfs import CLIENTS, NfsDisk
from harness.storage.nfs_files import FOLDER
from harness.storage.nfs_mount import MOUNT

DD = "16777216 bytes (17 MB, 16 MiB) copied, 2 s, 8 MB/s\n"


def commands(site: Site, role: str) -> list[str]:
    return shell_of(site.role(role)).commands


def test_lease_and_grace_are_set_before_the_server_starts() -> None:
    site = make_site()
    NfsDisk(lease_s=12, grace_s=15).set_up(site)
    folder, serve = commands(site, "server")
    assert f"mount -t tmpfs -o size={64 * MIB} none {FOLDER}" in folder
    steps = [
        f"mkdir -p /run/rpc_pipefs {CLIENTS}",
        "echo 12 >/proc/fs/nfsd/nfsv4leasetime",
        "echo 15 >/proc/fs/nfsd/nfsv4gracetime",
        "nfsdcld",
        "exportfs -i",
        "rpc.nfsd -N 3 ",
    ]
    places = [serve.rindex(step) for step in steps]
    assert places == sorted(places)
    assert ";" not in re.sub(r"\{ .*? \}", "", serve), "every step must succeed"


def test_the_mount_is_hard_and_its_file_is_there_for_the_probe() -> None:
    site = make_site()
    probe = NfsDisk().set_up(site)
    mount, file = commands(site, "client")
    assert f"mount -t nfs4 -o vers=4.2,hard,timeo=50,retrans=2 10.77.0.2:{FOLDER} {MOUNT}" in mount
    assert file == f"truncate -s 4096 {MOUNT}/probe"
    assert probe.host == "c1" and probe.spec == {"path": f"{MOUNT}/probe", "offset": 0, "write": True}


def test_a_host_that_serves_itself_keeps_the_files_on_its_disk() -> None:
    host = Host(name="one", memory=1024 * MIB)
    site = make_site(Topology(name="single", hosts=(host,), roles={"client": "one", "server": "one"}))
    NfsDisk().set_up(site)
    folder, _, mount, _ = commands(site, "client")
    assert folder == f"mkdir -p {FOLDER}" and f"127.0.0.1:{FOLDER}" in mount


def test_a_server_that_does_not_start_is_no_storage() -> None:
    site = make_site()
    shell_of(site.role("server")).answer("rpc.nfsd", exit_code=1)
    with pytest.raises(ShellError):
        NfsDisk().set_up(site)
    assert not commands(site, "client")


def test_the_baseline_counts_pages_written_through() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("dd if=", DD)
    assert NfsDisk().baseline(site) == 16 * MIB / 4096 / 2
    (copy,) = commands(site, "client")
    assert f"of={NfsDisk().path} " in copy and "oflag=direct,dsync" in copy


def test_tear_down_needs_no_server_for_the_mount_to_go() -> None:
    site = make_site()
    NfsDisk().tear_down(site)
    (unmount,) = commands(site, "client")
    assert unmount.startswith(f"umount -f -l {MOUNT}")
    assert agent_of(site.role("client")).asked == [("storage", {"path": None})], "whose probe keeps it in use"
    stop, _ = commands(site, "server")
    assert stop.startswith("rpc.nfsd 0; ") and CLIENTS in stop and stop.endswith("true")


def test_tear_down_takes_the_server_down_although_the_client_does_not_answer() -> None:
    site = make_site()
    shell_of(site.role("client")).replies["umount"] = no_answer("umount")
    with pytest.raises(DeadlineExceeded):
        NfsDisk().tear_down(site)
    assert commands(site, "server")


@pytest.mark.parametrize(("lease", "grace"), [(9, 10), (10, 9), (3601, 10)])
def test_what_the_server_would_refuse_is_refused_before(lease: int, grace: int) -> None:
    with pytest.raises(UsageError, match="the server accepts 10 to 3600 s"):
        NfsDisk(lease_s=lease, grace_s=grace)


def test_version_3_needs_a_portmapper_and_neither_locks_nor_state() -> None:
    site = make_site()
    NfsDisk(version="3").set_up(site)
    _, serve = commands(site, "server")
    places = [serve.index(step) for step in ("rpcbind", "rpc.mountd -N 2 -N 4", "exportfs", "rpc.nfsd -N 4 8")]
    assert places == sorted(places) and "&& nfsdcld" not in serve
    mount, _ = commands(site, "client")
    assert "mount -t nfs -o vers=3,hard,timeo=50,retrans=2,nolock " in mount


@pytest.mark.parametrize("version", ["2", "4", "5.0"])
def test_a_version_that_there_is_not_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match=r"there are: 3, 4\.0, 4\.1, 4\.2"):
        NfsDisk(version=version)


def test_the_scratch_disk_gets_a_file_system_and_its_rate() -> None:
    topology = make_topology()
    hosts = tuple(replace(host, scratch=64 * MIB) for host in topology.hosts)
    site = make_site(replace(topology, hosts=hosts))
    disk = NfsDisk(scratch=True, bytes_per_s=20_000_000, threads=2)
    disk.set_up(site)
    server = site.role("server")
    folder, serve = shell_of(server).commands
    assert "mkfs.ext4" in folder and folder.endswith(f"mount /dev/vdc {FOLDER}")
    assert serve.endswith("rpc.nfsd -N 3 2")
    disk.tear_down(site)
    assert hypervisor_of(server).acts == ["throttle scratch 20000000", "throttle scratch None"]
    assert "20000000 bytes/s" in disk.describe() and "2 threads" in disk.describe()


def test_a_scratch_disk_that_is_not_there_is_refused_before_anything_is_done() -> None:
    site = make_site()
    with pytest.raises(UsageError, match=r"host 's1' has no scratch disk; give it one, such as scratch = \"1 GiB\""):
        NfsDisk(scratch=True).set_up(site)
    assert not commands(site, "server")


@pytest.mark.parametrize("wrong", [{"bytes_per_s": 5}, {"bytes_per_s": 0, "scratch": True}, {"threads": 0}])
def test_what_would_do_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NfsDisk(**wrong)


def test_the_bound_is_lease_and_grace_and_the_clients_retries() -> None:
    assert NfsDisk(lease_s=10, grace_s=10).bound_s == 30.0
    assert NfsDisk(lease_s=20, grace_s=40).bound_s == 70.0
    assert NfsDisk(version="3").bound_s == 10.0, "no lease and no grace"


def test_every_command_is_whole_and_has_a_deadline_for_a_slow_host() -> None:
    site = make_site(make_topology(), slowdown=12.0)
    shell_of(site.role("client")).answer("dd if=", DD)
    disk = NfsDisk()
    disk.set_up(site)
    disk.baseline(site)
    disk.tear_down(site)
    for role in ("client", "server"):
        shell = shell_of(site.role(role))
        for command in shell.commands:
            subprocess.run(["sh", "-n", "-c", command], check=True)
        assert all(deadline.remaining > 100 for deadline in shell.deadlines)
    assert "nfsd" in disk.critical_tasks and "NFS 4.2" in disk.describe()
