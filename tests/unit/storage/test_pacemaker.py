"""Pacemaker: its configuration, how it is started without a cluster shell, and its fence agent."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from cluster_sites import make_cluster
from fakes import shell_of

from harness.model.errors import InfraError
from harness.site.target import Site
from harness.storage.cluster import pacemaker
from harness.storage.cluster.pacemaker import AGENT_FILE, Pacemaker
from harness.storage.cluster.service import EXPORT, NODE, STATE
from harness.storage.failover import FailoverNfs

STORAGE = FailoverNfs(driver=Pacemaker(token_ms=7000))


def running() -> Site:
    site = make_cluster()
    shell_of(site.role("first")).answer("/proc/fs/nfsd/threads", "8\n")
    return site


def cib() -> ElementTree.Element:
    return ElementTree.fromstring(Pacemaker().cib(make_cluster(), STORAGE.service))


def values(resource: str) -> dict[str, str]:
    pairs = cib().findall(f".//primitive[@id='{resource}']/instance_attributes/nvpair")
    return {pair.attrib["name"]: pair.attrib["value"] for pair in pairs}


def test_the_service_is_a_group_of_stock_agents_in_the_order_of_a_take_over() -> None:
    agents = [agent.attrib for agent in cib().findall(".//group/primitive")]
    assert [agent["type"] for agent in agents] == ["Filesystem", "nfsserver", "exportfs", "IPaddr2"]
    assert {agent["provider"] for agent in agents} == {"heartbeat"}


def test_the_agents_know_what_they_move() -> None:
    assert values("files")["device"] == "/dev/vdc"
    assert values("server")["nfs_init_script"] == NODE and values("server")["nfs_shared_infodir"] == STATE
    assert values("server")["nfs_server_scope"] == STORAGE.scope
    assert values("export")["directory"] == EXPORT and "rw,sync" in values("export")["options"]
    assert (values("address")["ip"], values("address")["nic"]) == ("10.77.0.254", "eth1")


def test_nobody_takes_over_without_fencing_and_every_node_can_be_fenced() -> None:
    options = {pair.attrib["name"]: pair.attrib["value"] for pair in cib().findall(".//crm_config//nvpair")}
    assert options["stonith-enabled"] == "true"
    assert values("fencing")["pcmk_host_list"] == "n1 n2"


def test_corosync_has_both_nodes_and_lets_one_of_two_go_on() -> None:
    text = Pacemaker(token_ms=7000).corosync(make_cluster(), STORAGE.service)
    assert "token: 7000" in text and "two_node: 1" in text
    for entry in ("ring0_addr: 10.77.0.2", "name: n1", "nodeid: 1", "ring0_addr: 10.77.0.3", "name: n2", "nodeid: 2"):
        assert f"    {entry}\n" in text
    assert text.count("{") == text.count("}")


def test_both_nodes_are_started_and_the_set_up_waits_for_the_service() -> None:
    site = running()
    STORAGE.set_up(site)
    for role in ("first", "second"):
        shell = shell_of(site.role(role))
        (start,) = [command for command in shell.commands if "pacemakerd" in command]
        assert start.index("cib.xml") < start.index("corosync -c") < start.index("pacemakerd")
        assert shell.files["/usr/sbin/fence_harness"] == AGENT_FILE.read_bytes()
    assert not [command for command in shell_of(site.role("first")).commands if command == f"{NODE} take"]


def test_a_cluster_that_does_not_start_the_service_is_told_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacemaker, "START_S", 0.0)
    site = make_cluster()
    shell_of(site.role("first")).answer("/proc/fs/nfsd/threads", exit_code=1)
    shell_of(site.role("first")).answer("pacemaker.log", "error: no quorum")
    with pytest.raises(InfraError, match="n1: the cluster did not start the service:\nerror: no quorum"):
        STORAGE.set_up(site)


def test_the_cluster_lets_go_before_the_service_is_taken_down() -> None:
    site = make_cluster()
    STORAGE.tear_down(site)
    for role in ("first", "second"):
        stop, drop = shell_of(site.role(role)).commands[-3:-1]
        assert stop.startswith("pkill -9 -x pacemakerd") and drop.endswith(f"{NODE} drop")


def test_what_the_cluster_says_is_kept(tmp_path: Path) -> None:
    site = make_cluster()
    shell_of(site.role("second")).answer("pacemaker.log", "notice: Initiating start operation\n")
    STORAGE.measures(site, tmp_path)
    assert (tmp_path / "cluster-log.txt").read_text() == "notice: Initiating start operation\n"


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The fence agent, in a folder of the test's own."""
    text = AGENT_FILE.read_text().replace("/run/harness/cluster", str(tmp_path))
    text = text.replace("/dev/shm/harness-takeover", str(tmp_path / "marks")).replace("seq 300", "seq 2")
    path = tmp_path / "fence_harness"
    path.write_text(text)
    return path


def fence(agent: Path, *options: str) -> subprocess.CompletedProcess[str]:
    text = "".join(f"{option}\n" for option in options)
    return subprocess.run(["sh", agent], input=text, capture_output=True, text=True, check=False, timeout=30)


def test_the_agent_asks_and_fails_as_long_as_the_node_is_not_dead(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "dead").write_text("n10\n")
    assert fence(agent, "action=off", "port=n1").returncode == 1
    assert (tmp_path / "asked").read_text() == "n1\n" and "fenced" not in (tmp_path / "marks").read_text()


def test_the_agent_succeeds_once_the_node_is_dead(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "dead").write_text("n1\n")
    assert fence(agent, "action=reboot", "nodename=n1").returncode == 0
    assert [line.split()[0] for line in (tmp_path / "marks").read_text().splitlines()] == ["asked", "fenced"]


def test_the_agent_describes_itself_and_answers_what_only_looks(agent: Path) -> None:
    described = fence(agent, "action=metadata")
    actions = {action.attrib["name"] for action in ElementTree.fromstring(described.stdout).iter("action")}
    assert {"off", "reboot", "monitor", "status"} <= actions
    assert fence(agent, "action=monitor").returncode == 0
    assert fence(agent, "action=dance").returncode == 1


def test_what_it_says_of_itself() -> None:
    assert "Pacemaker" in STORAGE.describe() and "corosync" in STORAGE.critical_tasks
    assert all(len(name) <= 15 for name in Pacemaker().critical_tasks), "the kernel knows no longer names"
