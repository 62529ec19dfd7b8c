"""What a trial knows beside the console: which host serves the storage, and what the ladder said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.diagnosis import diagnose_trial
from harness.diagnosis.trial import context_of
from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.hang_classes import HangClass
from harness.model.history import Event, Kind
from harness.model.topology import Topology
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.disk import PlainDisk
from harness.storage.failover import FailoverNfs
from harness.storage.ganesha import GaneshaDisk
from harness.storage.loop import LoopDisk
from harness.storage.nbd import NbdSwap
from harness.storage.nfs import NfsDisk
from harness.storage.nvme_tcp import NvmeTcpDisk
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap
from harness.storage.tmpfs import Tmpfs
from harness.trial.plan import Plan
from harness.trial.run import facts_of
from harness.workloads.thrash import SwapThrash

SWAP_OUT = (
    "__schedule", "schedule", "mempool_alloc", "bio_alloc_bioset", "__swap_writepage", "pageout", "shrink_folio_list",
    "shrink_node", "try_to_free_pages", "__alloc_pages",
)  # fmt: skip
ADDED = "Adding 1051644k swap on /dev/nbd0.  Priority:-2 extents:1 across:1051644k\n"


def task(name: str, pid: int, *frames: str) -> str:
    stack = "".join(f" {frame}+0x1/0x2\n" for frame in frames)
    return f"task:{name:<15} state:D stack:0     pid:{pid}   ppid:2      flags:0x00004000\nCall Trace:\n{stack}"


DUMP = task("nbd-server", 157, *SWAP_OUT) + task("thrash", 184, *SWAP_OUT)


def history(
    *hosts: str, roles: Mapping[str, str] | None = None, storage: str = "swap on nbd0, served by server"
) -> list[Event]:
    facts: dict[str, object] = {"name": "synthetic", "storage": storage, "topology": "t"}
    events = [Event(0.0, Kind.TRIAL, "", {**facts, **({"roles": dict(roles)} if roles else {})})]
    for host in hosts:
        events.append(Event(9.0, Kind.RUNG, host, {"rung": "disk", "ok": True, "blocked_s": None}))
        events.append(Event(9.0, Kind.RUNG, host, {"rung": "storage", "ok": True, "blocked_s": 4.0}))
    return events


def reported(events: list[Event], texts: dict[str, list[tuple[str, bytes]]]) -> Diagnosis:
    found = diagnose_trial(events, texts)
    assert found is not None
    return found


def test_a_single_host_is_its_own_server() -> None:
    found = reported(history("alone"), {"alone": [("console", (ADDED + DUMP).encode())]})
    assert (found.hang_class, found.confidence) == (HangClass.LOCAL_STORAGE_SERVER, Confidence.HIGH)
    assert all(edge.sure for edge in found.edges if edge.awaited == "nbd-server:157")


@pytest.mark.parametrize(("roles", "expected"), [
    ({"client": "a", "server": "a", "other": "b"}, Confidence.HIGH),
    ({"client": "a", "server": "b"}, None),
])  # fmt: skip
def test_roles_say_who_serves_where_there_are_more_hosts(roles: dict[str, str], expected: Confidence | None) -> None:
    found = reported(history("a", "b", roles=roles), {"a": [("console", (ADDED + DUMP).encode())]})
    assert (found.hang_class is HangClass.LOCAL_STORAGE_SERVER) == (expected is not None)
    if expected:
        assert found.confidence is expected


def test_without_roles_another_host_may_be_the_server_and_no_circle_is_claimed() -> None:
    found = reported(history("client", "server"), {"client": [("console", (ADDED + DUMP).encode())]})
    assert found.hang_class is HangClass.SWAP_OVER_NETWORK
    assert not found.cycle


def told(storage: Storage, topology: Topology, *fenced: str) -> list[Event]:
    """A history that says who serves whom, as `trial.run` writes it."""
    plan = Plan(name="x", topology=topology, storage=storage, workload=SwapThrash())
    events = [Event(0.0, Kind.TRIAL, "", facts_of(plan).to_dict())]
    return events + [Event(20.0, Kind.FENCE, host) for host in fenced]


def contexts(events: list[Event], *hosts: str) -> list[tuple[bool, bool]]:
    """Of each host, whether it is known to be its own server, and whether that is known to be another one."""
    found = [context_of(events, set(hosts), host) for host in hosts]
    return [(context.loopback, context.apart) for context in found]


PAIR = Topology(name="pair", hosts=(), roles={"client": "a", "server": "b"})
ALONE = Topology(name="alone", hosts=(), roles={"client": "a", "server": "a"})
CLUSTER = Topology(name="cluster", hosts=(), roles={"client": "u", "first": "n1", "second": "n2"})
ITSELF, ANOTHER, OPEN = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    "storage",
    [NfsDisk(), GaneshaDisk(), NbdSwap(), Swap(on=NvmeTcpDisk()), LoopDisk(disk=SmbDisk()), Tmpfs(disk=AoeDisk())],
    ids=lambda it: type(it).__name__,
)
def test_a_history_says_who_serves_whom_whatever_the_storage_is_wrapped_in(storage: Storage) -> None:
    assert contexts(told(storage, PAIR), "a", "b") == [ANOTHER, OPEN]
    assert contexts(told(storage, ALONE), "a") == [ITSELF]
    assert contexts(told(storage, PAIR, "b"), "a", "b") == [ANOTHER, OPEN], "that its server was fenced changes nothing"


def test_a_node_of_a_cluster_is_not_apart_from_its_server_and_serves_itself_once_the_other_is_gone() -> None:
    events = told(FailoverNfs(), CLUSTER)
    assert contexts(events, "u", "n1", "n2") == [ANOTHER, ITSELF, OPEN]
    assert contexts(told(FailoverNfs(), CLUSTER, "n1"), "u", "n1", "n2") == [ANOTHER, ITSELF, ITSELF]
    assert contexts(told(FailoverNfs(server_mounts=False), CLUSTER), "u", "n1", "n2") == [ANOTHER, OPEN, OPEN]


def test_a_history_from_before_that_is_read_as_it_always_was() -> None:
    roles = {"client": "u", "first": "n1", "second": "n2"}
    cluster = history("u", "n1", "n2", roles=roles, storage=FailoverNfs().describe())
    assert contexts(cluster, "u", "n1", "n2") == [ANOTHER] * 3
    ganesha = history("a", "b", roles={"client": "a", "server": "b"}, storage=GaneshaDisk().describe())
    assert contexts(ganesha, "a", "b") == [ANOTHER, ANOTHER]
    assert contexts(history("a", storage=GaneshaDisk().describe()), "a") == [ITSELF]


def test_a_cluster_that_took_over_is_diagnosed_as_a_loopback_mount() -> None:
    shrinks = (
        "__schedule", "schedule", "rpc_wait_bit_killable", "__rpc_execute", "nfs4_proc_delegreturn", "nfs_evict_inode",
        "super_cache_scan", "do_shrink_slab", "shrink_slab", "drop_slab",
    )  # fmt: skip
    stops = (
        "__schedule", "schedule", "rwsem_down_write_slowpath", "unregister_shrinker", "nfsd_reply_cache_shutdown",
        "nfsd_last_thread", "nfsd",
    )  # fmt: skip
    console = [("console", (task("bash", 9, *shrinks) + task("nfsd", 7, *stops)).encode())]
    found = reported(told(FailoverNfs(), CLUSTER, "n1"), {"n2": console})
    assert found.hang_class is HangClass.LOOPBACK_NFS_RECLAIM
    before = history("u", "n1", "n2", roles=CLUSTER.roles, storage=FailoverNfs().describe())
    assert reported(before, {"n2": console}).hang_class is not HangClass.LOOPBACK_NFS_RECLAIM


def test_swap_on_an_nvme_disk_is_on_the_network_where_the_trial_says_so() -> None:
    console = [("console", (ADDED.replace("nbd0", "nvme0n1") + task("dd", 9, *SWAP_OUT)).encode())]
    over_tcp = reported(told(Swap(on=NvmeTcpDisk()), ALONE), {"a": console})
    assert over_tcp.hang_class is HangClass.SWAP_OVER_NETWORK, "the kernel serves it: no process waits for memory"
    assert "served by this host" in over_tcp.title
    assert reported(told(PlainDisk(), ALONE), {"a": console}).hang_class is not HangClass.SWAP_OVER_NETWORK


def test_swap_on_a_local_disk_has_no_server() -> None:
    events = history("alone", storage="plain disk of alone")
    found = reported(
        events, {"alone": [("console", ADDED.replace("nbd0", "vdb").encode() + task("dd", 9, *SWAP_OUT).encode())]}
    )
    assert found.hang_class is not HangClass.LOCAL_STORAGE_SERVER


def test_the_ladder_is_told_as_it_was_when_the_dump_was_made() -> None:
    events = history("alone")
    events.append(Event(10.0, Kind.EVIDENCE, "alone", {"name": "sysrq-w", "path": "x", "ok": True}))
    events.append(Event(99.0, Kind.RUNG, "alone", {"rung": "storage", "ok": True, "blocked_s": None}))
    found = reported(events, {"alone": [("console", DUMP.encode())]})
    assert "blocked storage; alive disk" in found.explanation
    assert [cited.line for cited in found.evidence if cited.source == "history"] == [3]


def test_a_fault_that_the_trial_put_on_is_told_with_it() -> None:
    events = history("a", "b")
    events.insert(1, Event(5.0, Kind.FAULT, "", {"name": "link a pulled", "action": "inject", "detail": ""}))
    events.insert(2, Event(5.0, Kind.FAULT, "", {"name": "b paused", "action": "inject", "detail": ""}))
    events.insert(3, Event(6.0, Kind.FAULT, "", {"name": "b paused", "action": "heal", "detail": ""}))
    found = reported(events, {"a": [("console", (ADDED + task("dd", 9, *SWAP_OUT)).encode())]})
    assert found.explanation.endswith("injected and not healed: link a pulled.")


def test_a_network_card_that_sends_nothing_is_told_of_any_host_and_the_own_silence_is_not_repeated() -> None:
    card = "NETDEV WATCHDOG: eth1 (virtio_net): transmit queue 0 timed out"
    silent = {"kind": "storage_timeout", "title": "nfs: server 10.77.0.2 not responding, still trying"}
    events = history("a", "b")
    for host, data in (("a", silent), ("b", {"kind": "storage_timeout", "title": card}), ("b", {"kind": "hung_task"})):
        events.append(Event(9.5, Kind.CONSOLE, host, data))
    events += [Event(14.5, event.kind, event.host, event.data) for event in events if event.kind is Kind.CONSOLE]
    found = reported(events, {"a": [("console", (ADDED + task("dd", 9, *SWAP_OUT)).encode())]})
    assert found.explanation.endswith(f"The console of b says: {card}.")
    assert found.explanation.count("console of") == 1
    assert [cited.line for cited in found.evidence if card in cited.text] == [7]


def test_a_dump_that_was_cut_out_of_the_console_counts_once() -> None:
    stamped = "".join(f"[   52.86{number % 10}986] {line}\n" for number, line in enumerate(DUMP.splitlines()))
    boot = "[    1.000000] booting\n"
    found = reported(
        history("alone"), {"alone": [("console", (boot + stamped).encode()), ("sysrq-w", stamped.encode())]}
    )
    assert {cited.source for edge in found.edges for cited in edge.evidence} == {"console"}


def test_files_of_evidence_are_read_and_cited_by_their_names() -> None:
    head = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    swaps = head + b"/dev/nbd0                               partition\t1051644\t\t768\t\t-2\n"
    sources = [("console", DUMP.encode()), ("proc-swaps", swaps)]
    found = reported(history("alone"), {"alone": sources})
    assert "swap on /dev/nbd0" in [node.label for node in found.nodes]


def test_the_host_that_hangs_is_the_one_that_is_told() -> None:
    texts = {
        "server": [("console", b"[    1.0] boot\n")],
        "client": [("console", (ADDED + task("dd", 9, *SWAP_OUT)).encode())],
    }
    assert "On client the ladder says" in reported(history("server", "client"), texts).explanation


def test_a_trial_in_which_nothing_hangs_has_no_diagnosis() -> None:
    assert diagnose_trial(history("alone"), {"alone": [("console", b"[    1.0] all is well\n")]}) is None
    assert diagnose_trial([], {}) is None


DIRECT = ("__schedule", "schedule", "io_schedule_timeout", "submit_bio_wait", "__blkdev_direct_IO_simple", "vfs_write")


def raw_disk(*stood: float) -> list[Event]:
    """A trial on a raw disk in which the ladder's I/O to it had stood so long, second for second, up to the dump."""
    events = [Event(0.0, Kind.TRIAL, "", {"name": "synthetic", "storage": "scratch disk of alone", "topology": "t"})]
    for t, blocked in enumerate(stood, 1):
        events.append(
            Event(float(t), Kind.RUNG, "alone", {"rung": "storage", "ok": True, "blocked_s": blocked or None})
        )
    return [*events, Event(len(stood) + 1.0, Kind.EVIDENCE, "alone", {"name": "sysrq-w", "path": "x", "ok": True})]


