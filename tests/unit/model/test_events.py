"""The payloads of events: what stands in a history file, and what is read from one."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.events import (
    Baseline,
    Counters,
    EvidencePiece,
    FaultStep,
    Fence,
    Heartbeat,
    HostRecord,
    InfraFailure,
    Lag,
    LoadLimit,
    Note,
    Payload,
    Phase,
    RecoveryStep,
    RungSample,
    TrialFacts,
    WatchOpinion,
    WorkloadProgress,
)
from harness.model.events.payload import number
from harness.model.finding import Finding, FindingKind
from harness.model.history import PAYLOADS, Event, Kind, Rung, select
from harness.model.measure import Measure
from harness.model.opinion import Opinion, State

# One event of each kind, as harness 0.1 wrote it: neither a key nor a value may change.
RECORDED: dict[str, Payload] = {
    '{"name":"x/1","started":1796092504.4,"policy":{"stop_s":4.0},"topology":"pair","roles":{"client":"c1"},'
    '"storage":"swap on nbd0","workload":"8 processes","faults":["cable out"],"tunings":[],"instruments":[],'
    '"about":"","slowdown":12.5}': TrialFacts(
        name="x/1",
        started=1796092504.4,
        policy={"stop_s": 4.0},
        topology="pair",
        roles={"client": "c1"},
        storage="swap on nbd0",
        workload="8 processes",
        faults=("cable out",),
        slowdown=12.5,
    ),
    '{"facts":{"memory":1},"capabilities":["Power"],"transport":"UART","silence_is_proof":false,'
    '"power_source":"libvirt"}': HostRecord(
        facts={"memory": 1},
        capabilities=("Power",),
        transport="UART",
        silence_is_proof=False,
        power_source="libvirt",
    ),
    '{"name":"load","state":"begin"}': Phase(name="load", state="begin"),
    '{"rung":"alloc","ok":true,"latency_s":0.02,"blocked_s":null,"errors":0,"detail":""}': RungSample(
        rung=Rung.ALLOC, ok=True, latency_s=0.02, errors=0
    ),
    '{"rung":"heartbeat","ok":false,"latency_s":0.0,"blocked_s":3.5,"detail":""}': RungSample(
        rung=Rung.HEARTBEAT, latency_s=0.0, blocked_s=3.5
    ),
    '{"rung":"shell","agent":"S","age_s":2.16,"ok":true,"latency_s":1.8,"blocked_s":null,"detail":""}': RungSample(
        rung=Rung.SHELL, ok=True, latency_s=1.8, agent="S", age_s=2.16
    ),
    '{"rung":"vcpu","ok":true,"latency_s":0.0,"blocked_s":null,"detail":"running","cpu_ns":24,'
    '"processors":[[9,20],[8,21]]}': RungSample(
        rung=Rung.VCPU, ok=True, latency_s=0.0, detail="running", cpu_ns=24, processors=((9, 20), (8, 21))
    ),
    '{"rung":"vcpu","ok":false,"latency_s":null,"blocked_s":null,"detail":"gone","cpu_ns":0,'
    '"processors":[]}': RungSample(rung=Rung.VCPU, detail="gone", cpu_ns=0, processors=()),
    '{"ops":272,"bytes":1114112,"workers":4,"finished":1,"failed":1,"alive":2}': WorkloadProgress(
        ops=272, bytes=1114112, workers=4, finished=1, failed=1, alive=2
    ),
    '{"ops_per_s":660.1}': Baseline(ops_per_s=660.1),
    '{"pswpin":3,"nbd0":[1,0,0,0,2]}': Counters({"pswpin": 3, "nbd0": [1, 0, 0, 0, 2]}),
    '{"seq":8,"uptime_s":15.2,"ticks":[0.3,0.1]}': Heartbeat(seq=8, uptime_s=15.2, ticks=(0.3, 0.1)),
    '{"kind":"hung_task","title":"task dd:7 blocked","line":401,"function":"io_schedule","task":"dd","pid":7,'
    '"cpu":null,"time_s":72.5,"corrupted":false,"stack":["io_schedule","do_swap_page"]}': Finding(
        kind=FindingKind.HUNG_TASK,
        title="task dd:7 blocked",
        line=401,
        function="io_schedule",
        task="dd",
        pid=7,
        time_s=72.5,
        stack=("io_schedule", "do_swap_page"),
    ),
    '{"name":"nbd-server gone","action":"inject","took_s":1.076,"detail":""}': FaultStep(
        name="nbd-server gone", action="inject", took_s=1.076
    ),
    "{}": Fence(),
    '{"name":"connection held by","value":"the kernel alone","unit":""}': Measure(
        name="connection held by", value="the kernel alone"
    ),
    '{"name":"writes lost","value":3,"unit":""}': Measure(name="writes lost", value=3),
    '{"state":"idle","since_s":0.0,"why":"no workload yet"}': WatchOpinion.of(
        Opinion(State.IDLE, 0.0, "no workload yet")
    ),
    '{"step":"hold","done":true,"recovered":false,"after_s":10.2,"detail":"c1/storage"}': RecoveryStep(
        step="hold", after_s=10.2, detail="c1/storage"
    ),
    '{"name":"proc-vmstat","path":"c1.proc-vmstat.txt","ok":true,"detail":"3478 bytes over agent"}': EvidencePiece(
        name="proc-vmstat", path="c1.proc-vmstat.txt", ok=True, detail="3478 bytes over agent"
    ),
    '{"name":"sysrq-w","path":"","ok":false,"detail":"no channel","waiting":2}': EvidencePiece(
        name="sysrq-w", detail="no channel", waiting=2
    ),
    '{"error":"BootError: c1"}': InfraFailure(error="BootError: c1"),
    '{"seconds":60}': LoadLimit(seconds=60),
    '{"seconds":2.67}': Lag(seconds=2.67),
    '{"text":"restored"}': Note(text="restored"),
}


@pytest.mark.parametrize(("line", "payload"), RECORDED.items(), ids=str)
def test_what_stands_in_a_history(line: str, payload: Payload) -> None:
    event = Event(1.0, payload.event_kind, "c1", payload.to_dict())
    written = json.loads(event.to_json())
    assert written["data"] == json.loads(line)
    assert Event.from_json(event.to_json()).payload == payload
    assert event.payload == payload and event.payload is event.payload


def test_every_kind_is_pinned() -> None:
    assert {payload.event_kind for payload in RECORDED.values()} == set(PAYLOADS) == set(Kind)


def test_words_of_before_are_read_as_those_of_now() -> None:
    assert Event(1.0, Kind.OPINION, data={"state": "mute"}).payload == WatchOpinion(state=State.AGENT_DEAD)


def test_what_is_missing_has_its_default_and_what_is_unknown_is_ignored() -> None:
    assert Event(1.0, Kind.PROGRESS, data={"ops": 3, "workers": 2, "new": 1}).payload == WorkloadProgress(
        ops=3, workers=2
    )
    assert Event(1.0, Kind.CONSOLE, data={"kind": "of tomorrow", "title": "x"}).payload == Finding(
        kind="of tomorrow", title="x", line=0
    )
    assert Event(1.0, Kind.FAULT, data={"name": "x", "action": "heal"}).payload == FaultStep(name="x", action="heal")


def test_the_places_of_processors_count() -> None:
    beat = Event(1.0, Kind.HEARTBEAT, data={"ticks": [0.1, None]}).payload
    assert isinstance(beat, Heartbeat) and beat.ticks == ()
    sample = Event(1.0, Kind.RUNG, data={"rung": "vcpu", "processors": [[1, 2], [3]]}).payload
    assert isinstance(sample, RungSample) and sample.processors is None


def test_what_is_no_finite_number_is_none() -> None:
    assert [number(value) for value in (float("nan"), float("inf"), 10**400, True, "1", None, 0)] == [*[None] * 6, 0]


def test_counters_and_files_of_counters() -> None:
    counters = Counters({"pswpin": 7, "nbd0": [1, 2], "odd": "x"})
    assert (counters.value("pswpin"), counters.value("nbd0"), counters.value("pswpout")) == (7, None, None)
    assert counters.files == {"nbd0": (1, 2)}


def test_select_gives_one_kind() -> None:
    events = [Event(float(n), Kind.NOTE if n % 2 else Kind.LAG, data={"text": str(n)}) for n in range(4)]
    assert [(event.t, note.text) for event, note in select(events, Note)] == [(1.0, "1"), (3.0, "3")]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted({field.name for payload in PAYLOADS.values() for field in fields(payload)})


@given(st.sampled_from(Kind), st.dictionaries(st.sampled_from(NAMES), ODD, max_size=8))
def test_nothing_in_a_history_makes_reading_raise(kind: Kind, data: dict[str, object]) -> None:
    payload = Event(1.0, kind, "c1", data).payload
    again = Event.from_json(Event(1.0, kind, "c1", payload.to_dict()).to_json()).payload
    assert kind is Kind.VMSTAT or again == payload
