from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from owned_runs import (
    OWN_A_RUN,
    child,
    dead_run,
    kill,
    owner,
    process_of,
    python,
    stand_in,
    temporary_state,
    thing_of,
)

from harness.model.clock import SYSTEM_CLOCK
from harness.model.obligation import Obligation
from harness.state import ports, processes, reaper
from harness.state.obligations import OBLIGATIONS, owe
from harness.state.processes import end_owed, mentions
from harness.state.reaper import status
from harness.state.state import OWNER, StateDir


@pytest.fixture
def state() -> Iterator[StateDir]:
    with temporary_state() as state:
        yield state


class Provider:
    """Remembers what it was asked to end, and fails if told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[Obligation] = []

    def __call__(self, obligation: Obligation) -> list[str]:
        self.asked.append(obligation)
        if self.error:
            raise self.error
        return [f"ended {obligation.fields['name']}"]


def running(*children: psutil.Process | object) -> list[bool]:
    return [process.poll() is None for process in children if hasattr(process, "poll")]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("/s/r/ab", True),
        ("/s/r/ab/vde.ctl", True),
        ("--sock=/s/r/ab/sw", True),
        ("socket,id=c,path=/s/r/ab,server=on", True),
        ('{"filename":"/s/r/ab/disk.qcow2"}', True),
        ('{"path":"/s/r/ab"}', True),
        ("vde_switch --sock /s/r/ab", True),
        ("/s/r/abc", False),
        ("/s/r/abc/sw", False),
        ("/s/r/ab.old", False),
        ("/s/r/ab-2/x", False),
        ("/mnt/s/r/ab/x", False),
        ("x/s/r/ab", False),
        ("/s/r", False),
        ("", False),
    ],
)
def test_mentions(argument: str, expected: bool) -> None:
    assert mentions(["program", argument, "/else"], "/s/r/ab") is expected


def test_mentions_takes_the_path_literally() -> None:
    assert not mentions(["/sXr/ab"], "/s.r/ab")


def reap(state: StateDir) -> list[str]:
    """As if processes were all that runs owe."""
    return reaper.reap(state, end_owed)


def test_a_dead_run_is_removed_and_a_live_one_is_not(state: StateDir) -> None:
    with owner(state) as (alive, live_path), stand_in("switch", f"{live_path}/sw") as live_switch:
        process_of(live_path, live_switch, "sw")
        path = dead_run(state)
        (path / "disks" / "x").mkdir(parents=True)
        (path / "disks" / "x" / "overlay.qcow2").write_bytes(b"QFI")
        with stand_in("switch", f"{path}/sw") as switch, stand_in("machine", f"x={path}/con,y") as guest:
            process_of(path, switch, "sw")
            process_of(path, guest, "con")
            lines = reap(state)
            assert running(switch, guest, live_switch, alive) == [False, False, True, True]
        assert lines[:2] == [
            f"run {path.name}: ended switch, pid {switch.pid}",
            f"run {path.name}: ended machine, pid {guest.pid}",
        ]
        assert lines[2].startswith(f"run {path.name}: removed {path}, left by pid ")
        assert len(lines) == 3
        assert state.runs() == [live_path]
        assert reap(state) == []


def test_processes_of_others_and_other_programs_are_left_alone(state: StateDir) -> None:
    path = dead_run(state)
    with (
        stand_in("switch", f"{path}c/sw") as neighbour,
        stand_in("switch", f"/mnt{path}/sw") as elsewhere,
        stand_in("switch", f"{path}/sw") as namesake,
    ):
        process_of(path, neighbour, "sw")
        process_of(path, elsewhere, "sw")
        lines = reap(state)
        assert running(neighbour, elsewhere) == [True, True]
        assert running(namesake) == [True], "a program of that name elsewhere is another program"
    assert len(lines) == 1


def test_a_process_of_another_user_is_left_alone(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dead_run(state)
    with stand_in("switch", f"{path}/sw") as switch:
        process_of(path, switch, "sw")
        others = SimpleNamespace(real=path.stat().st_uid + 1)
        monkeypatch.setattr(psutil.Process, "uids", lambda self: others)
        assert len(reap(state)) == 1
        assert running(switch) == [True]


def test_a_process_that_was_owed_and_never_started_is_no_error(state: StateDir) -> None:
    path = dead_run(state)
    owe(processes.process_owed(path, "fake", "no-such-program", "sw"))
    (line,) = reap(state)
    assert line.startswith(f"run {path.name}: removed {path}")


def test_a_run_that_is_killed_before_it_could_say_that_a_process_ended_leaves_nothing(state: StateDir) -> None:
    """Whatever the instant: what is noted before the start of a process is enough to find it."""
    script = "import subprocess, time; from harness.state.obligations import owe; from harness.state import processes\n"
    script += "run = state.open_run(); owe(processes.process_owed(run.path, 'fake', 'sleep', 'sw'))\n"
    script += "p = subprocess.Popen([f'x {run.path}/sw', '300'], executable='/bin/sleep')\n"
    script += "print(p.pid, flush=True); sys.stdin.read()"
    with python(state, script) as (process, line):
        kill(process)
    try:
        assert psutil.pid_exists(int(line))
        lines = reap(state)
        assert len(lines) == 2 and lines[0].endswith(f"ended sleep, pid {line}")
        assert not psutil.pid_exists(int(line)) or psutil.Process(int(line)).status() == psutil.STATUS_ZOMBIE
        assert state.runs() == []
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(line), signal.SIGKILL)


@pytest.mark.parametrize("below", ["../000000/sw", "/s/sw"])
def test_a_path_outside_of_the_run_is_refused(state: StateDir, below: str) -> None:
    path = dead_run(state)
    owe(processes.process_owed(path, "fake", "sleep", below))
    assert reap(state) == [f"run {path.name}: kept {path}: {below} is no path below {path}"]


def test_a_stopped_process_is_killed(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TERMINATE_SECONDS", 0.1)
    path = dead_run(state)
    with stand_in("switch", f"{path}/sw") as switch:
        process_of(path, switch, "sw")
        switch.send_signal(signal.SIGSTOP)
        assert f"run {path.name}: ended switch, pid {switch.pid}" in reap(state)
        assert running(switch) == [False]


def test_a_process_that_does_not_end_keeps_its_run(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dead_run(state)
    with stand_in("switch", f"{path}/sw") as switch:
        process_of(path, switch, "sw")
        monkeypatch.setattr(processes, "end", lambda found, clock: found)
        assert reap(state) == [f"run {path.name}: kept {path}: switch, pid {switch.pid} does not end"]
        assert path.is_dir()
        monkeypatch.undo()
        assert len(reap(state)) == 2


def test_a_reused_pid_is_left_alone(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in("switch", f"{state.path}/r/000000/sw") as switch:
        process = psutil.Process(switch.pid)
        # what psutil compares before every signal: as if this object stood for an earlier process of that pid
        monkeypatch.setattr(process, "_ident", (process.pid, process.create_time() - 100))
        assert processes.end([process], SYSTEM_CLOCK) == []
        assert running(switch) == [True]


def test_a_zombie_counts_as_ended(state: StateDir) -> None:
    """The parent of a dead run's process may be somebody who does not collect it."""
    path = dead_run(state)
    script = "import subprocess as s, sys, time; p = s.Popen(sys.argv[2:], executable=sys.argv[1]); "
    script += "print(p.pid, flush=True); time.sleep(300)"
    folder = state.path / "bin"
    folder.mkdir()
    shutil.copy("/bin/sleep", folder / "switch")
    owe(processes.process_owed(path, "fake", str(folder / "switch"), "sw"))
    with child(sys.executable, "-c", script, str(folder / "switch"), f"x {path}/sw", "300") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert f"run {path.name}: ended switch, pid {pid}" in reap(state)
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert not path.exists()


