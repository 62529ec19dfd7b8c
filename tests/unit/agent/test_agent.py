"""The agent's parts that need no guest: its protocol, the slots, what it reads, and what it must never do."""

from __future__ import annotations

import binascii
import contextlib
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from forked import again_and_again
from hypothesis import given
from hypothesis import strategies as st

from harness.agent import agent
from harness.drivers import agent_link

RECORDS = st.dictionaries(
    st.text(max_size=8), st.one_of(st.integers(), st.text(), st.booleans(), st.none()), max_size=5
)


@given(RECORDS)
def test_both_ends_speak_the_same_protocol(record: dict[str, object]) -> None:
    assert agent.frame(record) == agent_link.frame(record)
    assert agent.unframe(agent_link.frame(record)) == record
    assert agent_link.unframe(agent.frame(record)) == record


@given(RECORDS, st.data())
def test_a_damaged_line_is_refused_by_both(record: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(agent.frame(record).rstrip(b"\n"))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    for unframe in (agent.unframe, agent_link.unframe):
        # A checksum in capital letters is the same checksum.
        with contextlib.suppress(ValueError):
            assert unframe(bytes(line)) == record


def test_the_agent_runs_on_an_old_python() -> None:
    """No syntax, and no module, that a host under test may not have; and none that is large."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import agent; print(*sorted(sys.modules))"
    folder = str(Path(agent.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, folder], capture_output=True, text=True, check=True
    )
    assert {"typing", "pathlib", "dataclasses", "subprocess", "logging"}.isdisjoint(done.stdout.split())


@pytest.fixture
def slot() -> agent.Slot:
    return agent.Slot(mmap.mmap(-1, 4096), 3)


def test_a_slot_says_nothing_before_the_first_sample(slot: agent.Slot) -> None:
    assert slot.sample(time.monotonic(), 0.7) is None


def test_a_sample_under_way_and_one_that_is_done(slot: agent.Slot) -> None:
    slot.begin()
    sample = slot.sample(time.monotonic() + 3.0, 0.7)
    assert sample is not None
    latency, blocked, errors, detail = sample
    assert latency is None and 3.0 <= blocked < 3.5 and (errors, detail) == (0, "")
    slot.end()
    sample = slot.sample(time.monotonic(), 0.7)
    assert sample is not None and sample[0] >= 0.0 and sample[1] is None


def test_nobody_sees_half_of_a_slot(slot: agent.Slot) -> None:
    slot.begin()
    slot.end("no route")

    def sample() -> None:
        slot.begin()
        slot.end("no route")

    with again_and_again(sample):
        seen = [slot.get() for _ in range(100_000)]
    assert all(started and finished for started, finished, *_ in seen)
    assert all(latency >= 0.0 and 1 <= count <= errors for _, _, latency, count, errors, _ in seen)
    counts = [count for *_, count, _, _ in seen]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_a_probe_that_does_not_come_back_is_blocked_too(slot: agent.Slot) -> None:
    slot.begin()
    slot.end()
    finished = slot.get()[1]
    on_time = slot.sample(finished + 0.7 + agent.LATE_S - 0.01, 0.7)
    late = slot.sample(finished + 0.7 + 5.0, 0.7)
    assert on_time is not None and on_time[1] is None
    assert late is not None and late[1] == pytest.approx(5.0, abs=0.01)


def test_an_error_is_counted_and_told_and_forgotten(slot: agent.Slot) -> None:
    slot.begin()
    slot.end("No space left on device " + "x" * 100)
    sample = slot.sample(slot.get()[1], 0.7)
    assert sample is not None and sample[2] == 1 and sample[3].startswith("No space left") and len(sample[3]) == 64
    slot.begin()
    slot.end()
    sample = slot.sample(slot.get()[1], 0.7)
    assert sample is not None and sample[2:] == [1, ""]


def test_storage_that_cannot_be_opened_fails_and_does_not_look_blocked(slot: agent.Slot, tmp_path: Path) -> None:
    probe = agent.take_order(None, {"path": str(tmp_path / "none"), "write": False}, slot)
    with pytest.raises(OSError, match="none"):
        probe.sample()


def test_no_storage_any_more(slot: agent.Slot) -> None:
    slot.begin()
    assert agent.take_order(object(), {"path": None}, slot) is None
    assert slot.sample(time.monotonic(), 0.7) is None


@pytest.fixture
def direct_file() -> Iterator[Path]:
    # Where the agent has it too: a file system in memory may take no direct I/O.
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder) / "probe"


def test_the_disk_probe_writes_reads_and_compares(direct_file: Path) -> None:
    probe = agent.Direct({"path": str(direct_file), "create": True})
    probe.sample()
    probe.sample()
    assert struct.unpack_from("=Q", direct_file.read_bytes())[0] == 2
    reader = agent.Direct({"path": str(direct_file), "write": False})
    reader.sample()
    short = agent.Direct({"path": str(direct_file), "write": False, "offset": 4096})
    with pytest.raises(OSError, match="short read"):
        short.sample()


def test_alloc_and_fork_answer_here() -> None:
    alloc = agent.Alloc()
    alloc.prepare()
    alloc.sample()
    agent.Fork().sample()


def test_stats_read_counters_and_files(tmp_path: Path) -> None:
    memory = mmap.mmap(-1, agent.STATS_SIZE)
    stats = agent.Stats(memory, 0)
    (tmp_path / "stat").write_text("  12 0 7 x\n")
    stats.watch({"nbd0": str(tmp_path / "stat")})
    stats.sample()
    sequence, length = struct.unpack_from("=QQ", memory, 0)
    values = json.loads(memory[16 : 16 + length])["v"]
    assert sequence == 2 and values["nbd0"] == [12, 0, 7] and values["pgmajfault"] > 0
    stats.sample()
    assert struct.unpack_from("=Q", memory, 0) == (4,)


def test_ports_read_what_is_there_and_count_how_often(tmp_path: Path) -> None:
    memory = mmap.mmap(-1, agent.STATS_SIZE)
    (tmp_path / "sent").write_text("18446744073709551615\n")
    (tmp_path / "wait").write_text("N/A (no PMA)\n")
    names = {name: str(tmp_path / name) for name in ("sent", "wait", "gone")}
    ports = agent.Ports(memory, 0, names)
    ports.sample()
    ports.sample()
    _, length = struct.unpack_from("=QQ", memory, 0)
    assert json.loads(memory[16 : 16 + length])["v"] == {ports.READS: [2], "sent": [18446744073709551615]}


def test_stats_that_are_not_there_leave_the_old_ones(slot: agent.Slot, tmp_path: Path) -> None:
    stats = agent.Stats(mmap.mmap(-1, agent.STATS_SIZE), 0)
    assert agent.take_order(stats, {"files": {"x": str(tmp_path / "none")}}, slot) is stats
    stats.sample()


def test_late_actions(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text \xff")
    assert agent.act({"do": "read", "path": str(tmp_path / "file")}) == "text \ufffd"
    agent.act({"do": "open", "paths": [str(tmp_path / "file")]})
    (tmp_path / "file").write_bytes(b"new")
    assert [agent.act({"do": "read", "path": str(tmp_path / "file")}) for _ in range(2)] == ["new", "new"]
    agent.act({"do": "open", "paths": [str(tmp_path / "file")], "write": True})
    agent.act({"do": "close"})
    assert agent.KEPT == agent.WRITABLE == {}
    assert "none: " in agent.act({"do": "open", "paths": [str(tmp_path / "none")]})
    with pytest.raises(FileNotFoundError):
        agent.act({"do": "read", "path": str(tmp_path / "none")})
    with pytest.raises(ValueError, match="dance"):
        agent.act({"do": "dance"})


def bare_agent(progress: bytes | None = None) -> agent.Agent:
    """An agent without its port and its children."""
    made = agent.Agent.__new__(agent.Agent)
    made.progress = None
    if progress is not None:
        made.progress = mmap.mmap(-1, 4096)
        made.progress[: len(progress)] = progress
    return made


def pipe_channel(fd: int) -> agent.Uart:
    """A serial port that is one end of a pipe."""
    made = agent.Uart.__new__(agent.Uart)
    made.reader = made.writer = fd
    return made


def progress_file(group: int, *workers: tuple[int, int, int, int]) -> bytes:
    head = agent.PROGRESS.pack(agent.PROGRESS_MAGIC, len(workers), 64, group, 0).ljust(64, b"\0")
    return head + b"".join(agent.WORKER.pack(*worker).ljust(64, b"\0") for worker in workers)


def test_progress_is_summed_over_the_workers() -> None:
    me, nobody = os.getpid(), 0
    data = progress_file(me, (5, 50, 1, me), (7, 70, 2, me), (1, 10, 3, nobody))
    assert bare_agent(data).read_progress() == [13, 130, 3, 1, 1, 2]


@pytest.mark.parametrize("data", [None, b"", b"HRNSPRG0", progress_file(9)[:8] + b"\xff" * 16])
def test_progress_that_is_not_there_yet_or_makes_no_sense(data: bytes | None) -> None:
    assert bare_agent(data).read_progress() is None


@pytest.mark.parametrize("data", [None, b"", progress_file(0), progress_file(1)])
@pytest.mark.parametrize("verb", ["hold", "kill"])
def test_a_workload_without_a_group_is_never_signalled(
    data: bytes | None, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group 0 would be the agent's own: it would hold or kill itself."""
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: sent.append(group))
    with pytest.raises(OSError, match="process group"):
        bare_agent(data).command({"id": 1, "do": verb})
    assert sent == []


