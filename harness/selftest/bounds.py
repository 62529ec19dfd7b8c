"""Kinds whose storage waits within its protocol's bound, or beyond it."""

from __future__ import annotations

from random import Random

from harness.faults.servers import NbdServerRestart, NfsServerRestart
from harness.model.verdict import VerdictKind
from harness.selftest.plans import LIVE_S, ROLE, SERVER, instant, pair, plan, steady, until
from harness.selftest.truth import Truth
from harness.storage.nbd import NbdDisk
from harness.storage.nfs import NfsDisk
from harness.trial.plan import Plan

NFS = NfsDisk(client=ROLE, server=SERVER)
NBD = NbdDisk(client=ROLE, server=SERVER)
SHORTEST_S, LONGEST_S = 2.0, 8.0  # seconds without a server, within every bound


def _nfs_restart(random: Random) -> Plan:
    fault = NfsServerRestart(at_s=instant(random), heal_after_s=round(random.uniform(SHORTEST_S, LONGEST_S), 2))
    return plan(pair(), NFS, steady(until(fault, LIVE_S), path=NFS.path), [fault])


def _nfs_never(random: Random) -> Plan:
    fault = NfsServerRestart(at_s=instant(random), heal_after_s=None)
    return plan(pair(), NFS, steady(until(fault), path=NFS.path), [fault])


def _nbd_within(random: Random) -> Plan:
    fault = NbdServerRestart(at_s=instant(random), heal_after_s=round(random.uniform(SHORTEST_S, LONGEST_S), 2))
    return plan(pair(), NBD, steady(until(fault, LIVE_S), path=NBD.path), [fault])


def _nbd_after(random: Random) -> Plan:
    fault = NbdServerRestart(at_s=instant(random), heal_after_s=None)
    return plan(pair(), NBD, steady(until(fault), path=NBD.path), [fault])


BOUNDED = (
    Truth(
        name="bounded.nfs-restart",
        about="writes over NFS, the server stopped and back within the lease",
        accepted=(VerdictKind.SURVIVED,),
        plan=_nfs_restart,
    ),
    Truth(
        name="bounded.nfs-never",
        about="writes over NFS, the server stopped for good",
        accepted=(VerdictKind.DEADLOCKED,),
        plan=_nfs_never,
    ),
    Truth(
        name="bounded.nbd-within",
        about="writes over NBD, the server killed and back within the bound",
        accepted=(VerdictKind.SURVIVED,),
        plan=_nbd_within,
    ),
    Truth(
        name="bounded.nbd-after",
        # Not a hang: the kernel fails the requests when they time out, and the writers end with an error.
        about="writes over NBD, the server killed for good: its requests fail after the bound, and the load with them",
        accepted=(VerdictKind.IO_FAILED,),
        plan=_nbd_after,
    ),
)
