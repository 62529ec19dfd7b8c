"""The report's words for rungs, verdicts and steps, for a reader who did not run the trials."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.diagnosis import Confidence
from harness.model.history import Rung
from harness.model.verdict import HANGS, VerdictKind

NO_VERDICT = "NO VERDICT"
CUT_SHORT = "no verdict: the run was cut short"


@dataclass(frozen=True, slots=True)
class RungWords:
    """The question of one rung: `short` beside its lane, `question` in full, and what it must not depend on."""

    short: str
    question: str
    independent_of: str


RUNGS: dict[Rung, RungWords] = {
    Rung.VCPU: RungWords(
        "processor executes?", "Does the processor execute? Asked of the hypervisor.", "the guest itself"
    ),
    Rung.HEARTBEAT: RungWords(
        "kernel schedules?",
        "Does the kernel schedule a real-time task that is locked in memory? It writes to a serial port.",
        "memory allocation, disk, network",
    ),
    Rung.ALLOC: RungWords("fresh memory?", "Can a task get fresh pages of memory?", "disk, network"),
    Rung.FORK: RungWords("new process?", "Can a new process be created?", "disk, network"),
    Rung.WORK: RungWords("deferred work?", "Does every processor run the kernel's deferred work?", "disk, network"),
    Rung.DISK: RungWords(
        "local disk writes?",
        "Does the local disk take a synchronous write?",
        "the storage under test",
    ),
    Rung.NET: RungWords(
        "network answers?",
        "Does the network carry a byte there and back?",
        "the storage under test",
    ),
    Rung.SHELL: RungWords("new SSH session?", "Does a new SSH session answer?", "–"),
    Rung.STORAGE: RungWords(
        "tested storage answers?",
        "Does the storage under test take a synchronous write or a page-in?",
        "–",
    ),
    Rung.PROGRESS: RungWords(
        "workload advances?",
        "Does the workload get work done? Read from counters in locked memory.",
        "–",
    ),
}

MEANINGS: dict[str, str] = {
    VerdictKind.SURVIVED: "The workload finished, or ran its time, and nothing was silent for too long.",
    VerdictKind.STALLED: "Progress stopped for longer than the stall threshold and came back by itself.",
    VerdictKind.LIVELOCKED: "Progress crawls, or stopped until the workload was held; no circular wait.",
    VerdictKind.DEADLOCKED: "Progress stopped and cannot come back by itself: holding the workload did not help.",
    VerdictKind.LOCKED_UP: "A processor no longer schedules tasks.",
    VerdictKind.CRASHED: "The kernel reported a panic, an oops, or a sanitizer finding.",
    VerdictKind.OOM_KILLED: "The out-of-memory killer ended the workload or a daemon that the storage needs.",
    VerdictKind.IO_FAILED: "The kernel gave up storage requests, and that ended the workload.",
    VerdictKind.LOST: "The host is gone on every channel and left no evidence.",
    VerdictKind.INCONCLUSIVE: "The harness or its infrastructure failed; nothing follows about the kernel.",
    NO_VERDICT: "The run ended before the trial was judged; what was recorded until then is below.",
}

OPINIONS = {
    "running": "the watch sees the workload running",
    "suspect": "the watch suspects a hang",
    "stopped": "the watch is certain of a stop",
    "finished": "the workload finished",
    "silent": "the watch gets no heartbeat",
    "agent_dead": "the watch gets no answer from the agent; the kernel answers",
    "locked": "the watch is certain that a processor does not schedule",
    "paused": "the watch sees that the guest is paused",
    "gone": "the watch sees that the guest is gone",
    "crashed": "the watch sees a crash on the console",
    "killed": "the watch sees an OOM kill that decides the trial",
}

CONFIDENCE: dict[Confidence, str] = {
    Confidence.HIGH: "the text shows the whole chain",
    Confidence.MEDIUM: "nearly all of the chain is in the text, or the kernel itself reports it",
    Confidence.LOW: "it fits, but so do other classes",
}


def tone(verdict: str) -> str:
    """The colour class of a verdict: good, bad or unknown."""
    if verdict == VerdictKind.SURVIVED:
        return "good"
    bad = {*HANGS, VerdictKind.CRASHED, VerdictKind.OOM_KILLED, VerdictKind.IO_FAILED}
    return "bad" if verdict in bad else "unknown"


def seconds(value: float | None) -> str:
    """A duration in words: `32 ms`, `4.2 s`, `143 s`; a dash for None."""
    if value is None:
        return "–"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 99.95 else f"{value:.0f} s"


def instant(value: float | None) -> str:
    """A trial time in words: `18.2 s`; a dash for None."""
    return "–" if value is None else f"{value:.1f} s"


def size(octets: int) -> str:
    """A size in words: `612 bytes`, `40 KiB`, `3.1 MiB`."""
    if octets < 1024:
        return f"{octets} bytes"
    return f"{octets / 1024:.0f} KiB" if octets < 1024 * 1024 else f"{octets / 1024 / 1024:.1f} MiB"