def test_hold_and_kill_reach_the_group_of_the_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: sent.append((group, number)))
    made = bare_agent(progress_file(4242))
    monkeypatch.setattr(made, "answer", lambda *_: None)
    for verb in ("hold", "resume", "kill"):
        made.command({"id": 1, "do": verb})
    assert sent == [(4242, signal.SIGSTOP), (4242, signal.SIGCONT), (4242, signal.SIGKILL)]


def test_a_progress_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "progress").write_bytes(b"x")
    made = bare_agent()
    with pytest.raises(OSError, match="too short"):
        made.open_progress(str(tmp_path / "progress"))
    assert made.progress is None


def test_an_order_that_makes_no_sense_does_not_end_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    made = bare_agent()
    inbox, reader = os.pipe()
    made.channel = pipe_channel(inbox)
    made.incoming = b""
    answers: list[tuple[object, bool, str]] = []
    monkeypatch.setattr(made, "answer", lambda *answer: answers.append(answer))
    orders: list[dict[str, object]] = [{"id": 1}, {"id": 2, "do": "progress", "path": 5}, {"id": 3, "do": "ping"}]
    lines = [agent_link.frame(order) for order in orders]
    lines += [b"garbage*zz\n", b"[1,2]*%08x\n" % binascii.crc32(b"[1,2]")]
    for line in lines:
        os.write(reader, line)
    made.listen()
    os.close(reader)
    os.close(inbox)
    assert [(number, ok) for number, ok, _ in answers] == [(1, False), (2, False), (3, True), (None, False)]


