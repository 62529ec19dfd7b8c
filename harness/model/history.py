"""What happened in a trial: a flat sequence of events, from which everything else is computed.

A history file holds one JSON object a line, in the order in which the harness learnt of it. `t` is in
seconds since the trial began, on the harness's monotonic clock. The first event is `trial`.

| kind | host | data |
| --- | --- | --- |
| trial | – | name, started (epoch seconds), policy (`verdicts.policy.Policy`), topology, roles (role → host), about, |
| | | protocol (the name of the storage's, "" if it is local), served_by (host → hosts, `storage.base.ServedBy`) |
| phase | – | name (boot, storage, baseline, load, fault, recovery, evidence, measure, teardown), state (begin, end) |
| rung | yes | rung, ok, latency_s or null, blocked_s or null (seconds since it blocks), detail; see below |
| progress | yes | ops, workers, finished, failed, alive, label: cumulative operations of the workload |
| baseline | yes | ops_per_s: what the storage does in operations of the workload, measured before the load |
| vmstat | yes | the counters of /proc/vmstat and of the storage that moved, cumulative |
| heartbeat | yes | seq, uptime_s, ticks (seconds since each processor ticked): a line of the agent's arrived |
| console | yes | one finding: kind, title, function, task, pid, cpu, time_s, line, corrupted, stack |
| fault | yes | name, action (inject, heal), took_s (it was done by then, begun so long before), detail |
| fence | yes | the host loses its power on purpose: from now on nothing is expected of it |
| measure | – | name, value (number or text), unit: a figure that the trial was asked for, `model.measure` |
| opinion | – | state (see `model.opinion.State`), since_s, why: what the watch thinks now |
| recovery | yes | step (hold, release), done, recovered, after_s, detail: the recovery probe, docs/verdicts/ |
| evidence | yes | name, path, ok, detail, waiting (how many tasks of the load the kernel shows blocked; sysrq-w) |
| infra | maybe | error: the harness or its infrastructure failed |
| limit | – | seconds: the load was given no more time than this, and it is over |
| lag | – | seconds: the harness itself did not run for so long, so silence in it says nothing |
| note | maybe | text |

The vcpu rung also has `cpu_ns` and `processors`, as `drivers.protocols.DomainState`: what the guest's processors got of
this machine. The shell rung also has `agent`, the state letter of the agent's process ("" if there is none), and
`age_s`: seconds since that sample began.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Rung(StrEnum):
    """The ladder, from what needs least to what needs most."""

    VCPU = "vcpu"
    HEARTBEAT = "heartbeat"
    ALLOC = "alloc"
    FORK = "fork"
    WORK = "work"
    DISK = "disk"
    NET = "net"
    SHELL = "shell"
    STORAGE = "storage"
    PROGRESS = "progress"


class Kind(StrEnum):
    """What an event says; the table in this module's docstring gives the data of each."""

    TRIAL = "trial"
    PHASE = "phase"
    RUNG = "rung"
    PROGRESS = "progress"
    BASELINE = "baseline"
    VMSTAT = "vmstat"
    HEARTBEAT = "heartbeat"
    CONSOLE = "console"
    FAULT = "fault"
    FENCE = "fence"
    MEASURE = "measure"
    OPINION = "opinion"
    RECOVERY = "recovery"
    EVIDENCE = "evidence"
    INFRA = "infra"
    LIMIT = "limit"
    LAG = "lag"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing the harness learnt, `t` seconds after the trial began."""

    t: float
    kind: Kind
    host: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of a history file, without its newline; any text in it is escaped to ASCII."""
        record = {"t": round(self.t, 4), "kind": self.kind.value, "host": self.host, "data": dict(self.data)}
        return json.dumps(record, ensure_ascii=True, separators=(",", ":"), default=str)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The event of one line; raises ValueError on anything else."""
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"not an event: {line[:80]!r}")
        try:
            return cls(float(record["t"]), Kind(record["kind"]), str(record["host"]), dict(record["data"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an event: {line[:80]!r}") from error


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events of a history file; a last line that a kill cut short is left out."""
    for line in lines:
        if not line.endswith("\n"):
            return
        if line.strip():
            yield Event.from_json(line)
