"""The diagnosis of a trial, from the consoles, evidence and roles of its hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from harness.diagnosis.graph.host_context import HostContext
from harness.diagnosis.read.facts import Device, Facts
from harness.diagnosis.reader import read_facts
from harness.diagnosis.rules.engine import diagnose
from harness.model.diagnosis import Cited, Confidence, Diagnosis
from harness.model.events import EvidencePiece, FaultStep, Fence, RungSample, TrialFacts
from harness.model.finding import Finding, FindingKind
from harness.model.hang_classes import HangClass
from harness.model.history import Event, Rung, select
from harness.model.storage_protocols import protocol_named

__all__ = ["context_of", "diagnose_trial"]

# For histories that do not record who serves whom.
_NETWORK_STORAGE = re.compile(r"\b(?:nfs|nbd|iscsi|aoe|ceph|smb|served by)", re.IGNORECASE)
_SERVED_BY = re.compile(r"served by (?P<role>[\w.-]{1,64})")
_IN_FLIGHT = re.compile(r"sys-block-(?P<device>[\w.-]{1,64})-inflight\b")
_SLOW_S = 1.0
"""An I/O of the ladder is slow from so many seconds on; it is about a page, with nothing queued before it."""
_RECENT_S = 30.0
_ALIKE = 2.0
"""An I/O that has been pending for more than this many times as long as slow ones took is not just slow."""
_CARD = "NETDEV WATCHDOG"
_MOST_SILENT = 4
_ORDER = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


def diagnose_trial(events: Sequence[Event], texts: Mapping[str, Sequence[tuple[str, bytes]]]) -> Diagnosis | None:
    """Why a trial's hosts hang; None if nothing hangs in their consoles and evidence.

    `texts` has for each host the name and bytes of its console and of each file of evidence. Each host is diagnosed on
    its own. The surest diagnosis wins; of two equally sure ones, that with more tasks.
    """
    hosts = _hosts(events) | set(texts)
    found = []
    for host, sources in texts.items():
        facts = Facts()
        for name, data in _unlike(sources):
            facts.add(read_facts(data, name))
        facts.devices += [device for name, data in sources if (device := _device(name, data))]
        stood_s, returned = _probed(events, host)
        context = replace(context_of(events, hosts, host), stood_s=stood_s, returned=returned)
        diagnosis = diagnose(facts, context)
        if diagnosis is not None:
            found.append(_with_ladder(diagnosis, host, events))
    return max(found, key=_weight, default=None)


def _hosts(events: Sequence[Event]) -> set[str]:
    return {event.host for event in events if event.host}


def _unlike(sources: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The sources without the dumps that were cut out of the console, which contains them whole."""
    consoles = [data.replace(b"\r", b"") for name, data in sources if "sysrq" not in name]
    return [
        (name, data)
        for name, data in sources
        if "sysrq" not in name or not any(data.replace(b"\r", b"").strip() in console for console in consoles)
    ]


def context_of(events: Sequence[Event], hosts: set[str], host: str) -> HostContext:
    """The storage server of `host`, from the trial's facts."""
    trial = next((facts for _, facts in select(reversed(events), TrialFacts)), TrialFacts(name=""))
    served_by = trial.served_by
    if served_by is None:
        return _context_in_words(trial, hosts, host)
    fenced = {event.host for event, _ in select(events, Fence) if event.host != host}
    serving = next((server for server in served_by.get(host, ()) if server not in fenced), None)
    return HostContext(
        loopback=serving == host,
        apart=bool(served_by) and not any(host in servers for servers in served_by.values()),
        protocol=protocol_named(trial.protocol or ""),
    )


def _context_in_words(trial: TrialFacts, hosts: set[str], host: str) -> HostContext:
    """The same for histories that do not record who serves whom, from the description of the storage.

    It is right for one server with a role. A cluster's nodes are assumed to be apart from their server. If a userspace
    server is named in place of a role, the number of hosts decides.
    """
    if _NETWORK_STORAGE.search(trial.storage) is None:
        return HostContext()
    roles, served = trial.roles, _SERVED_BY.search(trial.storage)
    if served and served["role"] in roles:
        server = roles[served["role"]]
        others = {name for role, name in roles.items() if role != served["role"]}
        return HostContext(loopback=host == server and host in others, apart=host != server)
    return HostContext(loopback=len(hosts) == 1, apart=len(hosts) > 1)


