"""NFS on a real guest, whoever serves it: it comes up, takes a light load, and nothing of it is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import make_traces

from harness.faults.servers import NfsServerRestart
from harness.model.events import FaultStep, WorkloadProgress
from harness.model.history import select
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB, Host, Topology
from harness.model.verdict import VerdictKind
from harness.results.store import RunStore
from harness.site.target import Site
from harness.storage.ganesha import GaneshaDisk
from harness.storage.nfs import NfsDisk
from harness.trial import Plan, run_trial
from harness.verdicts.policy import Policy
from harness.workloads.delegations import DelegatedReaders
from harness.workloads.nfs_writers import NfsWriters
from harness.workloads.steady import Steady

pytestmark = pytest.mark.slow

LEFT = """\
grep -E 'harness|rpc_pipefs|/proc/fs/nfsd' /proc/mounts; ls /srv /mnt
ps -e -o comm= | grep -E 'nfsd|ganesha|rpc' | grep -vE 'rpciod|^kworker'; ls /run/harness | grep ganesha
cut -d' ' -f1 /proc/modules | grep -E 'nfs|rpc|lockd|grace'; echo end"""
LOOPBACK = Topology(
    name="loopback",
    hosts=(Host(name="both", memory=512 * MIB, cpus=2, scratch=GIB),),
    roles={"client": "both", "server": "both"},
)
STORAGES: dict[str, NfsDisk | GaneshaDisk] = {
    "v3": NfsDisk(version="3"),
    "v4.2": NfsDisk(scratch=True, bytes_per_s=20_000_000),
    "ganesha": GaneshaDisk(scratch=True),
    "ganesha-protected": GaneshaDisk(io_flusher=True, locked=True),
}


# First: its guest and the one that the others share need not be up at the same time.
def test_a_writer_of_version_3_goes_on_when_its_server_is_back(settings: Settings) -> None:
    storage = NfsDisk(version="3")
    fault = NfsServerRestart(role="server", at_s=8.0, heal_after_s=3.0)
    plan = Plan(
        name="version 3",
        topology=LOOPBACK,
        storage=storage,
        workload=Steady(path=storage.path, limit_s=40.0),
        faults=(fault,),
        policy=Policy(time_limited=True),
    )
    store = RunStore.create(settings.results, manifest={})
    verdict = run_trial(plan, settings=settings, store=store)
    (trial,) = store.trials()
    events = list(trial.read_history())
    back = next(event.t for event, step in select(events, FaultStep) if step.action == "heal")
    ops = [(event.t, done.ops or 0) for event, done in select(events, WorkloadProgress)]
    assert verdict.kind is VerdictKind.SURVIVED, verdict.summary
    assert ops[-1][1] > max(count for time, count in ops if time <= back + storage.bound_s), "it went on"


@pytest.fixture(scope="module")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A guest that is client and server, for all storages one after the other: each has to leave it as it was."""
    with live_site(shared_settings, LOOPBACK, tmp_path_factory.mktemp("nfs")) as site:
        yield site


def _run(site: Site, command: str) -> str:
    return site.role("client").shell.run(command, deadline=site.deadline(20), check=False).stdout.strip()


@pytest.mark.parametrize("name", STORAGES)
def test_it_comes_up_takes_a_light_load_and_goes(site: Site, name: str) -> None:
    storage = STORAGES[name]
    before, traces = _run(site, LEFT), make_traces()
    traces.look(site)
    probe, agent = storage.set_up(site), site.role("client").agent
    try:
        assert not agent.ask("open", paths=list(probe.evidence), deadline=site.deadline(5))
        assert storage.baseline(site) > 0
        assert (NfsWriters(mount=storage.mount).baseline(site) or 0) > 0, "what was written reached the server"
        version = "3" if name == "v3" else "4.2"
        assert f",vers={version}," in _run(site, f"grep ' {storage.mount} ' /proc/mounts")
    finally:
        storage.tear_down(site)
        traces.compare(site)
    assert _run(site, LEFT) == before


def test_a_protected_server_really_is(site: Site) -> None:
    storage = STORAGES["ganesha-protected"]
    storage.set_up(site)
    try:
        status = _run(
            site, "p=$(pgrep -x ganesha.nfsd); cat /proc/$p/status /proc/$p/oom_score_adj; cut -d' ' -f9 /proc/$p/stat"
        )
    finally:
        storage.tear_down(site)
    *lines, score, flags = status.splitlines()
    locked = next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))
    assert score == "-1000" and locked > 1024, "kB"
    assert int(flags) & 0x80000 and int(flags) & 0x100000, "PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE"


def test_the_client_holds_delegations_of_what_it_reads(site: Site, tmp_path: Path) -> None:
    storage = NfsDisk(scratch=True)
    readers = DelegatedReaders(mount=storage.mount, folder=storage.folder, files=40)
    storage.set_up(site)
    try:
        assert (readers.baseline(site) or 0) > 0
        held = readers.measures(site, tmp_path)[0]
    finally:
        storage.tear_down(site)
    assert held.value == 40
