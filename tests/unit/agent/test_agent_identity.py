"""The order that makes a host another: what the agent does with it, without a network card to do it to."""

from __future__ import annotations

import mmap
import socket
import stat
import struct
from pathlib import Path

import pytest

from harness.agent import agent
from harness.agent.agent import IFF_UP, SIOCGIFFLAGS, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFHWADDR, SIOCSIFNETMASK

MULTICAST = 0x1000


class Card:
    """A network card as its requests see it; it is up, and `asked` has what was done, in order."""

    def __init__(self) -> None:
        self.flags = IFF_UP | MULTICAST
        self.asked: list[tuple[int, bytes]] = []

    def ioctl(self, fd: object, request: int, data: bytes = b"") -> bytes:
        name, value = data[:16], data[16:]
        assert len(data) == 40, "struct ifreq"
        assert name.rstrip(b"\0") == b"eth1"
        if request == SIOCGIFFLAGS:
            return name + struct.pack("=H22x", self.flags)
        if request == SIOCSIFFLAGS:
            self.flags = struct.unpack_from("=H", value)[0]
        self.asked.append((request, value))
        return data


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    monkeypatch.setattr("fcntl.ioctl", card.ioctl)
    return card


def set_up(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        agent.set_up_card(control, b"eth1", bytes.fromhex("525400680102"), address)


def test_a_card_goes_down_changes_and_comes_up(card: Card) -> None:
    set_up("10.78.4.3/22")
    requests = [request for request, _ in card.asked]
    assert requests == [SIOCSIFFLAGS, SIOCSIFHWADDR, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS]
    values = dict(card.asked)
    assert values[SIOCSIFHWADDR][:8] == struct.pack("=H6s", 1, bytes.fromhex("525400680102"))
    assert socket.inet_ntoa(values[SIOCSIFADDR][4:8]) == "10.78.4.3"
    assert socket.inet_ntoa(values[SIOCSIFNETMASK][4:8]) == "255.255.252.0"
    assert card.flags == IFF_UP | MULTICAST


def test_a_card_without_an_address_stays_down(card: Card) -> None:
    set_up("")
    assert socket.inet_ntoa(dict(card.asked)[SIOCSIFADDR][4:8]) == "0.0.0.0"
    assert card.flags == MULTICAST


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old and longer")
    path.chmod(0o644)
    agent.replace_file(str(path), b"new", 0o600)
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_entropy_is_credited_and_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bytes]] = []
    monkeypatch.setattr("fcntl.ioctl", lambda fd, request, data=b"": asked.append((request, data)))
    agent.stir(b"e" * 64)
    assert asked == [(agent.RNDADDENTROPY, struct.pack("=ii", 512, 64) + b"e" * 64), (agent.RNDRESEEDCRNG, b"")]


def test_who_asked_just_now_is_looked_after_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.agent.agent.time.monotonic", lambda: 100.0)
    assert agent.pause_after(99.5) == agent.FLUSH_S
    assert agent.pause_after(98.0) == agent.POLL_S


def test_the_network_probe_learns_its_peers_later() -> None:
    slot = agent.Slot(mmap.mmap(-1, agent.SLOT_SIZE), 0)
    probe = agent.take_order(None, {"peers": ["10.77.0.2"]}, slot)
    assert probe.peers == [("10.77.0.2", agent.ECHO_PORT)]
    assert agent.take_order(probe, {"peers": []}, slot) is None
