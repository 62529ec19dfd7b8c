"""netconsole's datagrams become the text that a kernel printed; what was lost is told exactly."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.consoles import open_console
from harness.drivers.consoles.netconsole import FRAGMENTS, OPEN, RECORD, Records
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.owned_host import ConsoleSpec


def record(number: int, text: str = "", *, seconds: float | None = None, fragment: str = "") -> bytes:
    at = int((number / 1000 if seconds is None else seconds) * 1e6)
    return f"6,{number},{at},-{fragment};{text or f'line {number}'}\n".encode()


def fragments(number: int, text: bytes, size: int) -> list[bytes]:
    """A record as the kernel cuts it: each fragment says where it begins, and how long the record is."""
    head = f"6,{number},{number * 1000},-,ncfrag=%d/{len(text)};"
    return [(head % begin).encode() + text[begin : begin + size] for begin in range(0, len(text), size)]


def feed(*datagrams: bytes) -> list[str]:
    records = Records()
    return b"".join(records.feed(one) for one in datagrams).decode().splitlines()


def lost(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("[harness: ")]


def test_records_become_lines_of_the_log() -> None:
    fields = b"4,7,1234567,c;BUG: soft lockup\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n"
    assert feed(fields) == ["[    1.234567] BUG: soft lockup"]
    assert feed(b"6,8,5,-,caller=T1;a;b,c=d\n") == ["[    0.000005] a;b,c=d"]


def test_what_was_escaped_is_as_it_was_printed() -> None:
    """Kernels send all but printable ASCII as \\x…, in fragments that may end in the middle of that."""
    assert feed(rb"6,8,5000000,-;rcu: \x091-...! \xc3\xa4\x5cx41" + b"\n") == ["[    5.000000] rcu: \t1-...! ä\\x41"]
    assert feed(rb"6,8,5000000,-;two\x0alines" + b"\n") == ["[    5.000000] two", "[    5.000000] lines"]
    assert feed(*fragments(5, rb"a\x09b\x09c", 3)) == ["[    0.005000] a\tb\tc"]


def test_what_is_not_extended_is_text() -> None:
    for text in (b"[    1.0] plain\n", b"", b"6,7;short\n", b"\xff\x00"):
        assert Records().feed(text) == text


@given(st.sets(st.integers(0, 60), min_size=1))
def test_what_is_lost_is_counted_exactly(numbers: set[int]) -> None:
    got = sorted(numbers)
    lines = feed(*(record(number) for number in got))
    assert sum(lost(lines)) == got[-1] - got[0] + 1 - len(got)
    assert [line for line in lines if "harness" not in line] == [f"[{n / 1000:12.6f}] line {n}" for n in got]


def test_the_mark_is_where_the_loss_is() -> None:
    lines = feed(record(1), record(2), record(6))
    assert lines[2:] == ["[harness: 3 records of netconsole lost or not printed here]", "[    0.006000] line 6"]


def test_a_record_that_was_overtaken_causes_no_second_mark() -> None:
    lines = feed(record(1), record(3), record(2), record(4), record(5))
    assert lost(lines) == [1]
    assert [line.split()[-1] for line in lines if "line" in line] == ["1", "3", "2", "4", "5"]


def test_a_boot_starts_from_the_beginning() -> None:
    assert lost(feed(record(900, seconds=800), record(0, seconds=0), record(1, seconds=0.1))) == []
    assert lost(feed(record(900, seconds=800), record(0, seconds=0), record(3, seconds=0.1))) == [2]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_fragments_come_in_any_order(order: tuple[int, ...]) -> None:
    text = bytes(range(97, 123)) * 10
    parts = fragments(5, text, 100)
    assert len(parts) == 3
    assert feed(*(parts[place] for place in order)) == [f"[    0.005000] {text.decode()}"]


def test_a_fragment_that_comes_twice_does_not_stand_in_for_another() -> None:
    parts = fragments(5, b"a" * 100 + b"b" * 100 + b"c" * 50, 100)
    assert feed(parts[0], parts[0], parts[1]) == []
    assert len(feed(parts[0], parts[0], parts[1], parts[2])) == 1


def test_a_record_of_which_a_fragment_is_lost_is_lost() -> None:
    lines = feed(record(4), fragments(5, b"x" * 200, 100)[0], record(6))
    assert lost(lines) == [1]


def test_records_in_fragments_may_be_interleaved() -> None:
    one, other = fragments(1, b"a" * 200, 100), fragments(2, b"b" * 200, 100)
    assert len(feed(one[0], other[0], one[1], other[1])) == 2


def test_hostile_fragments_are_bounded() -> None:
    records = Records()
    for number in range(5000):
        records.feed(record(number, fragment=f",ncfrag=0/{RECORD}"))
    assert len(records._parts) <= OPEN
    records = Records()
    for begin in range(5000):
        records.feed(record(1, "x", fragment=f",ncfrag={begin}/{RECORD}"))
    assert max(len(parts.ends) for parts in records._parts.values()) <= FRAGMENTS


@pytest.mark.parametrize(
    "fragment", ["0/999999", "999999/10", "5/2", "0/0", "65530/65536", "-1/5", "1/", "/", "0/10,ncfrag=0/11"]
)
def test_fragments_that_no_kernel_sends(fragment: str) -> None:
    records = Records()
    records.feed(record(1, "some text", fragment=f",ncfrag={fragment}"))
    records.feed(record(1, "some text", fragment=",ncfrag=0/20"))
    assert sum(len(parts.text) for parts in records._parts.values()) <= OPEN * RECORD


@given(st.lists(st.one_of(st.binary(max_size=60), st.from_regex(rb"\A\d{1,3},\d{1,19},\d{1,19},[^;\n]{0,30};.*\Z"))))
def test_no_datagram_breaks_it(datagrams: list[bytes]) -> None:
    records = Records()
    for one in datagrams:
        assert len(records.feed(one)) <= len(one) + 200
    assert len(records._parts) <= OPEN


def listen(heard: bytearray, **values: object) -> tuple[object, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    spec = ConsoleSpec(driver="netconsole", port=port, **values)  # type: ignore[arg-type]
    return open_console(spec, "ib1", None, heard.extend, deadline=Deadline.after(5)), port


def send(port: int, *datagrams: bytes, source: str = "127.0.0.1") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for one in datagrams:
            sender.sendto(one, ("127.0.0.1", port))


def wait_for(text: bytes, heard: bytearray) -> None:
    end = time.monotonic() + 5
    while text not in heard:
        assert time.monotonic() < end, bytes(heard)
        time.sleep(0.01)


def test_a_host_is_heard_over_udp_and_nobody_else() -> None:
    heard = bytearray()
    stream, port = listen(heard, address="127.0.0.77")
    send(port, record(1, "of somebody else"), b"")
    send(port, b"", record(1, "first"), record(2, "last"), source="127.0.0.77")
    wait_for(b"last", heard)
    assert b"somebody" not in heard and b"first" in heard
    before = threading.active_count()
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before - 1


def test_it_takes_no_input_and_no_break() -> None:
    stream, _ = listen(bytearray())
    try:
        with pytest.raises(InfraError, match="netconsole takes no input"):
            stream.send(b"x")  # type: ignore[attr-defined]
        with pytest.raises(InfraError, match="netconsole takes no break"):
            stream.send_break("b")  # type: ignore[attr-defined]
    finally:
        stream.close()  # type: ignore[attr-defined]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        spec = ConsoleSpec(driver="netconsole", port=port)
        with pytest.raises(InfraError, match=f"netconsole of ib1: port {port} of this machine: Address already in use"):
            open_console(spec, "ib1", None, lambda _: None, deadline=Deadline.after(5))
