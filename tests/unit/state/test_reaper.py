from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from owned_runs import OWN_A_RUN, child, dead_run, kill, owner, python, stand_in, temporary_state

from harness.model.clock import SYSTEM_CLOCK
from harness.state import lease, ports, processes, reaper
from harness.state.domains import DOMAINS, Domain
from harness.state.processes import is_helper, mentions
from harness.state.reaper import reap, status
from harness.state.state import OWNER, StateDir


@pytest.fixture
def state() -> Iterator[StateDir]:
    with temporary_state() as state:
        yield state


class Hypervisor:
    """Remembers what it was asked to remove, and fails if told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[Path, tuple[Domain, ...]]] = []

    def __call__(self, path: Path, domains: tuple[Domain, ...]) -> None:
        self.asked.append((path, domains))
        if self.error:
            raise self.error


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


@pytest.mark.parametrize(
    ("executable", "argv", "expected"),
    [
        ("/usr/bin/qemu-system-x86_64", [], True),
        ("/usr/bin/vde_switch", [], True),
        ("/usr/bin/vde_plug", [], True),
        ("/usr/bin/python3.11", ["python", "-m", "harness.drivers.relay", "/s"], True),
        ("/usr/bin/python3.11", ["python", "-I", "-m", "harness.drivers.relay"], True),
        ("/usr/bin/python3.11", ["python", "-m", "harness.cli", "clean"], False),
        ("/usr/bin/python3.11", ["python", "-m", "pytest"], False),
        ("/usr/bin/python3.11", ["python", "-m"], False),
        ("/usr/bin/python3.11", ["python", "x.py"], False),
        ("/usr/bin/less", ["less", "-m", "harness.drivers.relay"], False),
        ("/usr/bin/vim", ["vim", "vde_switch"], False),
        ("/usr/bin/qemu-img", [], False),
    ],
)
def test_is_helper(executable: str, argv: Sequence[str], expected: bool) -> None:
    assert is_helper(executable, argv) is expected


def test_a_dead_run_is_removed_and_a_live_one_is_not(state: StateDir) -> None:
    with owner(state) as (alive, live_path), stand_in("vde_switch", f"{live_path}/sw") as live_switch:
        path = dead_run(state)
        (path / "disks" / "x").mkdir(parents=True)
        (path / "disks" / "x" / "overlay.qcow2").write_bytes(b"QFI")
        with stand_in("vde_switch", f"{path}/sw") as switch, stand_in("qemu-system-x86_64", f"x={path},y") as guest:
            lines = reap(state)
            assert running(switch, guest, live_switch, alive) == [False, False, True, True]
        assert sorted(lines[:2]) == sorted(
            [
                f"run {path.name}: ended vde_switch, pid {switch.pid}",
                f"run {path.name}: ended qemu-system-x86_64, pid {guest.pid}",
            ]
        )
        assert lines[2].startswith(f"run {path.name}: removed {path}, left by pid ")
        assert len(lines) == 3
        assert state.runs() == [live_path]
        assert reap(state) == []


def test_processes_of_others_and_other_programs_are_left_alone(state: StateDir) -> None:
    path = dead_run(state)
    with (
        stand_in("vde_switch", f"{path}c/sw") as neighbour,
        stand_in("vde_switch", f"/mnt{path}/sw") as elsewhere,
        stand_in("less", f"{path}/sw") as pager,
    ):
        lines = reap(state)
        assert running(neighbour, elsewhere, pager) == [True, True, True]
    assert len(lines) == 1


def test_a_stopped_process_is_killed(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TERMINATE_SECONDS", 0.1)
    path = dead_run(state)
    with stand_in("vde_switch", f"{path}/sw") as switch:
        switch.send_signal(signal.SIGSTOP)
        assert f"run {path.name}: ended vde_switch, pid {switch.pid}" in reap(state)
        assert running(switch) == [False]


def test_a_process_that_does_not_end_keeps_its_run(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dead_run(state)
    with stand_in("vde_switch", f"{path}/sw") as switch:
        monkeypatch.setattr(processes, "end", lambda found, clock: found)
        assert reap(state) == [f"run {path.name}: kept {path}: vde_switch, pid {switch.pid} does not end"]
        assert path.is_dir()
        monkeypatch.undo()
        assert len(reap(state)) == 2


def test_a_reused_pid_is_left_alone(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in("vde_switch", f"{state.path}/r/000000/sw") as switch:
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
    shutil.copy("/bin/sleep", folder / "vde_switch")
    with child(sys.executable, "-c", script, str(folder / "vde_switch"), f"x {path}/sw", "300") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert f"run {path.name}: ended vde_switch, pid {pid}" in reap(state)
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert not path.exists()


def test_domains_are_handed_to_the_hypervisor(state: StateDir) -> None:
    path = dead_run(state)
    (path / DOMAINS).write_text('{"uri": "qemu:///system", "uuid": "u1"}\n{"uri":')
    hypervisor = Hypervisor()
    lines = reap(state, hypervisor_cleanup=hypervisor)
    assert hypervisor.asked == [(path, (Domain(uri="qemu:///system", uuid="u1"),))]
    assert lines[0] == f"run {path.name}: removed domain u1 of qemu:///system"
    assert not path.exists()


def test_a_hypervisor_that_fails_keeps_the_run_but_not_its_processes(state: StateDir) -> None:
    path, other = dead_run(state), dead_run(state)
    (path / DOMAINS).write_text('{"uri": "qemu:///system", "uuid": "u1"}\n')
    with stand_in("vde_switch", f"{path}/sw") as switch:
        lines = reap(state, hypervisor_cleanup=Hypervisor(RuntimeError("no answer")))
        assert running(switch) == [False]
    assert f"run {path.name}: kept {path}: the hypervisor did not remove its domains: no answer" in lines
    assert state.runs() == [path]
    assert not other.exists()
    assert len(reap(state, hypervisor_cleanup=Hypervisor())) == 2


def test_without_a_hypervisor_only_embedded_domains_are_done_with(state: StateDir) -> None:
    embedded, remote = dead_run(state), dead_run(state)
    (embedded / DOMAINS).write_text('{"uri": "qemu:///embed?root=/s", "uuid": "u1"}\n')
    (remote / DOMAINS).write_text('{"uri": "qemu+ssh://h/system", "uuid": "u2"}\n')
    lines = reap(state)
    assert f"run {remote.name}: kept {remote}: nobody here to ask qemu+ssh://h/system for domain u2" in lines
    assert state.runs() == [remote]


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
    script += "print(len([line for line in reap(state) if 'removed' in line]), flush=True)"
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
    with owner(state) as (_, path), stand_in("vde_switch", f"{path}/sw") as switch, temporary_state() as other:
        shutil.copytree(path, other.folder("r") / path.name)
        assert len(reap(other)) == 1
        assert running(switch) == [True]


def test_a_run_is_found_by_the_path_that_it_was_made_with(state: StateDir) -> None:
    with temporary_state() as other:
        link = other.path / "link"
        link.symlink_to(state.path)
        path = dead_run(StateDir(link))
        assert path.parent == link / "r"
        with stand_in("vde_switch", f"{path}/sw") as switch:
            assert len(reap(state)) == 2
            assert running(switch) == [False]


def test_leases_and_ports_of_the_dead_go_too(state: StateDir) -> None:
    script = (
        "from harness.model.clock import Deadline; from harness.state import lease, ports\n"
        "with ports.port_lease(state) as port, lease.acquire(state, memory=1, budget=1, deadline=Deadline.after(9),"
        " on_wait=print):\n    print(port, flush=True); sys.stdin.read()"
    )
    with python(state, script) as (process, port), ports.port_lease(state) as ours:
        assert reap(state) == []
        kill(process)
        first, second = reap(state)
        assert first.startswith(f"lease: pid {process.pid} ")
        assert second.startswith(f"port {port}: pid {process.pid} ")
        assert [path.name for path in (state.path / "ports").glob("[0-9]*")] == [str(ours)]
        assert lease.leases(state) == []


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
