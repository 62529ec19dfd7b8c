from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from owned_runs import child, kill, owner, process_of, stand_in, temporary_state, thing_of

from harness.model.errors import HostEnvironmentError
from harness.model.obligation import Obligation
from harness.state import locks
from harness.state.locks import read_record
from harness.state.obligations import OBLIGATIONS, meet, owed
from harness.state.processes import meet_if_ended
from harness.state.state import (
    OWNER,
    RUN_NAME,
    SOCKET_HEADROOM,
    SOCKET_LIMIT,
    RunDir,
    StateDir,
)


@pytest.fixture
def state() -> Iterator[StateDir]:
    with temporary_state() as state:
        yield state


def test_a_run_is_private_short_and_alive(state: StateDir) -> None:
    with state.open_run() as run:
        assert run.path.parent == state.path / "r"
        assert RUN_NAME.fullmatch(run.name)
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert state.runs() == [run.path]
        assert RunDir.alive(run.path)


def test_its_owner_file_says_who_it_is(state: StateDir) -> None:
    with state.open_run() as run:
        record = read_record(run.path / OWNER)
    assert record["pid"] == os.getpid()
    assert record["argv"] == sys.orig_argv
    assert record["path"] == str(run.path)
    assert record["started"] > 0


def test_the_lock_is_not_inherited_by_programs(state: StateDir) -> None:
    run = state.open_run()
    with child("sleep", "60", close_fds=False):
        os.close(run.descriptor)
        assert not RunDir.alive(run.path)


def test_closing_removes_it_and_may_be_repeated(state: StateDir) -> None:
    run = state.open_run()
    (run.path / "deep" / "er").mkdir(parents=True)
    (run.path / "deep" / "er" / "disk.qcow2").touch()
    (run.path / "link").symlink_to(state.path)
    assert run.close() is True
    assert run.close() is True
    assert state.runs() == []
    assert state.path.is_dir()
    assert not RunDir.alive(run.path)


def test_it_lives_as_long_as_its_process(state: StateDir) -> None:
    with owner(state) as (process, path):
        assert RunDir.alive(path)
        kill(process)
        assert not RunDir.alive(path)
        assert path.is_dir()


def test_looking_does_not_disturb(state: StateDir) -> None:
    with state.open_run() as run:
        assert all(RunDir.alive(run.path) for _ in range(3))
    assert not RunDir.alive(state.path / "r" / "000000")


def test_every_run_is_owned_before_it_has_its_name(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[Path], bool]] = []
    rename = Path.rename

    def look(draft: Path, target: Path) -> Path:
        seen.append((state.runs(), RunDir.alive(draft)))
        return rename(draft, target)

    monkeypatch.setattr(Path, "rename", look)
    state.open_run().close()
    assert seen == [([], True)]


