"""The ladder of one host: the agent's records as events, probes that may block, and what is sampled from here."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes import FakeClock, FakeShell, Log, hypervisor_of, make_target, make_topology

from harness.drivers.protocols import Power
from harness.model.clock import Deadline
from harness.model.errors import ShellError
from harness.model.history import Kind, Rung
from harness.model.power import PowerState
from harness.monitors.ladder import AgentRungs, BackgroundProbe, Echo, HostMonitor, shell_sample

WAIT_S = 10.0
PROBES = {"alloc": [0.01, None, 0, ""], "storage": [0.2, 3.5, 1, "I/O error"]}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> Log:
    return Log(clock)


def beat(number: int, workload: list[int] | None = None) -> dict[str, Any]:
    return {"b": number, "u": number / 2, "p": PROBES, "w": workload}


def test_a_beat_is_a_heartbeat_and_the_rungs_once_a_second(log: Log, clock: FakeClock) -> None:
    rungs = AgentRungs("c1", log.recorder, clock)
    for number in range(8):
        rungs.on_record(beat(number))
        clock.sleep(0.5)
    assert [event.data["seq"] for event in log.of(Kind.HEARTBEAT)] == list(range(8))
    assert len(log.rungs("alloc")) == len(log.rungs("storage")) == 4
    storage = log.rungs("storage")[0].data
    assert storage["ok"] is False and storage["blocked_s"] == 3.5 and storage["detail"] == "I/O error"
    assert log.rungs("alloc")[0].data["ok"] is True
    assert log.rungs("disk") == [] and log.of(Kind.PROGRESS) == []


def test_progress_counters_and_what_is_none_of_its_business(log: Log, clock: FakeClock) -> None:
    rungs = AgentRungs("c1", log.recorder, clock)
    rungs.on_record(beat(1, [100, 409600, 16, 2, 1, 13]))
    rungs.on_record({"v": {"pswpin": 7}})
    rungs.on_record({"hello": {"cpus": 2}})
    rungs.on_record({})
    (progress,) = log.of(Kind.PROGRESS, "c1")
    expected = {"ops": 100, "bytes": 409600, "workers": 16, "finished": 2, "failed": 1, "alive": 13}
    assert dict(progress.data) == expected
    assert dict(log.of(Kind.VMSTAT)[0].data) == {"pswpin": 7}


def test_the_heartbeat_rung_tells_gap_and_silence(log: Log, clock: FakeClock) -> None:
    rungs = AgentRungs("c1", log.recorder, clock)
    rungs.heartbeat()
    assert log.rungs("heartbeat") == []  # nothing was ever heard
    rungs.on_record(beat(1))
    clock.sleep(1.5)
    rungs.on_record(beat(2))
    rungs.heartbeat()
    clock.sleep(1.9)
    rungs.heartbeat()
    clock.sleep(0.2)
    rungs.heartbeat()
    late, still, silent = (event.data for event in log.rungs("heartbeat"))
    assert late["latency_s"] == pytest.approx(1.0) and late["ok"] and late["blocked_s"] is None
    assert still["ok"] and still["blocked_s"] is None
    assert not silent["ok"] and silent["blocked_s"] == pytest.approx(2.1)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def test_a_probe_that_blocks_says_for_how_long(clock: FakeClock) -> None:
    entered, go = threading.Event(), threading.Event()

    def sample() -> Mapping[str, object]:
        entered.set()
        assert go.wait(WAIT_S)
        clock.now += 2.0
        return {"agent": "S"}

    probe = BackgroundProbe(sample, 1000.0, clock, "probe")
    assert probe.state() == {"ok": True, "latency_s": None, "blocked_s": None, "detail": "", "age_s": 0.0}
    probe.start()
    assert entered.wait(WAIT_S)
    clock.now += 46.0
    assert probe.state()["blocked_s"] == 46.0
    go.set()
    until(lambda: probe.state()["latency_s"] is not None)
    reported = {"ok": True, "latency_s": 48.0, "blocked_s": None, "detail": "", "age_s": 48.0, "agent": "S"}
    assert probe.state() == reported, "what it learnt, and how old that is"
    probe.stop()


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ShellError(host="c1", command=":", problem="SSH: refused", output="more"), "c1: `:`: SSH: refused"),
        (OSError(), "OSError()"),
        (RuntimeError("not expected\nat all"), "not expected"),
    ],
)
def test_a_probe_that_fails_says_why_and_goes_on(error: Exception, detail: str) -> None:
    failing = threading.Event()
    failing.set()
    samples: list[int] = []

    def sample() -> Mapping[str, object]:
        samples.append(1)
        if failing.is_set():
            raise error
        return {}

    probe = BackgroundProbe(sample, 0.0, FakeClock(), "probe")
    probe.start()
    until(lambda: probe.state()["detail"] == detail)
    assert probe.state()["ok"] is False
    failing.clear()
    until(lambda: probe.state()["ok"] is True)
    probe.stop()
    assert len(samples) >= 2


@pytest.mark.parametrize(
    ("stat", "state"),
    [("71 (python3) S 1 71 71 0", "S"), ("71 (a ) b) T 1 71", "T"), ("", "")],
)
def test_the_shell_is_asked_for_the_state_of_the_agent_and_starts_nothing(stat: str, state: str) -> None:
    shell = FakeShell()
    shell.answer("agent.pid", stat)
    assert shell_sample(shell)() == {"agent": state}
    (command,) = shell.commands
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"", "no agent here"


def test_the_echo_keeps_its_connection_and_makes_it_again_when_it_breaks() -> None:
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answers in (2, 1):  # the first caller is hung up on after two bytes
                caller, _ = server.accept()
                calls.append(answers)
                with caller:
                    for _ in range(answers):
                        caller.sendall(caller.recv(1))

        thread = threading.Thread(target=serve)
        thread.start()
        echo = Echo(server.getsockname())
        echo.sample()
        echo.sample()
        with pytest.raises(OSError):
            echo.sample()
        echo.sample()
        echo.close()
        echo.close()
        thread.join()
    assert calls == [2, 1]


def test_an_echo_that_waits_ends_when_it_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        echo = Echo(server.getsockname())
        failed = threading.Event()

        def sample() -> None:
            with contextlib.suppress(OSError):
                echo.sample()
            failed.set()

        thread = threading.Thread(target=sample)
        thread.start()
        caller, _ = server.accept()
        assert caller.recv(1) == b"h"
        echo.close()
        assert failed.wait(WAIT_S)
        thread.join()
        caller.close()


def test_a_tick_tells_the_rungs_that_are_sampled_from_here(log: Log, clock: FakeClock) -> None:
    target = make_target(make_topology(), "c1")
    monitor = HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock)
    monitor.tick()
    hypervisor_of(target).power = PowerState.PAUSED
    monitor.tick()
    running, paused = (event.data for event in log.rungs(Rung.VCPU))
    assert running["ok"] and running["detail"] == "on" and running["cpu_ns"] == 5
    assert not paused["ok"] and paused["detail"] == "paused" and paused["latency_s"] is None
    assert len(log.rungs(Rung.SHELL)) == 2 and log.rungs(Rung.NET) == []


def test_a_power_that_takes_its_time_holds_up_no_tick_and_is_told_once_it_has_answered(
    log: Log, clock: FakeClock
) -> None:
    target, go = make_target(make_topology(), "c1"), threading.Event()
    monitor = HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock)
    asked: list[float] = []

    def state(*, deadline: Deadline) -> PowerState:
        asked.append(clock.monotonic())
        assert go.wait(WAIT_S)
        return PowerState.PAUSED

    hypervisor_of(target).state = state  # type: ignore[method-assign]
    began = time.monotonic()
    for _ in range(4):
        monitor.tick()
        clock.sleep(1.0)
    assert time.monotonic() - began < WAIT_S, "nothing waited for it"
    go.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "power c1"])
    monitor.tick()
    *blocked, answer = (event.data for event in log.rungs(Rung.VCPU))
    assert [sample["blocked_s"] for sample in blocked] == [0.0, 1.0, 2.0, 3.0] and len(asked) == 1
    assert all(PowerState.of(sample["detail"]) is PowerState.UNKNOWN for sample in blocked), "no evidence"
    assert answer["blocked_s"] is None and answer["detail"] == "paused" and "cpu_ns" not in answer


def test_a_power_source_is_asked_as_often_as_it_allows(log: Log, clock: FakeClock) -> None:
    target = make_target(make_topology(), "c1")
    hypervisor = hypervisor_of(target)
    hypervisor.period_s = 5.0
    monitor = HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock)
    seen = []
    for second in range(10):
        hypervisor.power = PowerState.ON if second < 2 else PowerState.OFF
        monitor.tick()
        seen.append(log.rungs(Rung.VCPU)[-1].data["detail"])
        clock.sleep(1.0)
    assert seen == ["on"] * 4 + ["off"] * 6, "asked at 0, 4 and 8 s; the last answer stands in between"


def test_a_power_that_fails_is_no_answer(log: Log, clock: FakeClock) -> None:
    target = make_target(make_topology(), "c1")

    def state(*, deadline: Deadline) -> PowerState:
        raise RuntimeError("not expected\nat all")

    hypervisor_of(target).state = state  # type: ignore[method-assign]
    HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock).tick()
    (sample,) = (event.data for event in log.rungs(Rung.VCPU))
    assert not sample["ok"] and sample["detail"] == "not expected"
    assert PowerState.of(sample["detail"]) is PowerState.UNKNOWN


def test_a_host_whose_processors_nobody_accounts_for_has_a_rung_all_the_same(log: Log, clock: FakeClock) -> None:
    target = make_target(make_topology(), "c1", offers=frozenset({Power}))
    HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock).tick()
    (sample,) = (event.data for event in log.rungs(Rung.VCPU))
    assert sample["ok"] and sample["detail"] == "on" and "processors" not in sample


def test_a_host_without_peers_is_asked_over_the_management_network(log: Log, clock: FakeClock) -> None:
    target = make_target(make_topology(), "c1", peers=())
    HostMonitor(target, AgentRungs("c1", log.recorder, clock), log.recorder, clock).tick()
    assert len(log.rungs(Rung.NET)) == 1
