"""Synthetic runs, as a trial would record them: a survivor, a deadlock, a run cut short.

Times, latencies and rates follow what was measured on real guests: swap over NBD under memory pressure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.model.history import Event, Kind, Rung
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore

MANIFEST: dict[str, Any] = {
    "started": "2026-01-01T12:00:00+01:00",
    "kernel": "6.1.0-42-amd64",
    "modules": {"nbd.ko": "variant no-memalloc"},
    "image": "debian-12 sha256:4f1c9b0e",
    "inventory": "inventories/nbd-pair.toml",
    "harness": "0.1.0",
    "accelerator": "tcg (kvm does not boot a guest here)",
    "host": {"cpus": 2, "memory": "24 GiB", "system": "Debian 12"},
    "command": "pytest testcases/test_nbd_swap.py",
}
HEALTHY = {
    Rung.VCPU: 0.004,
    Rung.HEARTBEAT: 0.01,
    Rung.ALLOC: 0.006,
    Rung.FORK: 0.03,
    Rung.WORK: 0.05,
    Rung.DISK: 0.02,
    Rung.NET: 0.008,
    Rung.SHELL: 0.4,
    Rung.STORAGE: 0.05,
    Rung.PROGRESS: 0.0,
}
SERVER_RUNGS = (Rung.VCPU, Rung.HEARTBEAT, Rung.ALLOC, Rung.FORK, Rung.DISK, Rung.NET, Rung.SHELL)
WHY = "nbd0 has 12 requests in flight and none completed"
Latency = Callable[[Rung, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """How a synthetic trial goes: `blocks` gives the time from which a rung of the client never answers."""

    length: int
    blocks: dict[Rung, float]
    rate: Callable[[float], float]
    latency: Latency


def heavy_swapping(rung: Rung, t: float) -> float:
    """Latency of a client that swaps heavily but lives: logins take ten seconds, forks one or two."""
    factor = {Rung.SHELL: 18.0, Rung.FORK: 45.0, Rung.STORAGE: 40.0, Rung.DISK: 20.0, Rung.ALLOC: 60.0}
    return HEALTHY[rung] * (factor.get(rung, 3.0) if t > 14 else 1.0)


def rung_events(host: str, rungs: Sequence[Rung], plot: Plot, seed: int = 1) -> Iterator[Event]:
    """About one sample a second for each rung."""
    dice = random.Random(seed)
    for second in range(1, plot.length):
        for rung in rungs:
            t = second + dice.random() * 0.2
            since = plot.blocks.get(rung)
            if since is not None and t > since:
                yield sample(t, host, rung, None, round(t - since, 3))
            else:
                yield sample(t, host, rung, round(plot.latency(rung, t) * dice.uniform(0.4, 1.6), 4), None)


def sample(t: float, host: str, rung: Rung, latency: float | None, blocked: float | None) -> Event:
    """One rung event."""
    data = {"rung": rung.value, "ok": blocked is None, "latency_s": latency, "blocked_s": blocked, "detail": ""}
    return Event(t, Kind.RUNG, host, data)


def counter_events(host: str, plot: Plot, label: str = "pages") -> Iterator[Event]:
    """Progress and vmstat, both cumulative."""
    dice = random.Random(7)
    ops = swapped = 0.0
    for second in range(9, plot.length):
        rate = plot.rate(second) * dice.uniform(0.75, 1.25)
        ops += rate
        swapped += rate * 0.8 if second > 14 else 0
        done = {"ops": int(ops), "workers": 16, "finished": 0, "alive": 16, "label": label}
        yield Event(second + 0.1, Kind.PROGRESS, host, done)
        moved = {"pswpout": int(swapped), "pswpin": int(swapped * 0.4), "pgscan_direct": int(swapped * 3)}
        yield Event(second + 0.15, Kind.VMSTAT, host, {**moved, "pgsteal_direct": int(swapped)})


def phase(name: str, begin: float, end: float | None) -> Iterator[Event]:
    """A phase; None leaves its end out."""
    yield Event(begin, Kind.PHASE, "", {"name": name, "state": "begin"})
    if end is not None:
        yield Event(end, Kind.PHASE, "", {"name": name, "state": "end"})


def opinion(t: float, state: str, since: float | None = None, why: str = "") -> Event:
    """What the watch thinks."""
    return Event(t, Kind.OPINION, "", {"state": state, "since_s": since, "why": why})


def finding(t: float, host: str, kind: str, title: str, **more: Any) -> Event:
    """A console finding."""
    data = {"kind": kind, "title": title, "line": 812, "time_s": t + 3.2, "corrupted": False, "stack": [], **more}
    return Event(t, Kind.CONSOLE, host, data)


def record(trial: TrialStore, events: Iterator[Event] | list[Event]) -> None:
    """Append events in the order of time."""
    for event in sorted(events, key=lambda event: event.t):
        trial.append(event)
    trial.close()


def survivor_events() -> list[Event]:
    """A survivor: heavy swapping, slow logins, a link pulled for 6 s, two stalls that end."""
    plot = Plot(length=66, blocks={}, rate=lambda t: 0 if 34 < t < 40 else 5200, latency=heavy_swapping)
    events = [*rung_events("client", tuple(Rung), plot), *counter_events("client", plot)]
    calm = Plot(length=66, blocks={}, rate=lambda t: 0, latency=lambda rung, t: HEALTHY[rung])
    events += rung_events("server", SERVER_RUNGS, calm, seed=2)
    for name, begin, end in (("boot", 0, 7), ("storage", 7, 8.4), ("baseline", 8.4, 13), ("load", 13, 62)):
        events += phase(name, begin, end)
    events += phase("teardown", 62, 65)
    pulled = {"name": "link-pull", "action": "inject", "detail": "cluster link of the server is down"}
    events.append(Event(33.5, Kind.FAULT, "server", pulled))
    events.append(Event(39.6, Kind.FAULT, "server", {**pulled, "action": "heal", "detail": "link is up"}))
    events += [opinion(13, "running"), opinion(38, "suspect", 34.0, "no progress"), opinion(40.2, "running")]
    events += [opinion(61, "finished")]
    return events


def deadlock_events() -> list[Event]:
    """Storage and progress block at 18 s, certain at 27 s, the recovery probe does not bring them back."""
    plot = Plot(
        length=58,
        blocks={Rung.STORAGE: 18.0, Rung.PROGRESS: 18.2},
        rate=lambda t: 4800 if t < 18.2 else 0,
        latency=lambda rung, t: HEALTHY[rung] * (2.5 if t > 14 else 1),
    )
    events = [*rung_events("client", tuple(Rung), plot), *counter_events("client", plot)]
    calm = Plot(length=58, blocks={}, rate=lambda t: 0, latency=lambda rung, t: HEALTHY[rung])
    events += rung_events("server", SERVER_RUNGS, calm, seed=2)
    spans = (("boot", 0, 7), ("storage", 7, 8.4), ("baseline", 8.4, 13), ("load", 13, 27.2))
    for name, begin, end in (*spans, ("recovery", 27.2, 47.5), ("evidence", 47.5, 55), ("teardown", 55, 57.5)):
        events += phase(name, begin, end)
    events += [opinion(13, "running"), opinion(22.1, "suspect", 18.2, WHY), opinion(27.1, "stopped", 18.2, WHY)]
    release = {"step": "release", "recovered": None, "detail": "16 workers killed"}
    observed = {"step": "observed", "recovered": False, "detail": "storage blocked for 29 s"}
    events.append(Event(27.3, Kind.RECOVERY, "client", release))
    events.append(Event(47.4, Kind.RECOVERY, "client", observed))
    stack = ["io_schedule", "folio_wait_bit_common", "__read_swap_cache_async", "swapin_readahead", "do_swap_page"]
    events += [
        finding(
            41 + 0.2 * n,
            "client",
            "hung_task",
            f"task fill:{410 + n} blocked for more than 20 seconds",
            function="io_schedule",
            task="fill",
            pid=410 + n,
            stack=stack,
        )
        for n in range(4)
    ]
    stuck = "block nbd0: Possible stuck request 00000000e1a4: control (read@5537792,4096B). Runtime 30 seconds"
    events += [finding(48.3 + n, "client", "storage_timeout", stuck) for n in range(3)]
    events += evidence_events()
    return events


def evidence_events() -> list[Event]:
    """What was collected of the deadlock."""
    files = (("sysrq w", "evidence/client-sysrq-w.txt", True), ("vmstat after", "evidence/client-vmstat.txt", True))
    events = [
        Event(49 + n, Kind.EVIDENCE, "client", {"name": name, "path": path, "ok": ok, "detail": ""})
        for n, (name, path, ok) in enumerate(files)
    ]
    lost = {"name": "memory dump", "path": "", "ok": False, "detail": "no room on the host for 512 MiB"}
    return [*events, Event(52, Kind.EVIDENCE, "client", lost)]


SURVIVED = Verdict(
    kind=VerdictKind.SURVIVED,
    summary="all 16 processes completed their passes; the longest stop was 5.8 s, while the link was down",
    reasons=("the workload finished at 61.0 s", "no rung was silent past its threshold"),
)
DEADLOCKED = Verdict(
    kind=VerdictKind.DEADLOCKED,
    summary="swap over nbd0 stopped at 18.2 s and did not come back when the pressure was taken away",
    onset_s=18.2,
    certain_s=27.1,
    blocked=("client/storage", "client/progress"),
    alive=("client/vcpu", "client/heartbeat", "client/alloc", "client/fork", "client/disk", "client/shell"),
    reasons=(
        "no operation completed from 18.2 s on, while 16 workers were alive",
        "client/storage was blocked from 18.0 s on",
        "the recovery probe killed the workers at 27.3 s; 20 s later the storage still blocked",
    ),
)


def write_run(root: Path) -> RunStore:
    """A run of three trials: a survivor, a reproduced deadlock, one that was cut short."""
    run = RunStore.create(root, manifest=MANIFEST, now=datetime(2026, 1, 1, 12))
    survivor = run.trial("testcases/test_nbd_swap.py::test_stock")
    record(survivor, survivor_events())
    survivor.console("client").write_text("[    0.000000] Linux version 6.1.0-42-amd64\n")
    survivor.write_verdict(SURVIVED, {"wall_s": 71.3})
    deadlock = run.trial("testcases/test_nbd_swap.py::test_loopback[4xRAM]", expected="deadlock")
    (deadlock.evidence / "client-sysrq-w.txt").write_text("sysrq: Show Blocked State\n" + "task:fill state:D\n" * 4000)
    (deadlock.evidence / "client-vmstat.txt").write_text("pswpin 62000\npswpout 338000\n")
    deadlock.console("client").write_text("[   41.2] INFO: task fill:410 blocked for more than 20 seconds.\n" * 40)
    record(deadlock, deadlock_events())
    deadlock.write_verdict(DEADLOCKED, {"wall_s": 63.0})
    cut = run.trial("testcases/test_nbd_swap.py::test_patch_undone", expected="deadlock")
    record(cut, [event for event in deadlock_events() if event.t < 24.6])
    return run