def test_what_cannot_be_finished_leaves_nothing(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harness.state.locks.os.pwrite", full)
    with pytest.raises(HostEnvironmentError, match=r"no space left on device for /tmp/hs-.*; free some, or choose"):
        state.open_run()
    assert state.runs() == state.half_made() == []


def test_a_short_write_is_a_full_disk(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.state.locks.os.pwrite", lambda descriptor, data, offset: len(data) - 1)
    with pytest.raises(HostEnvironmentError, match="no space left on device"):
        state.open_run()


def socket_room(length: int) -> StateDir:
    return StateDir(Path("/" + "x" * (length - 1)))


def test_sockets_of_a_run_fit_the_kernels_limit() -> None:
    longest = SOCKET_LIMIT - SOCKET_HEADROOM - len("/r/123456")
    socket_room(longest).check()
    with pytest.raises(HostEnvironmentError) as caught:
        socket_room(longest + 1).check()
    path = socket_room(longest + 1).path
    assert str(caught.value) == (
        f"the state folder's path {path} has {longest + 1} bytes, sockets below it allow {longest}; "
        "choose a shorter one with --harness-state or HARNESS_STATE"
    )


def test_the_limit_counts_bytes_of_the_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr/share")
    with pytest.raises(HostEnvironmentError, match="has 39 bytes"):
        StateDir(Path("ä" * 14)).check()


def test_a_path_that_is_too_long_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="--harness-state"):
        StateDir(tmp_path / ("x" * 60)).open_run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a,b", "a b", "a'b", "a%20", "a?b", "a\nb", "a:b"])
def test_characters_that_qemu_would_misread(name: str) -> None:
    with pytest.raises(HostEnvironmentError, match="which QEMU cannot take; choose another") as caught:
        StateDir(Path("/s") / name).check()
    assert "\n" not in str(caught.value)


def test_a_file_in_the_way(state: StateDir) -> None:
    (state.path / "r").touch()
    with pytest.raises(HostEnvironmentError, match=f"{state.path}/r is in the way"):
        state.open_run()
    (state.path / "file").touch()
    for path in (state.path / "file", state.path / "file" / "below"):
        with pytest.raises(HostEnvironmentError, match="is in the way: the state folder needs a folder there"):
            StateDir(path).open_run()


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(HostEnvironmentError, match=r"the state folder cannot be used: /proc/s: .*; choose another"):
        StateDir(Path("/proc/s")).open_run()


def test_subfolders_are_open_to_whom_the_state_folder_is(state: StateDir) -> None:
    state.path.chmod(0o1777)
    assert stat.S_IMODE(state.folder("ports").stat().st_mode) == 0o1777


def test_what_is_owed_is_noted_until_it_is_met(state: StateDir) -> None:
    with state.open_run() as run:
        assert owed(run.path) == ()
        first, second, third = (thing_of(run.path, name) for name in ("a", "b", "c"))
        meet(second)
        meet(replace(second, fields={"name": "unknown"}))
        with (run.path / OBLIGATIONS).open("a") as file:
            file.write('{"provider": "fake", "ki')  # a full disk cut it short
        meet(third)
        assert owed(run.path) == (first,), "the next note does not suffer from one that was cut short"
        meet(first)


@pytest.mark.parametrize("line", ["", "[]", "{}", "null", '{"provider": 1, "kind": "a", "fields": {}, "met": false}'])
def test_a_note_that_makes_no_sense_is_left_out(state: StateDir, line: str) -> None:
    with state.open_run() as run:
        (run.path / OBLIGATIONS).write_text(f"{line}\n")
        assert owed(run.path) == ()


def test_a_note_that_cannot_be_written_keeps_the_thing_from_being_made(state: StateDir) -> None:
    with state.open_run() as run:
        (run.path / OBLIGATIONS).mkdir()
        with pytest.raises(HostEnvironmentError):
            thing_of(run.path, "a")
        meet(Obligation(run=run.path, provider="fake", kind="thing", fields={}))


def test_closing_leaves_what_is_owed_to_the_reaper(state: StateDir) -> None:
    run, other = state.open_run(), state.open_run()
    thing_of(run.path, "a")
    meet(thing_of(other.path, "b"))
    assert (run.close(), other.close()) == (False, True)
    assert state.runs() == [run.path]
    assert not RunDir.alive(run.path)
    assert run.close() is False


def test_a_process_is_owed_as_long_as_it_runs(state: StateDir) -> None:
    run = state.open_run()
    with stand_in("switch", f"{run.path}/sw") as switch:
        obligation = process_of(run.path, switch, "sw")
        meet_if_ended(obligation)
        assert owed(run.path) == (obligation,)
        kill(switch)
        meet_if_ended(obligation)
        assert owed(run.path) == ()
    assert run.close() is True


def test_a_lock_on_a_removed_file_is_no_lock(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last holder removes the file between our open and our lock."""
    path = state.path / "lock"
    flock = fcntl.flock
    removals = [path]

    def late(descriptor: int, operation: int) -> None:
        while removals:
            removals.pop().unlink()
        flock(descriptor, operation)

    monkeypatch.setattr("harness.state.locks.fcntl.flock", late)
    descriptor = locks.try_lock(path, create=True)
    assert descriptor is not None
    assert locks.is_file_of(descriptor, path)
    os.close(descriptor)
    path.touch()
    removals.append(path)
    with pytest.raises(FileNotFoundError):
        locks.try_lock(path)


def test_a_holder_is_described_on_one_line() -> None:
    record = {"pid": 7, "argv": ["pytest", "-k", "a b\n\x1b[31m", "x" * 100]}
    text = locks.describe(record)
    assert text.startswith("pid 7 (pytest -k 'a b")
    assert text.isprintable()
    assert len(text) < 100
    assert locks.describe({}) == "pid ?"


def test_another_users_lock_file_is_locked_without_being_writable(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state.path / "lock"
    path.touch()
    real = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, mode)

    monkeypatch.setattr("harness.state.locks.os.open", refuse)
    descriptor = locks.try_lock(path, create=True)
    assert descriptor is not None
    assert locks.try_lock(path) is None
    os.close(descriptor)


def test_another_users_private_run_is_not_ours_to_judge(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with state.open_run() as run:
        os.close(run.descriptor)
        monkeypatch.setattr("harness.state.locks.os.open", refuse)
        assert RunDir.alive(run.path)
        monkeypatch.undo()
        assert not RunDir.alive(run.path)
        run.descriptor = os.open(run.path / OWNER, os.O_RDWR)
