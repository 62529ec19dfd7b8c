"""Kinds whose load stays alive, stops for good, stops for a while, or crawls."""

from __future__ import annotations

from random import Random

from harness.faults.guest import LinkDown
from harness.faults.storage import DmDelay, DmSuspend, Freeze, Throttle
from harness.model.verdict import VerdictKind
from harness.selftest.plans import (
    LINK,
    LIVE_S,
    ROLE,
    SERVER,
    alone,
    instant,
    pair,
    plan,
    steady,
    thrash,
    until,
    with_disk,
)
from harness.selftest.truth import CRAWL_S, STOP_S, Truth
from harness.storage.mapped import MappedDisk
from harness.storage.nbd import NbdSwap
from harness.trial.plan import Plan

# With this delay of each request, two writers stay far below 1 % of their former rate, but never pause long enough for
# a stop.
DELAY_MS = 1500
# The same for swap. Swap-out has many requests in flight, so a delay does not slow it down. Therefore few processes,
# each of which waits for one page-in (8 pages) after the other. Once they have filled their memory, nothing is written:
# it is so small that swap stays less than half full and keeps its copies.
SWAP_DELAY_MS = 3000
FILLED_S = 45.0
PAGE = 4096
TRICKLE = 3 * PAGE  # bytes a second, shared by the load and the harness's own storage probe
OUTAGES_S = (5, 20, 60, 200)

RAW, FILE, SWAP = MappedDisk(host=ROLE, use="raw"), MappedDisk(host=ROLE, use="file"), MappedDisk(host=ROLE, use="swap")
REMOTE = NbdSwap(client=ROLE, server=SERVER)


def _live_swap(random: Random) -> Plan:
    return plan(with_disk(), SWAP, thrash(LIVE_S))


def _live_fork(random: Random) -> Plan:
    return plan(alone(), None, steady(LIVE_S, "fork"))


def _live_write(random: Random) -> Plan:
    return plan(alone(), None, steady(LIVE_S, "fsync"))


def _live_cpu(random: Random) -> Plan:
    return plan(alone(), None, steady(LIVE_S, "spin"))


def _link(random: Random) -> Plan:
    fault = LinkDown(role=ROLE, link=LINK, at_s=instant(random))
    return plan(pair(), REMOTE, thrash(until(fault)), [fault])


def _loopback(random: Random) -> Plan:
    return plan(alone(), NbdSwap(client=ROLE, server=ROLE), thrash(120.0, ratio=4.0))


def _dm_suspend(random: Random) -> Plan:
    fault = DmSuspend(role=ROLE, at_s=instant(random))
    return plan(with_disk(), RAW, steady(until(fault), path=RAW.path), [fault])


def _dm_swap(random: Random) -> Plan:
    fault = DmSuspend(role=ROLE, at_s=instant(random))
    return plan(with_disk(), SWAP, thrash(until(fault)), [fault])


def _freeze(random: Random) -> Plan:
    fault = Freeze(role=ROLE, mount=FILE.mount, at_s=instant(random))
    return plan(with_disk(), FILE, steady(until(fault), path=FILE.path), [fault])


def _outage(seconds: int) -> Truth:
    def make(random: Random) -> Plan:
        fault = LinkDown(role=ROLE, link=LINK, at_s=instant(random), heal_after_s=float(seconds))
        return plan(pair(), REMOTE, thrash(until(fault, LIVE_S)), [fault])

    return Truth(
        name=f"stall.{seconds}",
        about=f"swap over NBD, the client's cable pulled for {seconds} s",
        accepted=(VerdictKind.STALLED,),
        plan=make,
        within_s=STOP_S,
        heals=True,
    )


def _delay(random: Random) -> Plan:
    fault = DmDelay(role=ROLE, milliseconds=DELAY_MS, at_s=instant(random))
    return plan(with_disk(), RAW, steady(until(fault), path=RAW.path), [fault])


def _delay_reclaim(random: Random) -> Plan:
    fault = DmDelay(role=ROLE, milliseconds=SWAP_DELAY_MS, at_s=FILLED_S + instant(random))
    return plan(with_disk(), SWAP, thrash(until(fault), ratio=1.6, processes=1), [fault])


def _throttle(random: Random) -> Plan:
    fault = Throttle(role=ROLE, disk="scratch", bytes_per_s=TRICKLE, at_s=instant(random))
    return plan(with_disk(), RAW, steady(until(fault), path=RAW.path, block=PAGE), [fault])


SURVIVES, DEADLOCKS, CRAWLS = (VerdictKind.SURVIVED,), (VerdictKind.DEADLOCKED,), (VerdictKind.LIVELOCKED,)

LIVE = (
    Truth(
        name="live.swap",
        about="three times the memory swapped to a healthy disk",
        accepted=SURVIVES,
        plan=_live_swap,
        faulty=False,
    ),
    Truth(name="live.fork", about="a fork storm", accepted=SURVIVES, plan=_live_fork, faulty=False),
    Truth(
        name="live.write",
        about="blocks written and synchronised without an end",
        accepted=SURVIVES,
        plan=_live_write,
        faulty=False,
    ),
    Truth(name="live.cpu", about="every processor computes", accepted=SURVIVES, plan=_live_cpu, faulty=False),
)
DEADLOCK = (
    Truth(
        name="deadlock.link",
        about="swap over NBD, the client's cable pulled for good",
        accepted=DEADLOCKS,
        plan=_link,
        within_s=STOP_S,
    ),
    Truth(
        name="deadlock.loopback",
        about="swap over NBD, the server on the client itself; nothing is injected",
        accepted=DEADLOCKS,
        plan=_loopback,
        faulty=False,
        within_s=STOP_S,
    ),
    Truth(
        name="deadlock.dm-suspend",
        about="synchronous writes to a device that is suspended for good",
        accepted=DEADLOCKS,
        plan=_dm_suspend,
        within_s=STOP_S,
    ),
    Truth(
        name="deadlock.dm-swap",
        about="swap on a device that is suspended for good",
        accepted=DEADLOCKS,
        plan=_dm_swap,
        within_s=STOP_S,
    ),
    Truth(
        name="deadlock.fsfreeze",
        about="synchronous writes to a file system that is frozen for good",
        accepted=DEADLOCKS,
        plan=_freeze,
        within_s=STOP_S,
    ),
)
STALL = tuple(_outage(seconds) for seconds in OUTAGES_S)
LIVELOCK = (
    Truth(
        name="livelock.delay",
        about=f"synchronous writes, each delayed by {DELAY_MS} ms from an instant on",
        accepted=CRAWLS,
        plan=_delay,
        within_s=CRAWL_S,
    ),
    Truth(
        name="livelock.delay-reclaim",
        about=f"swap on a device whose requests are delayed by {SWAP_DELAY_MS} ms from an instant on",
        accepted=CRAWLS,
        plan=_delay_reclaim,
        within_s=CRAWL_S,
    ),
    Truth(
        name="livelock.throttle",
        about=f"synchronous writes, throttled to {TRICKLE} bytes a second by the hypervisor from an instant on",
        accepted=CRAWLS,
        plan=_throttle,
        within_s=CRAWL_S,
    ),
)
HANGS = (*LIVE, *DEADLOCK, *STALL, *LIVELOCK)
