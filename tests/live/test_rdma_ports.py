"""A device in software on a real kernel: what the survey says of it, and its counters as the agent reports them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import live_site

import harness.agent.agent as agent
from harness.fabric.counters import files_of
from harness.model.history import Event, Kind
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Topology
from harness.physical.survey import survey_rdma
from harness.site.target import Site
from harness.verdicts.ports import port_measures, stall_words

pytestmark = pytest.mark.slow

ALONE = Topology(name="rxe", hosts=(Host(name="one", memory=320 * MIB, cpus=2),), roles={"client": "one"})
DEVICE = """\
modprobe rdma_rxe
card=$(ls /sys/class/net | grep -v lo | head -n 1)
ip address add 10.77.9.1/24 dev "$card" && ip link set "$card" up
rdma link add rxe0 type rxe netdev "$card"
echo "$card"
"""
EXPORT = """\
modprobe rpcrdma && modprobe nfsd
mkdir -p /srv/rdma /mnt/rdma && mount -t tmpfs none /srv/rdma
mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
echo '/srv/rdma *(rw,no_root_squash,insecure,fsid=1,no_subtree_check)' >/etc/exports
exportfs -ra; rpcbind || :; rpc.nfsd 4; rpc.mountd
echo rdma 20049 >/proc/fs/nfsd/portlist
mount -t nfs -o vers=4.2,rdma,port=20049 10.77.9.1:/srv/rdma /mnt/rdma
"""
# Nothing of it holds the connection's output.
AGENT = """\
cat >/tmp/start <<'SCRIPT'
cd /tmp && sleep {0} | timeout {0} python3 -I -S agent.py agent.json >agent.out 2>agent.err
SCRIPT
setsid sh /tmp/start </dev/null >/dev/null 2>&1 &
"""
LISTENS_S = 25
WRITE = "dd if=/dev/zero of=/mnt/rdma/file bs=64k count=64 conv=fsync && umount /mnt/rdma"


@pytest.fixture(scope="module")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with live_site(shared_settings, ALONE, tmp_path_factory.mktemp("rxe")) as site:
        yield site


def test_a_device_is_surveyed_and_its_traffic_is_counted(site: Site) -> None:
    shell = site.role("client").shell

    def run(command: str, *arguments: object) -> str:
        return shell.run(command, *arguments, deadline=site.deadline(60)).stdout

    card = run(DEVICE).split()[-1]
    facts = survey_rdma(shell, "one", deadline=site.deadline(30))
    assert facts.stack == "inbox" and facts.device_of(card) == ("rxe0", 1)
    assert facts.hcas[0].protocol == "RoCE" and facts.hcas[0].ports[0].state == "ACTIVE"
    files = files_of(facts, (card,))
    config = {"stdio": True, "pid_file": "/tmp/agent.pid", "disk": None, "ports": files}
    shell.put(Path(agent.__file__), "/tmp/agent.py", deadline=site.deadline(20))
    shell.put(json.dumps(config).encode(), "/tmp/agent.json", deadline=site.deadline(20))
    run(AGENT.format(LISTENS_S))
    run(EXPORT)
    run(WRITE)
    run("sleep %s", LISTENS_S)
    events = list(told(run("cat /tmp/agent.out")))
    begin, end = events[0].t, events[-1].t
    figures = {one.name: one.value for one in port_measures(events, begin, end)}
    assert int(figures["one rxe0/1 sent"]) > 64 and figures["one rxe0/1 retries"] == 0, "each piece takes a packet"
    busy = next(event.t for event in events if packets(event))
    assert packets(events[-1]) == packets(events[-3]), "it is idle by now"
    ((_, said),) = stall_words(events, begin, end - 2.0, end)
    assert said == "was idle: 0 packets sent, 0 packets received"
    ((_, said),) = stall_words(events, begin, begin, busy + 1.0)
    assert said.startswith("moved data: ")


def packets(event: Event) -> int:
    return int(event.data["rdma:rxe0/1:sent_pkts"][0])


def told(text: str) -> Iterator[Event]:
    """The counters of ports in the lines of an agent, a second apart."""
    for line in text.encode().splitlines():
        record = agent.unframe(line)
        if "rdma:reads" in record.get("v", {}):
            yield Event(float(record["v"]["rdma:reads"][0]), Kind.VMSTAT, "one", record["v"])
