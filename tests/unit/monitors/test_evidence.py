"""Evidence: roads that fail in turn, deadlines, files that cannot be written; collecting never raises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeClock, Log, agent_of, hypervisor_of, make_target, make_topology, no_answer, shell_of

from harness.drivers.protocols import Power
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, InfraError, ShellError
from harness.model.history import Kind
from harness.monitors import evidence
from harness.monitors.evidence import LIMIT, Collector, ConsoleTap

PRINTED = b"sysrq: Show Blocked State\ntask:nbd0 state:D\n"


class Scene:
    """A collector over fakes; `told` are its notes as (name, ok, detail)."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.log = Log(self.clock)
        self.target = make_target(make_topology(), "c1")
        self.agent, self.hypervisor = agent_of(self.target), hypervisor_of(self.target)
        self.tap = ConsoleTap(self.clock)
        self.folder = folder
        self.collector = Collector(self.target, self.tap, folder, self.log.recorder, self.clock)

    def prints(self, *_: object) -> None:
        self.tap.listen(PRINTED)

    @property
    def reported(self) -> list[tuple[str, bool, str]]:
        return [(e.data["name"], e.data["ok"], e.data["detail"]) for e in self.log.of(Kind.EVIDENCE, "c1")]

    def text(self, name: str) -> str:
        return (self.folder / f"c1.{name}.txt").read_text()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_sysrq_through_the_agent(scene: Scene) -> None:
    scene.agent.on["sysrq"] = scene.prints
    scene.collector.sysrq(keys=("w", "l"))
    assert scene.agent.asked == [("sysrq", {"key": "w"}), ("sysrq", {"key": "l"})]
    assert scene.hypervisor.acts == [] and scene.text("sysrq-w") == scene.text("sysrq-l") == PRINTED.decode()
    assert scene.reported[0] == ("sysrq-w", True, f"{len(PRINTED)} bytes over agent")


def test_when_the_agent_fails_the_serial_port_is_tried(scene: Scene) -> None:
    scene.agent.replies["sysrq"] = no_answer("agent: sysrq")
    scene.hypervisor.on["break"] = scene.prints
    scene.collector.sysrq(keys=("w",))
    assert scene.hypervisor.acts == ["break w"]
    assert [(name, ok) for name, ok, _ in scene.reported] == [("sysrq-w", False), ("sysrq-w", True)]
    assert scene.reported[1][2].endswith("over serial break")


def test_a_road_that_prints_nothing_is_left_for_the_next(scene: Scene) -> None:
    scene.hypervisor.failing["break"] = InfraError("c1: monitor is busy")
    scene.hypervisor.on["keyboard"] = scene.prints
    scene.collector.sysrq(keys=("m",))
    assert scene.hypervisor.acts == ["break m", "keyboard m"] and scene.text("sysrq-m") == PRINTED.decode()


def test_an_agent_that_fell_silent_is_not_asked(scene: Scene) -> None:
    scene.hypervisor.on["break"] = scene.prints
    scene.collector.sysrq(agent=False, keys=("w",))
    assert scene.agent.asked == [] and scene.hypervisor.acts == ["break w"]


def test_tasks_of_the_load_that_are_blocked_are_counted(scene: Scene) -> None:
    text = b"sysrq: Show Blocked State\n" + b"".join(
        b"[ 9.1] task:%s state:D stack:    0 pid:  9 ppid: 1\n" % name for name in (b"thrash", b"kswapd0", b"thrash")
    )
    scene.hypervisor.on["break"] = lambda *_: scene.tap.listen(text)
    scene.collector.sysrq(("thrash",), agent=False, keys=("w",))
    (event,) = scene.log.of(Kind.EVIDENCE)
    assert event.data["waiting"] == 2


def test_when_every_channel_fails_it_says_so_and_goes_on(scene: Scene) -> None:
    scene.agent.replies["sysrq"] = no_answer("agent: sysrq")
    scene.hypervisor.failing = {"break": InfraError("busy"), "keyboard": InfraError("no keyboard")}
    scene.collector.sysrq(keys=("m", "w"))
    assert [line for line in scene.reported if "no channel" in line[2]] == [
        ("sysrq-m", False, "no channel for sysrq printed anything"),
        ("sysrq-w", False, "no channel for sysrq printed anything"),
    ]
    assert list(scene.folder.iterdir()) == []


def test_files_of_which_one_is_missing(scene: Scene) -> None:
    scene.agent.replies["read"] = ShellError(host="c1", command="read", problem="No such file\nor directory")
    scene.collector.files(["/proc/a", "/proc/b", "/proc/c"])
    assert len(scene.reported) == 3 and all("\n" not in detail for _, _, detail in scene.reported)
    scene.agent.replies["read"] = "Filename Type\n"
    scene.collector.files(["/proc/swaps"], label="before-")
    assert scene.text("before-proc-swaps") == "Filename Type\n"


