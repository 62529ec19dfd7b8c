"""Both ends of the shared memory through which orders go: the harness's, and the agent's."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from fakes import FakeClock
from forked import again_and_again

from harness.agent import agent
from harness.drivers.serial.ivshmem_mailbox import TAKEN_AT, IvshmemMailbox
from harness.model.clock import Deadline


@pytest.fixture
def ends(tmp_path: Path) -> tuple[IvshmemMailbox, agent.IvshmemMailbox]:
    """A box, and the agent's view of it: a PCI device's folder whose second resource is the same memory."""
    box = IvshmemMailbox(tmp_path / "box")
    device = tmp_path / "0000:00:1e.0"
    device.mkdir()
    (device / "enable").write_text("0")
    (device / "resource2").symlink_to(box.path)
    return box, agent.IvshmemMailbox(str(device))


def test_orders_arrive_once_and_in_turn(ends: tuple[IvshmemMailbox, agent.IvshmemMailbox]) -> None:
    box, reader = ends
    assert reader.take() is None
    for text in (b'{"id":1}', b'{"id":2,"do":"sysrq"}'):
        assert box.post(text, Deadline.after(5.0))
        assert reader.take() == text
        assert reader.take() is None


def test_no_order_is_taken_before_all_of_it_is_there(ends: tuple[IvshmemMailbox, agent.IvshmemMailbox]) -> None:
    box, reader = ends
    numbers = count(1)
    clock = FakeClock(0.0)
    with again_and_again(lambda: box.post(b'{"id":%d}' % next(numbers), Deadline.after(1e9, clock))):
        taken: list[bytes] = []
        while len(taken) < 20_000:
            if (text := reader.take()) is not None:
                taken.append(text)
    assert taken == [b'{"id":%d}' % number for number in range(1, 20_001)]


def test_the_device_is_switched_on(ends: tuple[IvshmemMailbox, agent.IvshmemMailbox], tmp_path: Path) -> None:
    assert (tmp_path / "0000:00:1e.0" / "enable").read_text() == "1"


def test_an_order_waits_until_the_last_one_was_taken(ends: tuple[IvshmemMailbox, agent.IvshmemMailbox]) -> None:
    box, reader = ends
    clock = FakeClock()
    assert box.post(b"first", Deadline.after(1.0, clock))
    assert not box.post(b"second", Deadline.after(1.0, clock))
    assert reader.take() == b"first"
    assert box.post(b"second", Deadline.after(1.0, clock))
    assert reader.take() == b"second"


def test_an_order_that_does_not_fit(ends: tuple[IvshmemMailbox, agent.IvshmemMailbox]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ends[0].post(b"x" * TAKEN_AT, Deadline.after(1.0))
