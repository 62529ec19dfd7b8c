"""What must hold for any bytes: never raise, same findings however cut, bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.finding import Finding
from harness.verdicts.console import OrderedScanner, Scanner, scan
from harness.verdicts.console.patterns import TOKENS, find_headline
from harness.verdicts.console.prefilter import may_match
from harness.verdicts.console.text import LINE_CAP, pieces

FRAGMENTS = [
    b"[   12.345678] ", b"[   12.345678][   T37] ", b"[   13.000001][    C1] ", b"<6>", b"Dec  9 13:22:52 a kernel: ",
    b"INFO: task dd:981 blocked for more than 120 seconds.", b"BUG: KASAN: use-after-free in foo+0x1/0x2",
    b"watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [nfsd:2002]", b"Kernel panic - not syncing: x",
    b"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", b"invalid opcode: 0000 [#1] SMP", b"Call Trace:",
    b" schedule+0x46/0xa0", b" ? foo+0x46/0xa0", b" nfs_wait+0x1/0x2 [nfs]", b"RIP: 0010:bar+0x1/0x2",
    b"RIP: 0033:0x7f", b"python3 invoked oom-killer: gfp_mask=0x0", b"Out of memory: Killed process 1 (a)",
    b"block nbd0: Connection timed out", b"block nbd0: shutting down sockets", b"block nbd0: NBD_DISCONNECT",
    b"I/O error, dev nbd0, sector 1", b"Booting the kernel.", b"SeaBIOS (version 1)",
    b"[    0.000000] Linux version 6.1.0",
    b"sysrq: Show Blocked State", b"---[ end trace 0 ]---", b"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2",
    b"WARNING: odd", b"** 12 printk messages dropped **", b"\0", b"\r", b"\n", b"\n", b"\n", b"\r\n", b"\xff\xfe", b" ",
    b"x" * (LINE_CAP - 3), b"WARN", b"ING: ",
]  # fmt: skip

consoles = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=12), max_size=60).map(b"".join)
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_reads(data: bytes, cuts: list[int]) -> list[Finding]:
    scanner, found = Scanner(), []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        found += scanner.feed(data[start:end])
    return sorted(found + scanner.close(), key=lambda finding: finding.line)


@many
@given(st.binary(max_size=4000))
def test_any_bytes_are_read(data: bytes) -> None:
    for finding in scan(data):
        assert 1 <= finding.line <= data.count(b"\n") + 1


@many
@given(consoles)
def test_any_mix_of_console_text_is_read(data: bytes) -> None:
    lines = [finding.line for finding in scan(data)]
    assert lines == sorted(lines)
    assert all(1 <= line <= data.count(b"\n") + 1 for line in lines)


@many
@given(consoles, st.lists(st.integers(min_value=0), max_size=12))
def test_the_cuts_between_reads_change_nothing(data: bytes, cuts: list[int]) -> None:
    assert in_reads(data, cuts) == scan(data)


@settings(max_examples=60, deadline=None)
@given(consoles)
def test_a_byte_at_a_time_is_the_same(data: bytes) -> None:
    short = data[:3000]
    assert in_reads(short, list(range(len(short)))) == scan(short)


@many
@given(consoles, st.integers(min_value=0))
def test_a_truncated_console_keeps_the_headlines_that_it_holds(data: bytes, cut: int) -> None:
    end = data.rfind(b"\n", 0, cut % (len(data) + 1)) + 1
    whole, part = scan(data), scan(data[:end])
    headlines = [(f.kind, f.line) for f in whole if f.line <= data[:end].count(b"\n")]
    assert [(f.kind, f.line) for f in part] == headlines


@many
@given(st.lists(st.sampled_from([t.encode() for t in TOKENS] + FRAGMENTS) | st.binary(max_size=6), max_size=8))
def test_the_prefilter_never_hides_a_headline(parts: list[bytes]) -> None:
    line = b"".join(parts).replace(b"\n", b"").replace(b"\0", b"").replace(b"\r", b"")
    if any(find_headline(piece) for piece in pieces(line)):
        assert may_match(line)


def test_one_endless_line_takes_little_memory() -> None:
    scanner = Scanner()
    chunk = b"[   12.345678] INFO: task x:1 blocked " * 27_000
    tracemalloc.start()
    for _ in range(100):
        scanner.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(chunk)
    scanner.close()


def test_one_line_of_five_megabytes_is_read_like_its_beginning() -> None:
    stamp = b"[   12.345678] "
    for text in (b"INFO: task x:1 blocked for more than 120 seconds. ", b"BUG: KASAN: use-after-free in f+0x1/0x2 "):
        line = stamp + text + b"a b +0x1/0x2 [#1] " * 280_000
        assert scan(line + b"\nmore\n") == scan(line[:LINE_CAP] + b"\nmore\n")
        assert len(scan(line)) == 1


@many
@given(consoles, consoles, st.randoms(use_true_random=False))
def test_two_consoles_interleaved_by_lines_are_read(one: bytes, other: bytes, chance: random.Random) -> None:
    lines = [one.split(b"\n"), other.split(b"\n")]
    mixed: list[bytes] = []
    while any(lines):
        mixed.append(chance.choice([rest for rest in lines if rest]).pop(0))
    data = b"\n".join(mixed)
    assert all(1 <= finding.line <= len(mixed) for finding in scan(data))
    assert in_reads(data, [chance.randrange(len(data) + 1) for _ in range(5)]) == scan(data)


@many
@given(consoles, st.lists(st.integers(min_value=0), max_size=12))
def test_ordered_findings_are_those_of_a_scan_whatever_the_cuts(data: bytes, cuts: list[int]) -> None:
    scanner, found = OrderedScanner(), []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        found += scanner.feed(data[start:end])
    found += scanner.close()
    assert found == scan(data)


def test_many_open_reports_take_little_memory() -> None:
    scanner = Scanner()
    for number in range(2000):
        scanner.feed(b"[   12.%06d][ T%d] BUG: KASAN: use-after-free in foo+0x1/0x2\n" % (number, number))
        assert len(scanner._open) <= 8


def test_lines_made_to_almost_match_are_read() -> None:
    """With a pattern that backtracks without bound this test would not end."""
    hostile = [b"INFO: task " + b":1" * 8000, b"WARNING: " + b"a:1" * 5000, b"BUG: KASAN: " + b"a " * 8000,
               b"[#" + b"[#1" * 5000, b"a invoked oom-kille" * 800, b" at [<ffff>] " * 1200, b"[ 1.000000" * 1600,
               b"nfs: server " + b" not respondin" * 1100, b"(" * LINE_CAP, b"[<0000>] " * 1800,
               b"WARNING: possible " + b"a" * 16000, b"possible " * 1700 + b"INFO: "]  # fmt: skip
    assert {finding.line for finding in scan(b"\n".join(hostile))} == {3}