def test_two_files_that_block_end_the_reading(scene: Scene) -> None:
    scene.agent.replies["read"] = no_answer("agent: read")
    scene.collector.files(["/a", "/b", "/c", "/d"])
    assert scene.agent.verbs == ["read", "read"]
    assert scene.reported[-1] == ("files", False, "the agent's readers are blocked; no more files")


def test_registers_and_a_command(scene: Scene) -> None:
    shell_of(scene.target).answer("tail", "last line\n", exit_code=1)
    scene.collector.registers()
    scene.collector.command("workload-log", "tail -c 20000 /log")
    assert [ok for _, ok, _ in scene.reported] == [True] * 2
    assert scene.text("workload-log") == "last line\n" and "RIP" in scene.text("registers")


def test_what_does_not_answer_from_outside_is_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "SYSRQ_S", 0.01)
    go = threading.Event()

    def hang() -> None:
        assert go.wait(10.0)

    scene.hypervisor.on = dict.fromkeys(("registers", "nmi"), hang)
    scene.collector.registers()
    scene.collector.nmi()
    go.set()
    assert scene.reported == [
        ("registers", False, "c1: `registers`: fake does not answer"),
        ("nmi", False, "c1: `nmi`: fake does not answer"),
    ]


def test_what_a_host_does_not_offer_is_noted_and_the_agent_is_still_asked(scene: Scene) -> None:
    scene.target = make_target(make_topology(), "c1", offers=frozenset({Power}))
    collector = Collector(scene.target, scene.tap, scene.folder, scene.log.recorder, scene.clock)
    collector.registers()
    collector.nmi()
    collector.sysrq(keys=("m",))
    assert agent_of(scene.target).verbs == ["sysrq"] and hypervisor_of(scene.target).acts == []
    assert [detail for _, _, detail in scene.reported] == [
        "the host does not offer it",
        "the host does not offer it",
        "no channel for sysrq printed anything",
    ]


def test_nothing_that_fails_is_raised(scene: Scene) -> None:
    scene.hypervisor.failing["registers"] = InfraError("gone")
    shell_of(scene.target).replies["tail"] = DeadlineExceeded(host="c1", command="tail", problem="no answer in time")
    scene.collector.registers()
    scene.collector.command("log", "tail")
    assert [ok for _, ok, _ in scene.reported] == [False] * 2


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "not there")
    scene.collector.registers()
    ((name, ok, detail),) = scene.reported
    assert (name, ok) == ("registers", False) and "not there" in detail


def listening(tap: ConsoleTap, parts: dict[float, bytes]) -> Callable[[float], None]:
    """What the console prints at which time."""

    def at(now: float) -> None:
        for when in [when for when in parts if when <= now]:
            tap.listen(parts.pop(when))

    return at


def test_the_tap_waits_until_the_console_is_quiet() -> None:
    clock = FakeClock(0.0)
    tap = ConsoleTap(clock)
    tap.listen(b"before")
    tap.begin()
    clock.at_each = listening(tap, {0.5: b"sysrq: ", 1.2: b"one ", 2.1: b"two", 4.0: b"much later"})
    assert tap.until_quiet(b"sysrq: ", Deadline.after(20.0, clock)) == b"sysrq: one two"
    assert 3.1 <= clock.now < 3.3
    clock.at_each = None
    tap.listen(b"nobody asked")
    tap.begin()
    assert tap.until_quiet(b"x", Deadline.after(1.0, clock)) == b""


def test_the_tap_gives_up_early_when_nothing_is_printed_and_at_the_deadline() -> None:
    clock = FakeClock(0.0)
    tap = ConsoleTap(clock)
    tap.begin()
    assert tap.until_quiet(b"sysrq: ", Deadline.after(20.0, clock)) == b"" and clock.now < 3.2
    tap.begin()
    clock.at_each = lambda now: tap.listen(b"sysrq: and on and on ")
    end = clock.now + 20.0
    assert tap.until_quiet(b"sysrq: ", Deadline(end, clock)).startswith(b"sysrq: ")
    assert end <= clock.now < end + 0.1


def test_the_tap_is_bounded() -> None:
    clock = FakeClock(0.0)
    tap = ConsoleTap(clock)
    tap.begin()
    for _ in range(5):
        tap.listen(b"sysrq: " + b"x" * (LIMIT // 3))
    assert len(tap.until_quiet(b"sysrq: ", Deadline.after(20.0, clock))) < 2 * LIMIT