def _weight(diagnosis: Diagnosis) -> tuple[bool, int, int]:
    known = diagnosis.hang_class is not HangClass.UNKNOWN
    return known, _ORDER.index(diagnosis.confidence), sum(node.count for node in diagnosis.nodes)


def _device(name: str, data: bytes) -> Device | None:
    """A block device with its reads and writes in flight, from a file of evidence; None for any other file."""
    found = _IN_FLIGHT.search(name)
    counts = data.split()
    if found is None or len(counts) != 2 or not all(count.isdigit() for count in counts):
        return None
    return Device(found["device"], sum(int(count) for count in counts), name)


def _looked_at(events: Sequence[Event], host: str) -> float:
    """The time of a host's first dump on the harness's clock; infinite if there is none."""
    dumps = (event.t for event, piece in select(events, EvidencePiece) if _is_dump(piece) and event.host == host)
    return min(dumps, default=float("inf"))


def _last_rungs(events: Sequence[Event], host: str) -> dict[str, tuple[int, RungSample]]:
    """The newest sample of each rung before the host's first dump, with its line in the history."""
    moment = _looked_at(events, host)
    return {
        sample.rung: (number, sample)
        for number, event in enumerate(events, 1)
        if event.host == host and event.t <= moment and isinstance(sample := event.payload, RungSample)
    }


def _probed(events: Sequence[Event], host: str) -> tuple[float, int]:
    """How long the ladder's own I/O had been pending at the first dump, and how many slow ones had completed."""
    moment = _looked_at(events, host)
    samples = [
        (event.t, sample.blocked_s or 0.0)
        for event, sample in select(events, RungSample)
        if event.host == host and event.t <= moment and sample.rung == Rung.STORAGE
    ]
    stands = samples[-1][1] if samples else 0.0
    slow = [
        stood
        for (_, stood), (t, now) in pairwise(samples)
        if stood >= _SLOW_S and now < stood and samples[-1][0] - t <= _RECENT_S
    ]
    return stands, len(slow) if stands <= _ALIKE * max(slow, default=0.0) else 0


def _with_ladder(diagnosis: Diagnosis, host: str, events: Sequence[Event]) -> Diagnosis:
    """The diagnosis with the state of the ladder at the first dump: which rungs were blocked, which answered."""
    last = _last_rungs(events, host)
    if not last:
        return diagnosis
    state = {rung.value: _blocked(last[rung.value][1]) for rung in Rung if rung.value in last}
    blocked = ", ".join(rung for rung, stuck in state.items() if stuck) or "nothing"
    alive = ", ".join(rung for rung, stuck in state.items() if not stuck) or "nothing"
    text = f"On {host} the ladder says: blocked {blocked}; alive {alive}."
    if faults := _faults(events, _looked_at(events, host)):
        text += f" The trial had injected and not healed: {', '.join(faults)}."
    cited = Cited(source="history", line=max(number for number, _ in last.values()), text=text)
    silent = _silent(events, host)
    explanation = " ".join((diagnosis.explanation, text, *(one.text for one in silent)))
    return replace(diagnosis, explanation=explanation, evidence=(*diagnosis.evidence, cited, *silent))


def _silent(events: Sequence[Event], host: str) -> list[Cited]:
    """Console lines about a network card that does not send, and other hosts' lines about peers that do not answer.

    To its client, a server that is cut off looks like one that hangs. Only the server's own console shows which it is.
    """
    said: dict[str, Cited] = {}
    for number, event in enumerate(events, 1):
        finding = event.payload
        if not isinstance(finding, Finding) or finding.kind != FindingKind.STORAGE_TIMEOUT:
            continue
        if event.host != host or _CARD in finding.title:
            text = f"The console of {event.host} says: {finding.title}."
            said.setdefault(text, Cited(source="history", line=number, text=text))
    return list(said.values())[:_MOST_SILENT]


def _blocked(sample: RungSample) -> bool:
    return sample.blocked_s is not None or not sample.ok


def _faults(events: Sequence[Event], moment: float) -> list[str]:
    """The faults that the trial had injected and not healed at that moment."""
    active: dict[str, None] = {}
    for event, step in select(events, FaultStep):
        if event.t <= moment:
            if step.action == "inject":
                active[step.name] = None
            else:
                active.pop(step.name, None)
    return list(active)


def _is_dump(piece: EvidencePiece) -> bool:
    return piece.name.startswith("sysrq")
