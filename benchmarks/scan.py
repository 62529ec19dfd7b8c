"""Speed of the console scanner, compared with `grep -E` for the same headline patterns.

    python benchmarks/scan.py [--megabytes 200] [--rounds 3] [--json]

Writes consoles of the given size to a temporary folder: one without a report, one with a hung-task report every
10,000 lines, and one a tenth of that size with nothing but reports. Each is read once before anything is timed, so that
it is in the page cache. Prints processor and wall seconds (best of the rounds), and the ratios to the processor time of
either grep. `grep -E patterns` searches for the headlines as far as ERE can express them, `grep -E tokens` only for the
literals that every headline contains.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.verdicts.console import Scanner
from harness.verdicts.console.patterns import HEADLINES, TOKENS

MESSAGES = (
    "EXT4-fs (vda1): mounted filesystem with ordered data mode. Quota mode: none.",
    "usb 1-1: New USB device found, idVendor=0627, idProduct=0001, bcdDevice= 0.00",
    "systemd[1]: Started apt-daily.timer - Daily apt download activities.",
    'audit: type=1400 audit(1585.4:2): apparmor="STATUS" operation="profile_load" profile="unconfined" pid=1',
    "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
    "pci 0000:00:02.0: reg 0x10: [mem 0xfd000000-0xfdffffff pref]",
    "e1000: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX",
    "NFSD: Using nfsdcld client tracking operations.",
    "Adding 524284k swap on /dev/nbd0.  Priority:-2 extents:1 across:524284k FS",
    "nbd0: detected capacity change from 0 to 1048576",
    "printk: console [ttyS0] enabled",
)
REPORT = (
    "INFO: task dd:{pid} blocked for more than 120 seconds.",
    "      Not tainted 6.1.0-18-amd64 #1 Debian 6.1.76-1",
    "task:dd              state:D stack:0     pid:{pid}   ppid:975    flags:0x00000002",
    "Call Trace:",
    " <TASK>",
    *(f" {name}+0x34d/0x9e0" for name in ("__schedule", "schedule", "io_schedule", "wbt_wait", "__swap_writepage")),
    *(f" shrink_step_{number}+0x1c/0x40" for number in range(20)),
    " </TASK>",
    "RIP: 0033:0x7f763ccc9572",
)
READ = 1 << 20


@dataclass(frozen=True)
class Timing:
    """The best of the rounds, in seconds; `found` is the number of findings, or of lines for grep."""

    console: str
    reader: str
    cpu_s: float
    wall_s: float
    found: int


def lines(reports_every: int) -> Iterator[str]:
    for number in itertools.count(1):
        stamp = f"[{number / 100:12.6f}] "
        yield stamp + MESSAGES[number * 7 % len(MESSAGES)]
        if reports_every and number % reports_every == 0:
            yield from (stamp + line.format(pid=number) for line in REPORT)


def write_console(path: Path, size: int, reports_every: int) -> None:
    made, written = lines(reports_every), 0
    with path.open("wb") as out:
        while written < size:
            written += out.write(("\r\n".join(itertools.islice(made, 5000)) + "\r\n").encode())


def scan_file(path: Path) -> int:
    scanner, found = Scanner(), 0
    with path.open("rb") as console:
        while data := console.read(READ):
            found += len(scanner.feed(data))
    return found + len(scanner.close())


def grep(patterns: list[str]) -> Callable[[Path], int]:
    def run(path: Path) -> int:
        command = ["grep", "-a", "-c", "-E", "-e", "|".join(patterns), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if done.returncode > 1:
            raise SystemExit(f"grep failed: {done.stderr.strip()}")
        return int(done.stdout)

    return run


def literal(token: str) -> str:
    return re.sub(r"([][\\.^$*+?(){}|])", r"\\\1", token)


def extended(regex: str) -> str:
    """A headline as an ERE: without group names, look-around and lazy repeats; repeats of a span are unbounded."""
    text = re.sub(r"\(\?[!<][!=]?[^P)]*\)", "", regex)
    text = re.sub(r"\(\?P<\w+>|\(\?:", "(", text).replace(r"\n", "").replace(r"\Z", "$")
    text = re.sub(r"\{\d+,\d+\}\??", "*", text).replace(r"[^\]]", "[^]]").replace(r"\[", "\0")
    for short, long in ((r"[\w", "[[:alnum:]_"), (r"[\d", "[[:digit:]"), (r"\d", "[0-9]")):
        text = text.replace(short, long)
    return text.replace("[^]*", ".*").replace("\0", r"\[")


def timed(console: str, reader: str, run: Callable[[Path], int], path: Path, rounds: int) -> Timing:
    best: Timing | None = None
    for _ in range(rounds):
        before, start = os.times(), time.perf_counter()
        found = run(path)
        wall, after = time.perf_counter() - start, os.times()
        cpu = sum(after[:4]) - sum(before[:4])
        if best is None or cpu < best.cpu_s:
            best = Timing(console, reader, cpu, wall, found)
    assert best is not None
    return best


def measure(folder: Path, megabytes: int, rounds: int) -> list[Timing]:
    readers = {
        "grep -E tokens": grep([literal(token) for token in TOKENS]),
        "grep -E patterns": grep([extended(headline.regex.pattern) for headline in HEADLINES]),
        "scan": scan_file,
    }
    timings = []
    consoles = (("quiet", 0, 1.0), ("a report every 10,000 lines", 10_000, 1.0), ("reports only", 1, 0.1))
    for console, every, share in consoles:
        path = folder / "console.log"
        write_console(path, int(megabytes * 1_000_000 * share), every)
        timings += [timed(console, name, run, path, rounds) for name, run in readers.items()]
    return timings


def table(timings: list[Timing]) -> str:
    base = {(t.console, t.reader): t.cpu_s for t in timings}
    rows = [f"{'console':28} {'reader':17} {'cpu s':>7} {'wall s':>7} {'x patterns':>11} {'x tokens':>9} {'found':>8}"]
    for t in timings:
        patterns, tokens = (base[t.console, f"grep -E {name}"] for name in ("patterns", "tokens"))
        ratios = f"{times(t.cpu_s, patterns):11.1f} {times(t.cpu_s, tokens):9.1f}"
        rows.append(f"{t.console:28} {t.reader:17} {t.cpu_s:7.2f} {t.wall_s:7.2f} {ratios} {t.found:8}")
    return "\n".join(rows)


def times(one: float, other: float) -> float:
    return one / other if other else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200, help="size of each console")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the timings as JSON")
    options = parser.parse_args()
    if shutil.which("grep") is None:
        raise SystemExit("grep is not installed: it is what the scanner is measured against")
    with tempfile.TemporaryDirectory(prefix="harness-scan-") as folder:
        timings = measure(Path(folder), options.megabytes, options.rounds)
    print(json.dumps([asdict(timing) for timing in timings], indent=2) if options.json else table(timings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
