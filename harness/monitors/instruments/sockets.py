"""A watch over the sockets of a transfer: their stalls, the state of TCP then, and CPU time of kernel threads."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guest.board import RUN, STOP, WAIT
from harness.model.errors import HarnessError, InfraError, UsageError
from harness.model.measure import Measure
from harness.model.storage_protocols import PROTOCOLS
from harness.model.topology import Topology
from harness.monitors.instrument import ASK_S, ask
from harness.monitors.instruments.guest.socket_record import DIRECTIONS
from harness.monitors.instruments.guest.stalls import MOVED
from harness.site.needs import Needs
from harness.site.target import Site, Target
from harness.site.zipapp import pack

SCRIPT = Path(__file__).parent / "guest" / "sockets.py"
FOLDER = "/run/harness/sockets"
BOARD = "/dev/shm/harness-sockets"
UPTIME = "/proc/uptime"
START_S = 30.0  # to start Python, and to load the kernel's modules for sock_diag
COUNT, LONGEST = "{} stalls", "longest {} stall"  # measures of a direction
TRIES = 3  # a board that is being rewritten reads wrong
# idiag_timer of include/uapi/linux/inet_diag.h, by the names of `ss`
TIMERS = ("off", "retransmission", "keepalive", "time wait", "zero window probe")
# Waits for the first sample on the board, as long as the script lives.
READY = f"""\
for i in $(seq 300); do kill -0 $(cat {FOLDER}/watch.pid) || break
case $(head -c 4 {BOARD} 2>/dev/null) in {WAIT.decode().strip()}) exit 0;; esac; sleep 0.1; done
tail -n 3 {FOLDER}/watch.log; exit 1"""
GONE = f"for i in $(seq 50); do kill -0 $(cat {FOLDER}/watch.pid) 2>/dev/null || break; sleep 0.1; done"
SERVICES = {"iperf3": 5201, **{protocol.name: protocol.port for protocol in PROTOCOLS if protocol.port}}


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketWatch:
    """Watches, on `host`, the connections with `peer` that have one of `ports` at either end.

    A direction stalls when a connection is open and no byte moves for `stall_s` seconds or more. A direction with only
    acknowledgements is left out. In addition, twice a second, a byte goes there and back on a separate connection over
    the same link: the latency that a parallel SSH session would see.
    """

    host: str = "client"
    peer: str = "server"
    ports: tuple[int, ...] = tuple(SERVICES.values())
    stall_s: float = 3.0

    def __post_init__(self) -> None:
        """Raises UsageError without ports, or for a stall of 0 s or less."""
        if not self.ports or self.stall_s <= 0:
            raise UsageError("SocketWatch: it needs a port, and a stall is longer than 0 s")

    def describe(self) -> str:
        """See `Instrument.describe`."""
        return f"sockets of {self.host} with {self.peer}: stalls from {self.stall_s:g} s"

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.host: ("inet_diag", "tcp_diag")}

    def prepare(self, site: Site) -> None:
        """See `Instrument.prepare`: starts both ends, since under the load they might not start."""
        target, peer = site.role(self.host), site.role(self.peer)
        for one in (target, peer):
            one.shell.run("mkdir -p %s", FOLDER, deadline=site.deadline(10))
            one.shell.put(pack(SCRIPT), f"{FOLDER}/sockets.pyz", deadline=site.deadline(10))
        address = site.address(peer, seen_from=target)
        self._start(site, peer, "answer", address)
        target.shell.run("rm -f %s", BOARD, deadline=site.deadline(10))
        self._start(site, target, "watch", BOARD, self.stall_s, address, ",".join(map(str, self.ports)))
        target.shell.run(READY, deadline=site.deadline(START_S))
        ask(site, self.host, "open", paths=[BOARD, UPTIME])
        ask(site, self.host, "open", paths=[BOARD], write=True)

    def launch(self, site: Site) -> None:
        """See `Instrument.launch`."""
        ask(site, self.host, "write", path=BOARD, text=RUN.decode())

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; the whole record goes into the evidence."""
        board = self._read(site)
        now = float(ask(site, self.host, "read", path=UPTIME).split()[0])
        name = f"sockets-{site.role(self.host).name}.json"
        (evidence / name).write_text(json.dumps(board, indent=1), encoding="utf-8")
        return figures(board, now, self.stall_s)

    def _start(self, site: Site, target: Target, verb: str, *arguments: object) -> None:
        command = f"setsid python3 -I -S {FOLDER}/sockets.pyz {verb}" + " %s" * len(arguments)
        kept = f">{FOLDER}/{verb}.log 2>&1 </dev/null & echo $! >{FOLDER}/{verb}.pid"
        target.shell.run(f"{command} {kept}", *arguments, deadline=site.deadline(10))

    def end(self, site: Site) -> None:
        """See `Instrument.end`, as far as both hosts answer; a running watch pins the modules of sock_diag."""
        with suppress(HarnessError):
            ask(site, self.host, "write", path=BOARD, text=STOP.decode())
            site.role(self.host).shell.run(GONE, deadline=site.deadline(ASK_S), check=False)
        with suppress(HarnessError):
            end = f"kill $(cat {FOLDER}/answer.pid)"
            site.role(self.peer).shell.run(end, deadline=site.deadline(ASK_S), check=False)

    def _read(self, site: Site) -> dict[str, Any]:
        problem = ""
        for _ in range(TRIES):
            try:
                return read_board(ask(site, self.host, "read", path=BOARD))
            except ValueError as error:
                problem = str(error)
        raise InfraError(f"{site.role(self.host).name}: nothing whole on the board of sockets.py: {problem}")