def test_what_is_owed_is_handed_to_who_can_end_it(state: StateDir) -> None:
    path = dead_run(state)
    owed = [thing_of(path, "a"), thing_of(path, "b")]
    with (path / OBLIGATIONS).open("a") as file:
        file.write('\n{"provider":')  # a kill cut it short
    provider = Provider()
    lines = reaper.reap(state, provider)
    assert provider.asked == owed
    assert lines[:2] == [f"run {path.name}: ended a", f"run {path.name}: ended b"]
    assert not path.exists()


def test_a_provider_that_fails_keeps_the_run_but_not_the_others(state: StateDir) -> None:
    path, other = dead_run(state), dead_run(state)
    thing_of(path, "a")
    with stand_in("switch", f"{path}/sw") as switch:
        process_of(path, switch, "sw")

        def fail(obligation: Obligation) -> list[str]:
            if obligation.kind == "thing":
                raise RuntimeError("no answer")
            return end_owed(obligation)

        lines = reaper.reap(state, fail)
        assert running(switch) == [False]
    assert f"run {path.name}: kept {path}: no answer" in lines
    assert state.runs() == [path]
    assert not other.exists()

    def done(obligation: Obligation) -> list[str]:
        return []

    assert len(reaper.reap(state, done)) == 1


def test_half_made_runs_are_removed_unless_one_is_being_made(state: StateDir) -> None:
    slow = "import harness.state.state as s\nreal = s._own\n"
    slow += "def own(*a):\n    print(a[0], flush=True); sys.stdin.readline(); return real(*a)\n"
    slow += "s._own = own\n" + OWN_A_RUN
    with python(state, slow) as (maker, line):
        draft = Path(line)
        assert draft.is_dir()
        with ThreadPoolExecutor(1) as pool:
            reaping = pool.submit(reap, state)
            assert maker.stdin is not None
            maker.stdin.write("\n")
            maker.stdin.flush()
            assert maker.stdout is not None
            path = Path(maker.stdout.readline().strip())
            assert reaping.result() == []
        assert state.runs() == [path]
        assert not draft.exists()


