from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from owned_runs import Child, kill, python, temporary_state

from harness.guests.lease import Lease, acquire, default_budget, leases, remove_dead
from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError
from harness.model.topology import MIB
from harness.state.state import StateDir

LEASE = """
from harness.model.clock import Deadline
from harness.guests.lease import acquire
with acquire(
    state, memory={memory} << 20, budget={budget} << 20, deadline=Deadline.after(60), purpose="theirs",
    on_wait=lambda line: print(line, flush=True),
):
    print("granted", flush=True)
    sys.stdin.readline()
print("given back", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state() -> Iterator[StateDir]:
    with temporary_state() as state:
        yield state


class Clock:
    """A clock that moves only when somebody sleeps; `events` happen, in turn, at each sleep."""

    def __init__(self, *events: object) -> None:
        self.now = 0.0
        self.events = list(events)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.events:
            event = self.events.pop(0)
            assert callable(event)
            event()


@contextmanager
def held(
    state: StateDir, memory: int, *, budget: int = 1000, clock: Clock | None = None, said: list[str] | None = None
) -> Iterator[Lease]:
    lines: list[str] = [] if said is None else said
    deadline = Deadline.after(10, clock or Clock())
    with acquire(
        state, memory=memory * MIB, budget=budget * MIB, deadline=deadline, on_wait=lines.append, purpose="ours"
    ) as lease:
        yield lease


@contextmanager
def theirs(state: StateDir, memory: int, *, budget: int = 1000) -> Iterator[tuple[Child, str]]:
    with python(state, LEASE.format(memory=memory, budget=budget)) as found:
        yield found


def read(process: Child) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def give_back(process: Child) -> None:
    """Let a child leave its lease, and wait until it has."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert read(process) == "given back"


def test_leases_share_the_budget(state: StateDir) -> None:
    with held(state, 600) as first, held(state, 400) as second:
        assert [lease.memory for lease in leases(state)] == [600 * MIB, 400 * MIB]
        assert first.granted
        assert second.granted
        assert first.number < second.number
    assert leases(state) == []


def test_more_than_the_budget_is_refused_at_once(state: StateDir) -> None:
    with pytest.raises(HostEnvironmentError) as caught, held(state, 1001):
        pass
    assert str(caught.value) == (
        "ours needs 1001 MiB of memory, guests may use 1000 MiB here; "
        "give its hosts less memory in the inventory, or free some here"
    )


def test_it_waits_says_for_whom_and_gives_up_with_who_holds_what(state: StateDir) -> None:
    said: list[str] = []
    with theirs(state, 600) as (process, line):
        assert line == "granted"
        with pytest.raises(InfraError) as caught, held(state, 500, said=said):
            pass
        reason = f"pid {process.pid} ("
        assert len(said) == 1
        assert said[0].startswith(f"waiting for 500 MiB of memory: {reason}")
        assert said[0].endswith(") holds 600 MiB for theirs; all may use 1000 MiB")
        assert str(caught.value).startswith(f"no 500 MiB of memory became free in time: {reason}")
        assert [lease.memory for lease in leases(state)] == [600 * MIB]


def test_it_is_granted_when_the_holder_gives_back(state: StateDir) -> None:
    with theirs(state, 600) as (process, _):
        clock = Clock(lambda: None, lambda: give_back(process))
        with held(state, 500, clock=clock) as lease:
            assert lease.granted
            assert clock.now < 10


def test_the_dead_do_not_count(state: StateDir) -> None:
    with theirs(state, 600) as (process, _):
        with held(state, 500, clock=Clock(lambda: kill(process))):
            assert [lease.memory for lease in leases(state)] == [500 * MIB]
        assert leases(state) == []


def test_a_small_request_does_not_overtake_a_large_one(state: StateDir) -> None:
    with ExitStack() as stack:
        first, _ = stack.enter_context(theirs(state, 600))
        large, line = stack.enter_context(theirs(state, 800))
        assert line.startswith("waiting for 800 MiB")
        said: list[str] = []
        with pytest.raises(InfraError, match=f"pid {large.pid} .* waits for 800 MiB"), held(state, 100, said=said):
            pass
        give_back(first)
        assert read(large) == "granted"
        with held(state, 100):
            assert [lease.memory for lease in leases(state)] == [800 * MIB, 100 * MIB]


def test_a_waiter_that_dies_lets_the_next_one_pass(state: StateDir) -> None:
    with theirs(state, 600), theirs(state, 800) as (large, _), held(state, 100, clock=Clock(lambda: kill(large))):
        assert [lease.memory for lease in leases(state)] == [600 * MIB, 100 * MIB]


def test_giving_up_leaves_the_queue(state: StateDir) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with held(state, 600):
        with pytest.raises(KeyboardInterrupt), held(state, 500, clock=Clock(interrupt)):
            pass
        assert len(leases(state)) == 1


def test_the_default_budget_does_not_count_guests_twice(state: StateDir) -> None:
    assert default_budget(state, available=1000) == 800
    with held(state, 100, budget=500):
        assert default_budget(state, available=1) == 500 * MIB
    assert default_budget(state, available=1000) == 800
    assert leases(StateDir(state.path / "none")) == []


def test_what_the_dead_left_is_removed_once(state: StateDir) -> None:
    assert remove_dead(state) == []
    assert not (state.path / "leases").exists()
    with theirs(state, 100) as (process, _), held(state, 100):
        kill(process)
        (line,) = remove_dead(state)
        assert line.startswith(f"lease: pid {process.pid} (")
        assert remove_dead(state) == []
        assert len(leases(state)) == 1


def test_users_with_state_folders_of_their_own_share_one_queue(state: StateDir, tmp_path: Path) -> None:
    queue = tmp_path / "machine"
    mine, theirs = StateDir(state.path, queue=queue), StateDir(tmp_path / "theirs", queue=queue)
    with held(mine, 600), pytest.raises(InfraError, match="became free in time"), held(theirs, 600):
        pass
    assert leases(mine) == leases(theirs) == [] and not (tmp_path / "theirs").exists()
    assert queue.stat().st_mode & 0o7777 == 0o1777


def test_a_queue_that_cannot_be_made_says_so(state: StateDir, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostEnvironmentError, match="file"), held(StateDir(state.path, queue=tmp_path / "file"), 1):
        pass
