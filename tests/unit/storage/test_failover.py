"""NFS on two nodes: what each host is told, in which order, and what the marks of a take-over say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cluster_sites import fence, make_cluster
from fakes import agent_of, no_answer, shell_of

from harness.model.errors import InfraError, UsageError
from harness.site.target import Site
from harness.storage.cluster.service import EXPORT, FOLDER, MARKS, NODE
from harness.storage.failover import FailoverNfs, steps
from harness.storage.nfs_mount import MOUNT

MARKED = "begun 80.00\nmounted 80.40\nserving 82.00\naddress 82.10\ngrace-over 92.50\n"


def commands(site: Site, role: str) -> list[str]:
    return shell_of(site.role(role)).commands


def script(site: Site, role: str) -> str:
    return shell_of(site.role(role)).files[NODE].decode()


def place(site: Site, role: str, piece: str) -> int:
    return next(index for index, command in enumerate(commands(site, role)) if piece in command)


def test_the_first_node_serves_and_everybody_mounts_the_address_that_moves() -> None:
    site = make_cluster()
    probe = FailoverNfs().set_up(site)
    assert (
        place(site, "first", f"{NODE} make") < place(site, "first", f"{NODE} take") < place(site, "first", "mount -t")
    )
    assert not [command for command in commands(site, "second") if command.startswith(NODE)]
    for role in ("client", "first", "second"):
        mounts = [command for command in commands(site, role) if "mount -t nfs4" in command]
        assert len(mounts) == 1 and f"vers=4.2,hard,timeo=50,retrans=2 10.77.0.254:{EXPORT} {MOUNT}" in mounts[0]
    assert probe.host == "u" and probe.spec["path"] == f"{MOUNT}/probe" and probe.spec["write"] is True


def test_a_server_that_is_no_client_of_its_own_does_not_mount() -> None:
    site = make_cluster()
    FailoverNfs(server_mounts=False).set_up(site)
    assert not [command for command in commands(site, "first") if "mount -t nfs4" in command]
    assert [command for command in commands(site, "second") if "mount -t nfs4" in command]


def test_both_nodes_have_the_same_script_and_it_is_one() -> None:
    site = make_cluster()
    FailoverNfs(lease_s=12, grace_s=15).set_up(site)
    text = script(site, "first")
    assert text == script(site, "second")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert "echo 12 >/proc/fs/nfsd/nfsv4leasetime" in text and "echo 15 >/proc/fs/nfsd/nfsv4gracetime" in text
    assert "disk=/dev/vdc\n" in text and "address add 10.77.0.254/24 dev eth1" in text


def test_the_address_comes_last_and_the_clients_state_before_the_server() -> None:
    site = make_cluster()
    FailoverNfs().set_up(site)
    take = re.search(r"^take\(\) \{\n(.*?)^\}", script(site, "first"), re.MULTILINE | re.DOTALL)
    assert take is not None
    order = ["mount $disk", "mount --bind", "start", "exportfs -i -o rw,sync", "address add", "send_arp"]
    places = [take[1].index(step) for step in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("storage", "there", "not_there"),
    [
        (FailoverNfs(), "rw,sync,", "rw,async,"),
        (FailoverNfs(sync=False), "rw,async,", "rw,sync,"),
        (FailoverNfs(), "unshare -u sh -c 'hostname harness-cluster; exec \"$@\"' sh $0 start", "\n   $0 start"),
        (FailoverNfs(scope=""), " $0 start", "unshare"),
    ],
)
def test_what_a_case_changes_is_in_the_script(storage: FailoverNfs, there: str, not_there: str) -> None:
    site = make_cluster()
    storage.set_up(site)
    assert there in script(site, "second") and not_there not in script(site, "second")


def test_the_watch_on_the_second_node_begins_after_everything_is_up() -> None:
    site = make_cluster()
    FailoverNfs().set_up(site)
    assert MARKS in commands(site, "second")[-1] and commands(site, "second")[-1].endswith("&")


def test_nodes_that_share_no_disk_are_no_cluster() -> None:
    with pytest.raises(UsageError, match="'cluster': first and second share no disk; give it a shared_disk"):
        FailoverNfs().set_up(make_cluster(shared=False))


def test_nodes_without_a_link_are_no_cluster() -> None:
    with pytest.raises(UsageError, match="'cluster': no link between first and second; add one"):
        FailoverNfs().set_up(make_cluster(linked=False))


def test_the_disk_is_read_where_the_service_is_after_everybody_let_go() -> None:
    site = make_cluster()
    fence(site)
    target, folder = FailoverNfs().from_disk(site)
    assert (target.name, folder) == ("n2", f"{EXPORT}/load")
    assert not commands(site, "first")
    assert commands(site, "second")[-2:] == [f"{NODE} drop", f"{NODE} reread"]
    assert "umount -f -l" in commands(site, "second")[0]
    assert ("storage", {"path": None}) in agent_of(site.role("client")).asked


def test_the_disk_is_never_read_on_one_node_while_another_has_it() -> None:
    site = make_cluster()
    target, _ = FailoverNfs().from_disk(site)
    assert target.name == "n2" and commands(site, "first")[-1] == f"{NODE} drop"


def test_tear_down_leaves_a_dead_node_alone_and_takes_the_other_down() -> None:
    site = make_cluster()
    fence(site)
    FailoverNfs().tear_down(site)
    assert not commands(site, "first")
    drop, clear = commands(site, "second")[-2:]
    assert drop.endswith(f"{NODE} drop") and f"rm -rf {FOLDER} {MARKS}" in clear
    assert "umount -f -l" in commands(site, "client")[0]


def test_tear_down_goes_on_after_a_node_that_does_not_answer_and_tells_it() -> None:
    site = make_cluster()
    shell_of(site.role("first")).replies["drop"] = no_answer("drop")
    with pytest.raises(InfraError, match="`drop`: no answer"):
        FailoverNfs().tear_down(site)
    assert commands(site, "second")[-2].endswith(f"{NODE} drop")


def test_tear_down_goes_on_after_a_client_that_does_not_answer() -> None:
    site = make_cluster()
    agent_of(site.role("client")).replies["storage"] = no_answer("storage")
    with pytest.raises(InfraError, match="`storage`: no answer"):
        FailoverNfs().tear_down(site)
    assert [place(site, role, f"{NODE} drop") for role in ("first", "second")] == [0, 0]


def test_the_steps_of_a_take_over_and_its_grace_are_figures(tmp_path: Path) -> None:
    site = make_cluster()
    shell_of(site.role("second")).answer("cat", MARKED)
    shell_of(site.role("second")).answer("dmesg", "NFSD: starting 10-second grace period\n")
    found = {measure.name: measure.value for measure in FailoverNfs().measures(site, tmp_path)}
    assert found == {
        "take-over: order to mount": 0.4,
        "take-over: mount to server": 1.6,
        "take-over: server to address": 0.1,
        "grace period": 10.5,
    }
    assert "starting 10-second" in (tmp_path / "takeover.txt").read_text()


def test_a_take_over_that_did_not_happen_has_no_figures() -> None:
    assert steps("") == []
    assert [measure.name for measure in steps("asked 5.0\nfenced 6.5\n")] == [
        "take-over: asked to fence until it was dead"
    ]


def test_the_bound_is_the_take_over_lease_grace_and_the_clients_retries() -> None:
    assert FailoverNfs(lease_s=10, grace_s=30).bound_s == FailoverNfs().driver.takeover_s + 10 + 30 + 10


@pytest.mark.parametrize(("lease", "grace"), [(9, 10), (10, 9), (3601, 10)])
def test_what_the_server_would_refuse_is_refused_before(lease: int, grace: int) -> None:
    with pytest.raises(UsageError, match="the server accepts 10 to 3600 s"):
        FailoverNfs(lease_s=lease, grace_s=grace)


def test_what_it_says_of_itself() -> None:
    storage = FailoverNfs(sync=False)
    assert (
        "async" in storage.describe() and "moved by a script" in storage.describe() and "nfsd" in storage.critical_tasks
    )
    assert storage.folder.startswith(MOUNT)