def in_flight(**counts: bytes) -> list[tuple[str, bytes]]:
    return [(f"evidence/alone.sys-block-{name.replace('_', '-')}-inflight.txt", text) for name, text in counts.items()]


STOOD = [float(second) for second in range(36)]


class TestBlockDevices:
    DUMP = (task("steady", 8, *DIRECT) + task("steady", 9, *DIRECT)).encode()

    def reported(self, stood: list[float], **counts: bytes) -> Diagnosis:
        return reported(raw_disk(*stood), {"alone": [("console", self.DUMP), *in_flight(**counts)]})

    def test_io_that_is_in_flight_nowhere_is_held_back_by_the_mapped_device(self) -> None:
        found = self.reported(STOOD, dm_0=b"       0        0\n", vdc=b"       0        0\n")
        assert (found.hang_class, found.confidence) == (HangClass.BLOCK_REQUEST_STUCK, Confidence.MEDIUM)
        assert "dm-0" in found.leaves and "suspended" in found.explanation
        assert "dm-0: 0 in flight" in [cited.text for cited in found.evidence]

    def test_io_that_is_in_flight_is_where_it_is(self) -> None:
        found = self.reported(STOOD, dm_0=b"       0        2\n", vdc=b"       1        2\n")
        assert "In flight: 2 at dm-0, 3 at vdc." in found.explanation and "suspended" not in found.explanation
        assert found.confidence is Confidence.MEDIUM

    def test_no_mapped_device_holds_nothing_back(self) -> None:
        assert "suspended" not in self.reported(STOOD, vdc=b"0 0\n").explanation

    def test_io_that_has_stood_for_moments_only_is_not_yet_stuck(self) -> None:
        assert self.reported([0.0, 0.0, 1.0, 2.0, 3.0]).confidence is Confidence.LOW

    def test_io_that_came_back_again_and_again_is_slow(self) -> None:
        found = self.reported([1.0, 2.0, 3.0, 0.0] * 5 + [1.0], dm_0=b"0 0\n")
        assert (found.hang_class, found.confidence) == (HangClass.SLOW_NOT_STUCK, Confidence.MEDIUM)

    def test_io_that_was_slow_and_then_stood_is_stuck(self) -> None:
        found = self.reported([1.0, 2.0, 3.0, 0.0] * 5 + STOOD[:10])
        assert (found.hang_class, found.confidence) == (HangClass.BLOCK_REQUEST_STUCK, Confidence.LOW)

    def test_evidence_that_is_no_count_is_left_aside(self) -> None:
        assert "flight" not in self.reported(STOOD, dm_0=b"cat: permission denied\n").explanation
