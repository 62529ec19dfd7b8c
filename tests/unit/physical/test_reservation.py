"""The reservation on a host: its commands, run by a real shell on files of the test."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from local_shell import LocalShell

from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.physical.reservation import FILE, STALE_S, Reservation, beat, give_back, look, take

BOOTED = "BOOT_IMAGE=/boot/vmlinuz root=UUID=1 ro console=ttyS0"


@pytest.fixture
def host(tmp_path: Path) -> LocalShell:
    """A host that nobody has."""
    (tmp_path / "cmdline").write_text(f"{BOOTED}\n")
    (tmp_path / "mounts").write_text("tmpfs /run tmpfs rw 0 0\n")
    places = {
        FILE: tmp_path / "reservation",
        "/proc/cmdline": tmp_path / "cmdline",
        "/proc/mounts": tmp_path / "mounts",
    }
    return LocalShell(places)


def soon() -> Deadline:
    return Deadline.after(30.0)


def mine(token: str = "a1") -> Reservation:
    return Reservation.of_this_process(token, 'test_x[it\'s a "case"]', until=time.time() + 60)


def file_of(host: LocalShell) -> Path:
    return Path(host.places[FILE])


def test_a_host_is_free_then_taken_then_free(host: LocalShell) -> None:
    assert look(host, soon()).is_free
    take(host, "m1", mine(), soon())
    holding = look(host, soon())
    assert holding.reservation == mine() or holding.reservation is not None
    assert holding.reservation is not None and holding.reservation.purpose == mine().purpose
    assert holding.is_of("a1") and not holding.is_free and not holding.is_stale
    assert f"pid {os.getpid()}" in str(holding) and "since 20" in str(holding)
    give_back(host, "a1", soon())
    assert look(host, soon()).is_free
    assert list(file_of(host).parent.glob("reservation*")) == []


def test_of_many_that_want_it_one_gets_it(host: LocalShell) -> None:
    def attempt(number: int) -> bool:
        try:
            take(host, "m1", mine(f"t{number}"), soon())
        except UsageError as error:
            assert "was just reserved by" in str(error) and "\n" not in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_nobody_gives_back_what_another_has(host: LocalShell) -> None:
    take(host, "m1", mine(), soon())
    give_back(host, "b2", soon())
    assert look(host, soon()).is_of("a1")


def test_a_beat_keeps_it_young_and_tells_that_it_was_taken_over(host: LocalShell) -> None:
    take(host, "m1", mine(), soon())
    old = time.time() - 10 * STALE_S
    os.utime(file_of(host), (old, old))
    assert look(host, soon()).is_stale and "not heard of for" in str(look(host, soon()))
    beat(host, "m1", "a1", soon())
    assert not look(host, soon()).is_stale
    give_back(host, "a1", soon())
    beat(host, "m1", "a1", soon())  # gone, as after a panic: nobody has taken it over
    take(host, "m1", mine("b2"), soon())
    with pytest.raises(InfraError, match="m1 is no longer reserved for this run"):
        beat(host, "m1", "a1", soon())


@pytest.mark.parametrize(
    ("cmdline", "run"),
    [
        (BOOTED, ""),
        (f"{BOOTED} harness.run=a1 panic=10", "a1"),
        ("harness.run=a1", "a1"),
        (f"{BOOTED} notharness.run=a1", ""),
        (f"{BOOTED} harnessxrun=a1", ""),
    ],
)
def test_a_kernel_of_a_run_tells_whose_it_is(host: LocalShell, cmdline: str, run: str) -> None:
    Path(host.places["/proc/cmdline"]).write_text(cmdline + "\n")
    holding = look(host, soon())
    assert (holding.run, holding.is_free, holding.is_stale) == (run, not run, bool(run))
    assert holding.is_of("a1") == bool(run)


def test_what_a_run_left_deployed_is_not_free(host: LocalShell) -> None:
    Path(host.places["/proc/mounts"]).write_text("harness /run/harness ramfs rw 0 0\n")
    holding = look(host, soon())
    assert holding.deployed and holding.is_stale and not holding.is_free


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x1b]0;title\x07", '{"token": 1}', "x" * 100_000])
def test_a_file_that_is_no_reservation_belongs_to_somebody(host: LocalShell, text: str) -> None:
    file_of(host).write_text(text)
    holding = look(host, soon())
    assert not holding.is_free and "cannot be read" in str(holding) and str(holding).isprintable()


def test_no_room_for_it_is_one_line(host: LocalShell) -> None:
    file_of(host).parent.joinpath("gone").mkdir()
    host.places = {**host.places, FILE: file_of(host).parent / "missing" / "reservation"}
    with pytest.raises(UsageError, match=r"cannot write .*; free some space in its /run"):
        take(host, "m1", mine(), soon())