def test_a_maker_that_dies_half_way_leaves_something_to_remove(state: StateDir) -> None:
    stuck = "import harness.state.state as s\n"
    stuck += "def own(*a):\n    print(a[0], flush=True); sys.stdin.read()\n"
    stuck += "s._own = own\n" + OWN_A_RUN
    with python(state, stuck) as (maker, line):
        kill(maker)
    draft = Path(line)
    assert draft.is_dir()
    assert reap(state) == [f"run {draft.name}: removed {draft}, which was never finished"]
    assert not draft.exists()
    state.open_run().close()


def test_a_removal_that_was_cut_short_is_taken_up(state: StateDir) -> None:
    path = dead_run(state)
    (path / OWNER).unlink()
    assert len(reap(state)) == 1
    assert state.runs() == []


def test_what_is_not_a_run_is_left_alone(state: StateDir) -> None:
    folder = state.folder("r")
    (folder / "notes").mkdir()
    (folder / "abcdef").touch()
    (folder / "aaaaaa").symlink_to(state.path)
    assert reap(state) == []
    assert len(list(folder.iterdir())) == 3


def test_two_reapers_at_once_remove_each_thing_once(state: StateDir) -> None:
    paths = [dead_run(state) for _ in range(3)]
    script = "from harness.state.reaper import reap\nsys.stdin.readline()\n"
    script += "print(len([line for line in reap(state, print) if 'removed' in line]), flush=True)"
    with (
        child(sys.executable, "-c", preamble() + script, str(state.path)) as one,
        child(sys.executable, "-c", preamble() + script, str(state.path)) as two,
    ):
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        counts = [int(process.stdout.readline()) for process in (one, two) if process.stdout]
    assert sum(counts) == len(paths)
    assert state.runs() == []


def preamble() -> str:
    return (
        "import sys; from pathlib import Path; from harness.state.state import StateDir\n"
        "state = StateDir(Path(sys.argv[1]))\n"
    )


def test_a_copy_of_a_state_folder_does_not_lead_to_the_original(state: StateDir) -> None:
    with owner(state) as (_, path), stand_in("switch", f"{path}/sw") as switch, temporary_state() as other:
        process_of(path, switch, "sw")
        shutil.copytree(path, other.folder("r") / path.name)
        assert len(reap(other)) == 1
        assert running(switch) == [True]


def test_a_run_is_found_by_the_path_that_it_was_made_with(state: StateDir) -> None:
    with temporary_state() as other:
        link = other.path / "link"
        link.symlink_to(state.path)
        path = dead_run(StateDir(link))
        assert path.parent == link / "r"
        with stand_in("switch", f"{path}/sw") as switch:
            process_of(path, switch, "sw")
            assert len(reap(state)) == 2
            assert running(switch) == [False]


def test_ports_of_the_dead_go_too(state: StateDir) -> None:
    script = "from harness.state import ports\n"
    script += "with ports.port_lease(state) as port:\n    print(port, flush=True); sys.stdin.read()"
    with python(state, script) as (process, port), ports.port_lease(state) as ours:
        assert reap(state) == []
        kill(process)
        (line,) = reap(state)
        assert line.startswith(f"port {port}: pid {process.pid} ")
        assert [path.name for path in (state.path / "ports").glob("[0-9]*")] == [str(ours)]


def test_reaping_nothing_makes_nothing(state: StateDir) -> None:
    nowhere = StateDir(state.path / "none")
    assert reap(nowhere) == []
    assert status(nowhere) == []
    assert not nowhere.path.exists()


def test_status(state: StateDir) -> None:
    dead = dead_run(state)
    with owner(state) as (process, live):
        found = {run.path: run for run in status(state)}
        assert set(found) == {dead, live}
        assert (found[dead].alive, found[live].alive) == (False, True)
        assert found[live].owner.startswith(f"pid {process.pid} (")
        assert found[live].started == pytest.approx(psutil.Process(process.pid).create_time())


def test_what_cannot_be_removed_is_said(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dead_run(state)

    def fail(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(reaper, "remove_run", fail)
    assert reap(state) == [f"run {path.name}: kept {path}: [Errno 1] Operation not permitted: '{path}'"]
    monkeypatch.undo()
    assert len(reap(state)) == 1


def test_it_does_not_hold_on_to_what_it_claimed(state: StateDir) -> None:
    dead_run(state)
    before = psutil.Process().num_fds()
    reap(state)
    assert psutil.Process().num_fds() == before
