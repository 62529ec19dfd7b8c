"""What a trial knows beside the console: which host serves the storage, and what the ladder said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.model.diagnosis import Confidence, Diagnosis, HangClass
from harness.model.history import Event, Kind
from harness.verdicts.diagnosis import diagnose_trial

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


def told(events: list[Event], texts: dict[str, list[tuple[str, bytes]]]) -> Diagnosis:
    found = diagnose_trial(events, texts)
    assert found is not None
    return found


def test_a_single_host_is_its_own_server() -> None:
    found = told(history("alone"), {"alone": [("console", (ADDED + DUMP).encode())]})
    assert (found.hang_class, found.confidence) == (HangClass.LOCAL_STORAGE_SERVER, Confidence.HIGH)
    assert all(edge.sure for edge in found.edges if edge.awaited == "nbd-server:157")


@pytest.mark.parametrize(("roles", "expected"), [
    ({"client": "a", "server": "a", "other": "b"}, Confidence.HIGH),
    ({"client": "a", "server": "b"}, None),
])  # fmt: skip
def test_roles_say_who_serves_where_there_are_more_hosts(roles: dict[str, str], expected: Confidence | None) -> None:
    found = told(history("a", "b", roles=roles), {"a": [("console", (ADDED + DUMP).encode())]})
    assert (found.hang_class is HangClass.LOCAL_STORAGE_SERVER) == (expected is not None)
    if expected:
        assert found.confidence is expected


def test_without_roles_another_host_may_be_the_server_and_no_circle_is_claimed() -> None:
    found = told(history("client", "server"), {"client": [("console", (ADDED + DUMP).encode())]})
    assert found.hang_class is HangClass.SWAP_OVER_NETWORK
    assert not found.cycle


def test_swap_on_a_local_disk_has_no_server() -> None:
    events = history("alone", storage="plain disk of alone")
    found = told(
        events, {"alone": [("console", ADDED.replace("nbd0", "vdb").encode() + task("dd", 9, *SWAP_OUT).encode())]}
    )
    assert found.hang_class is not HangClass.LOCAL_STORAGE_SERVER


def test_the_ladder_is_told_as_it_was_when_the_dump_was_made() -> None:
    events = history("alone")
    events.append(Event(10.0, Kind.EVIDENCE, "alone", {"name": "sysrq-w", "path": "x", "ok": True}))
    events.append(Event(99.0, Kind.RUNG, "alone", {"rung": "storage", "ok": True, "blocked_s": None}))
    found = told(events, {"alone": [("console", DUMP.encode())]})
    assert "blocked storage; alive disk" in found.explanation
    assert [cited.line for cited in found.evidence if cited.source == "history"] == [3]


def test_a_fault_that_the_trial_put_on_is_told_with_it() -> None:
    events = history("a", "b")
    events.insert(1, Event(5.0, Kind.FAULT, "", {"name": "link a pulled", "action": "inject", "detail": ""}))
    events.insert(2, Event(5.0, Kind.FAULT, "", {"name": "b paused", "action": "inject", "detail": ""}))
    events.insert(3, Event(6.0, Kind.FAULT, "", {"name": "b paused", "action": "heal", "detail": ""}))
    found = told(events, {"a": [("console", (ADDED + task("dd", 9, *SWAP_OUT)).encode())]})
    assert found.explanation.endswith("injected and not healed: link a pulled.")


def test_a_dump_that_was_cut_out_of_the_console_counts_once() -> None:
    stamped = "".join(f"[   52.86{number % 10}986] {line}\n" for number, line in enumerate(DUMP.splitlines()))
    boot = "[    1.000000] booting\n"
    found = told(history("alone"), {"alone": [("console", (boot + stamped).encode()), ("sysrq-w", stamped.encode())]})
    assert {cited.source for edge in found.edges for cited in edge.evidence} == {"console"}


def test_files_of_evidence_are_read_and_cited_by_their_names() -> None:
    head = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    swaps = head + b"/dev/nbd0                               partition\t1051644\t\t768\t\t-2\n"
    sources = [("console", DUMP.encode()), ("proc-swaps", swaps)]
    found = told(history("alone"), {"alone": sources})
    assert "swap on /dev/nbd0" in [node.label for node in found.nodes]


def test_the_host_that_hangs_is_the_one_that_is_told() -> None:
    texts = {
        "server": [("console", b"[    1.0] boot\n")],
        "client": [("console", (ADDED + task("dd", 9, *SWAP_OUT)).encode())],
    }
    assert "On client the ladder says" in told(history("server", "client"), texts).explanation


def test_a_trial_in_which_nothing_hangs_has_no_diagnosis() -> None:
    assert diagnose_trial(history("alone"), {"alone": [("console", b"[    1.0] all is well\n")]}) is None
    assert diagnose_trial([], {}) is None