def test_an_executor_answers_through_shared_memory() -> None:
    executor = agent.Executor()
    busy = [executor.busy]
    assert executor.receive() is None
    order = {"id": 7, "do": "read", "path": "/proc/self/comm"}
    executor.send(order)
    busy.append(executor.busy)
    assert json.loads(executor.take(executor.orders, 0) or b"") == order
    executor.post(executor.answers, 1, executor.fitting({"id": 7, "ok": True, "out": "hello"}))
    assert executor.receive() == {"id": 7, "ok": True, "out": "hello"}
    busy.append(executor.busy)
    assert busy == [False, True, False]


@given(st.text(max_size=30), st.integers(1, 4000))
def test_an_answer_always_fits_whole(text: str, times: int) -> None:
    executor = agent.Executor()
    executor.sent = 1
    executor.post(executor.answers, 1, executor.fitting({"id": 1, "ok": True, "out": text * times}))
    answer = executor.receive()
    assert (text * times).startswith(answer["out"]) and not executor.busy


def test_an_order_that_is_too_long_is_refused() -> None:
    executor = agent.Executor()
    with pytest.raises(OSError, match="too long"):
        executor.send({"id": 1, "do": "read", "path": "x" * 5000})
    assert not executor.busy


def test_calibration_measures_something() -> None:
    assert 0.0 < agent.calibrate() < 60.0


class Port:
    """An agent whose port is a pipe, and what came out of it."""

    def __init__(self) -> None:
        self.agent = bare_agent(progress_file(4242, (9, 90, 1, os.getpid())))
        self.agent.outgoing = b""
        self.reader, self.writer = os.pipe()
        self.agent.channel = pipe_channel(self.writer)
        os.set_blocking(self.writer, False)
        os.set_blocking(self.reader, False)

    def heard(self) -> list[dict[str, object]]:
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, 65536):
                data += part
                self.agent.flush()
        assert all(len(line) < 4096 for line in data.splitlines()), "longer than a tty takes"
        return [agent_link.unframe(line) for line in data.splitlines()]

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


