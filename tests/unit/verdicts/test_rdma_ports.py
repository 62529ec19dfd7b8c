"""Counters of RDMA ports in a history: what was moved during the load, and during a stall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sysfs_trees import surveyed

from harness.agent.agent import Ports
from harness.fabric.counters import DATA_UNIT, READS, RECEIVED, SENT, WAIT, files_of, name_of, split
from harness.model.history import Event, Kind
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.report.read.narrative import timeline
from harness.verdicts.measures import longest_stop, measures_of
from harness.verdicts.ports import port_measures, ports_of, stall_words

PORT = "mlx4_0/1"
LOAD_S, ONSET_S, END_S = 10.0, 20.0, 30.0
MIB = 1024 * 1024
ERRORS = ("symbol_error", "link_error_recovery", "link_downed", "port_rcv_errors", "port_xmit_discards")


def reading(t: float, reads: int, **values: int) -> Event:
    data: dict[str, object] = {name_of(PORT, counter): [value] for counter, value in values.items()}
    return Event(t, Kind.VMSTAT, "ib1", {READS: [reads], **data})


def history(sent: int, received: int, *, reads: int = 20, **later: int) -> list[Event]:
    """A load that moves 1 MiB a second each way for 10 s, and then for 10 s what is given."""
    before = {SENT: 10 * MIB // DATA_UNIT, RECEIVED: 10 * MIB // DATA_UNIT}
    after = {SENT: before[SENT] + sent // DATA_UNIT, RECEIVED: before[RECEIVED] + received // DATA_UNIT}
    rest = dict.fromkeys(later, 5)
    return [
        Event(LOAD_S, Kind.PHASE, "", {"name": "load", "state": "begin"}),
        reading(LOAD_S, 1, **{SENT: 0, RECEIVED: 0, **rest}),
        reading(ONSET_S, 10, **before, **rest),
        reading(END_S, reads, **after, **{name: 5 + value for name, value in later.items()}),
        Event(END_S, Kind.PHASE, "", {"name": "load", "state": "end"}),
    ]


def words(events: list[Event]) -> str:
    ((port, said),) = stall_words(events, LOAD_S, ONSET_S, END_S)
    assert port == "ib1 mlx4_0/1"
    return said


def test_the_files_of_the_ports_under_test(tmp_path: Path) -> None:
    facts = surveyed("mlx4", tmp_path)
    files = files_of(facts, ("ib1", "eth0", "ib1.8001"))
    assert files["rdma:mlx4_0/2:port_xmit_data"] == "/sys/class/infiniband/mlx4_0/ports/2/counters/port_xmit_data"
    assert {split(name) for name in files} == {("mlx4_0/2", name) for name in (SENT, RECEIVED, *ERRORS, WAIT)}
    assert files_of(facts, ("eth0",)) == {}


def test_a_device_in_software_has_its_own_counters(tmp_path: Path) -> None:
    files = files_of(surveyed("rxe", tmp_path), ("ens33",))
    assert "rdma:rxe0/1:sent_pkts" in files and "/hw_counters/" in files["rdma:rxe0/1:duplicate_request"]


@pytest.mark.parametrize("name", ["nbd0", "rdma:reads", "rdma:", "nfs:a:b", ""])
def test_other_counters_are_of_no_port(name: str) -> None:
    assert split(name) is None


def test_the_agent_counts_its_reads_under_the_same_name() -> None:
    assert Ports.READS == READS


@pytest.mark.parametrize(
    ("sent", "received", "said"),
    [
        (0, 0, "was idle: 0 B sent, 0 B received"),
        (100_000, 0, "was idle: "),
        (300_000, 0, "moved data, in one direction only: 300000 B sent, 0 B received"),
        (0, 5 * MIB, "moved data, in one direction only: 0 B sent"),
        (5 * MIB, 5 * MIB, "moved data: "),
    ],
)
def test_idle_is_measured_by_what_it_moved_before(sent: int, received: int, said: str) -> None:
    assert words(history(sent, received)).startswith(said)


def test_a_port_that_sends_again() -> None:
    assert words(history(0, 0, local_ack_timeout_err=7)).startswith("was idle and sent again (7 retries): ")


def test_counters_that_are_not_read_are_not_taken_for_idle() -> None:
    assert words(history(0, 0, reads=10)).startswith("its counters could not be read")


def test_what_a_load_moved_and_its_errors() -> None:
    events = history(2 * MIB, 0, symbol_error=3, link_downed=0, port_xmit_wait=9, packet_seq_err=2)
    found = {one.name: (one.value, one.unit) for one in port_measures(events, LOAD_S, END_S)}
    assert found == {
        "ib1 mlx4_0/1 sent": (12.0, "MiB"),
        "ib1 mlx4_0/1 received": (10.0, "MiB"),
        "ib1 mlx4_0/1 symbol errors": (3, ""),
        "ib1 mlx4_0/1 link downed": (0, ""),
        "ib1 mlx4_0/1 ticks without credits": (9, ""),
        "ib1 mlx4_0/1 retries": (2, ""),
    }


def test_a_counter_that_was_cleared_counts_from_0() -> None:
    events = [reading(1.0, 1, symbol_error=500), reading(2.0, 2, symbol_error=4)]
    assert ports_of(events)[0].grew("symbol_error", 1.0, 2.0) == 4


def test_packets_of_a_device_that_counts_no_bytes() -> None:
    events = [reading(10.0, 1, sent_pkts=0, rcvd_pkts=0), reading(20.0, 9, sent_pkts=500, rcvd_pkts=400)]
    events.append(reading(30.0, 20, sent_pkts=503, rcvd_pkts=400))
    assert words(events) == "was idle: 3 packets sent, 0 packets received"


def test_a_history_without_ports_says_nothing() -> None:
    events = [Event(1.0, Kind.VMSTAT, "c1", {"pswpout": 7, "nbd0": [1, 2, 3]})]
    assert stall_words(events, 0.0, 1.0, 2.0) == [] and list(port_measures(events, 0.0, 2.0)) == []


HUNG = Verdict(kind=VerdictKind.DEADLOCKED, summary="it stopped", onset_s=ONSET_S, certain_s=END_S)


def test_it_stands_beside_the_verdict() -> None:
    events = history(0, 0)
    found = {one.name: one.value for one in measures_of(events, HUNG)}
    assert found["ib1 mlx4_0/1 sent"] == 10.0
    assert found["ib1 mlx4_0/1 in the longest stall"] == "was idle: 0 B sent, 0 B received"
    said = [text for t, text in timeline(events, HUNG) if t == ONSET_S]
    assert any(text.startswith("ib1 mlx4_0/1 was idle: 0 B sent, 0 B received, from then to ") for text in said)


def test_the_longest_stop() -> None:
    stalls = (Stall(onset_s=12.0, duration_s=3.0, ended=True), Stall(onset_s=20.0, duration_s=9.0, ended=True))
    survived = Verdict(kind=VerdictKind.SURVIVED, summary="", stalls=stalls)
    assert longest_stop(survived) == (20.0, 29.0) and longest_stop(HUNG) == (ONSET_S, END_S)
    assert longest_stop(replace(survived, stalls=())) is None