def read_board(text: str) -> dict[str, Any]:
    """The record on a board; raises ValueError if it is not whole."""
    body, star, crc = text[len(RUN) :].rstrip(" \0").rpartition("*")
    if not star or int(crc, 16) != binascii.crc32(body.encode()):
        raise ValueError(f"it reads {text[:40].rstrip(chr(0))!r}")
    record: dict[str, Any] = json.loads(body)
    return record


def figures(board: Mapping[str, Any], now: float, stall_s: float) -> list[Measure]:
    """The measures on a board at `now` of the host's clock; a stall that is under way lasts until then."""
    found = []
    for name, direction in board["directions"].items():
        found += _stalls(name, direction, board["begun"], now, stall_s)
    elapsed = max(board["now"] - board["begun"], 0.1)
    for thread, seconds in board["cpu"].items():
        found.append(Measure(name=f"CPU of {thread}", value=round(100 * seconds / elapsed, 1), unit="%"))
    found += _ping(board["ping"], now)
    for counter, packets in board["drops"].items():
        found.append(Measure(name=f"{counter} of TCP", value=packets, unit="packets"))
    worst = board["worst"]
    if worst:
        for sample in worst["sockets"].values():
            found.append(Measure(name="socket in the longest stall", value=in_words(sample)))
    return found


def _stalls(name: str, direction: Mapping[str, Any], begun: float, now: float, stall_s: float) -> list[Measure]:
    stalls, count = list(direction["stalls"]), direction["count"]
    since = direction["moved_at"]
    if since is not None and now - since >= stall_s:
        stalls.append([since, now - since])
        count += 1
    if not count and since is None and direction["bytes"] < MOVED:
        return []  # it carried nothing but acknowledgements; a transfer that has ended is told, with 0 stalls
    found = [Measure(name=COUNT.format(name), value=count, unit="1")]
    if stalls:
        onset, length = max(stalls, key=lambda stall: stall[1])
        found.append(Measure(name=LONGEST.format(name), value=round(length, 1), unit="s"))
        found.append(Measure(name=f"onset of longest {name} stall", value=round(onset - begun, 1), unit="s"))
    return found


def stalls_in(measures: Iterable[Measure]) -> tuple[int, float]:
    """How often the connections stalled in either direction, and for how long at most, in seconds."""
    values = {one.name: one.value for one in measures}
    counts = [int(values.get(COUNT.format(name), 0)) for name in DIRECTIONS]
    return sum(counts), max(float(values.get(LONGEST.format(name), 0.0)) for name in DIRECTIONS)


def _ping(ping: Mapping[str, Any], now: float) -> list[Measure]:
    waiting = now - ping["waiting"] if ping["waiting"] is not None else 0.0
    return [
        Measure(name="pings on the link", value=ping["count"], unit="1"),
        Measure(name="longest ping on the link", value=round(max(ping["worst"], waiting), 2), unit="s"),
    ]


def in_words(sample: Mapping[str, int]) -> str:
    """The state of TCP in one line, like that of `ss -ti`."""
    timer = TIMERS[sample["timer"]] if sample["timer"] < len(TIMERS) else str(sample["timer"])
    until = f" in {sample['timer_ms'] / 1000:.1f} s" if sample["timer"] else ""
    return (
        f"last send {sample['last_send_ms'] / 1000:.1f} s ago, last receive {sample['last_receive_ms'] / 1000:.1f} s "
        f"ago, timer {timer}{until}, {sample['unacked']} packets unacknowledged, {sample['send_queue']} bytes to send, "
        f"{sample['retransmits']} retransmissions, backoff {sample['backoff']}"
    )