@pytest.mark.parametrize("text", ["", "x", "\x00" * 3000, "ü\ufffd" * 2000, "y" * agent.PIECE, "z" * (agent.PIECE + 1)])
def test_an_answer_goes_out_in_pieces_that_make_it_whole(port: Port, text: str) -> None:
    port.agent.answer(3, True, text)
    pieces = port.heard()
    assert "".join(str(piece["out"]) for piece in pieces) == text
    assert [piece["more"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert all(piece["id"] == 3 and piece["ok"] is True for piece in pieces)


def test_when_nobody_reads_the_port_what_is_kept_is_bounded(port: Port) -> None:
    for number in range(20_000):
        port.agent.say({"b": number, "text": "x" * 100})
    assert len(port.agent.outgoing) < 300_000
    records = port.heard()
    assert [record["b"] for record in records] == list(range(len(records)))


def test_shared_memory_is_there_before_it_is_needed() -> None:
    script = """
import mmap, sys
sys.path.insert(0, sys.argv[1])
import agent
box = mmap.mmap(-1, 17 * mmap.PAGESIZE)
agent.protect()
shared = False
for line in open("/proc/self/smaps"):
    words = line.split()
    if "-" in words[0]:
        shared = words[1] == "rw-s"
    elif shared and words[0] == "Rss:":
        print("resident", words[1])
"""
    folder = str(Path(agent.__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    if "mlockall" in done.stdout:
        pytest.skip("this user may not lock memory")
    assert "resident 68\n" in done.stdout, "17 pages of 4 KiB"


def test_each_processor_ticks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    started: list[tuple[list[float], int, int]] = []
    monkeypatch.setattr("_thread.start_new_thread", lambda work, arguments: started.append(arguments))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(cpus))
    made = bare_agent()
    made.start_ticking()
    assert [(index, cpu) for _, index, cpu in started] == list(enumerate(cpus))
    assert all(ticks is made.ticks for ticks, _, _ in started)

    class Enough(Exception):
        pass

    pinned: list[set[int]] = []

    def stop(seconds: float) -> None:
        raise Enough

    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: pinned.append(cpus))
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: None)
    monkeypatch.setattr(time, "sleep", stop)
    made.ticks[0] = 0.0
    with pytest.raises(Enough):
        agent.keep_ticking(*started[0])
    assert made.ticks[0] > 0.0 and pinned == [{cpus[0]}]


def test_a_beat_has_every_probe_and_the_progress(port: Port) -> None:
    memory = mmap.mmap(-1, 16 * agent.SLOT_SIZE + 2 * agent.STATS_SIZE)
    places = (16 * agent.SLOT_SIZE, 16 * agent.SLOT_SIZE + agent.STATS_SIZE)
    port.agent.memory, port.agent.stats = memory, dict.fromkeys(places, 0)
    port.agent.interval, port.agent.sequence = 0.7, 0
    port.agent.slots = {
        name: agent.Slot(memory, index) for index, name in enumerate(("alloc", "storage", "stats", "ports"))
    }
    port.agent.slots["alloc"].begin()
    port.agent.ticks = [time.monotonic(), time.monotonic() - 7.0]
    port.agent.beat()
    agent.Stats(memory, places[0]).sample()
    agent.Ports(memory, places[1], {}).sample()
    port.agent.beat()
    port.agent.beat()
    first, second, counters, ports, third = port.heard()
    assert [record["b"] for record in (first, second, third)] == [1, 2, 3]
    probes = first["p"]
    assert isinstance(probes, dict) and set(probes) == {"alloc", "storage"}
    assert probes["storage"] is None and probes["alloc"][1] >= 0.0
    assert first["w"] == [9, 90, 1, 0, 0, 1]
    assert isinstance(first["c"], list)
    assert first["c"][0] < 5.0 and first["c"][1] >= 7.0, "how long ago each processor ticked"
    assert isinstance(counters["v"], dict) and "pgmajfault" in counters["v"]
    assert ports["v"] == {"rdma:reads": [1]}, "each is sent once"
