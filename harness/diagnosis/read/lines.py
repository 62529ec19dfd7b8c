"""Patterns of console lines about a hang, one for each kind.

Every pattern is anchored or starts with a literal, and every repeat is bounded, so that even a long line matches fast.
"""

from __future__ import annotations

import re
from functools import cache

from harness.diagnosis.read.facts import StallKind
from harness.model.finding import NoticeKind
from harness.model.storage_protocols import PROTOCOLS
from harness.verdicts.console.prefilter import Needles

__all__ = [
    "ACTIVE", "COMM", "FLYING", "HELD", "HELD_BY", "HUNG", "INACTIVE", "MODULE", "OLD_TASK", "OWNED",
    "PENDING", "POOL", "PROC_STACK", "STALLS", "TASK", "WORKER", "WORKQUEUE", "needles_without", "notice_of",
]  # fmt: skip

TASK = re.compile(
    r"\s*task:(?P<name>\S.{0,40}?)"
    r"(?:\s+state:(?P<state>[A-Za-z])\b(?:.{0,80}?\bpid:\s{0,12}(?P<pid>\d{1,10}))?|\s{0,8}$)"
)  # fmt: skip
OLD_TASK = re.compile(
    r"\s{0,8}(?P<name>\S[^\s|]{0,23}(?: \S{1,12})?)\s{1,20}(?P<state>[RSDTtXZIKWP])\s{0,8}"
    r"(?:running task|[0-9a-f]{8,16}\s)?\s{0,20}\d{1,6}\s{1,12}(?P<pid>\d{1,10})\s{1,12}\d{1,10} {1,4}0x[0-9a-f]{8}"
)
HUNG = re.compile(
    r"\s*INFO: task (?P<name>.{1,40}?):(?P<pid>\d{1,10}) (?:blocked (?:in I/O wait )?|can't die )"
    r"for more than (?P<seconds>\d{1,9})"
)
OWNED = re.compile(
    r"\s*INFO: task .{1,40}?:(?P<pid>\d{1,10})(?: <\w{1,10}>)? (?:is )?blocked on an? (?P<lock>[\w -]{3,24}?),? "
    r"(?:likely )?(?:last )?(?:owned|held) by task (?P<owner>.{1,40}?):(?P<owner_pid>\d{1,10})"
)
COMM = re.compile(
    r"\s*CPU: {0,2}(?P<cpu>\d{1,5}) (?:UID: \d{1,10} )?PID: {0,2}(?P<pid>\d{1,10}) Comm: (?P<name>\S{1,32})"
)
PROC_STACK = re.compile(r".{0,80}?/proc/(?P<pid>\d{1,10})/(?:task/(?P<tid>\d{1,10})/)?stack\b")
WORKER = re.compile(r"\s*Workqueue: (?P<queue>\S{1,80})(?: (?P<work>\S{1,80}))?")
HELD_BY = re.compile(r"\s*\d{1,4} locks? held by (?P<name>.{1,40}?)/(?P<pid>\d{1,10})[:.]")
HELD = re.compile(
    r"\s*#\d{1,3}:\s{1,3}(?:\.\.\.\. )?(?:(?P<address>[0-9a-f]{8,16})\s)?\s{0,3}\((?P<lock>.{1,120}?)\)\{.{1,24}?\}"
    r"(?:-\{\d{1,2}:\d{1,2}\})?,? at: (?:\[<.{1,24}?>\] )?(?P<at>[A-Za-z_][\w.]{0,100})"
)
WORKQUEUE = re.compile(r"\s*workqueue (?P<name>\S{1,80}): flags=")
ACTIVE = re.compile(
    r"\s*pwq (?P<pool>\d{1,6}): cpus=(?P<cpus>\S{1,80}).{0,60}? active=(?P<active>\d{1,6})/(?P<limit>\d{1,6})"
)
FLYING = re.compile(r"(?P<pid>\d{1,10})(?:\(RESCUER\))?:(?P<work>[A-Za-z_][\w.]{0,100})")
PENDING = re.compile(r"\s*pending: (?P<works>.{1,4000})")
INACTIVE = re.compile(r"\s*(?:inactive|delayed): (?P<works>.{1,4000})")
POOL = re.compile(r"\s*pool (?P<pool>\d{1,6}): cpus=(?P<cpus>\S{1,80}).{0,60}? hung=(?P<seconds>\d{1,9})s workers=")
MODULE = re.compile(r"\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}\)?\s{1,4}\[(?P<module>[A-Za-z]\w{0,63})(?: [0-9a-f]{40})?\]")

STALLS: tuple[tuple[str, StallKind, re.Pattern[str]], ...] = (
    ("soft lockup", StallKind.SOFT, re.compile(
        r".{0,40}BUG: soft lockup(?: -)? CPU#(?P<cpu>\d{1,5}) stuck for (?P<seconds>\d{1,9})s! "
        r"\[(?P<name>.{1,40}?):(?P<pid>\d{1,10})\]"
    )),
    ("LOCKUP", StallKind.HARD, re.compile(r".{0,60}?hard LOCKUP(?: on cpu (?P<cpu>\d{1,5}))?")),
    ("stall", StallKind.RCU, re.compile(
        r"(?:rcu: )?(?:INFO: )?rcu\w{0,20} (?:self-)?detected (?:expedited )?stalls?\b")),
    ("workqueue lockup", StallKind.POOL, re.compile(
        r"\s*BUG: workqueue lockup - pool cpus=(?P<cpus>\S{1,80}).{0,80}? stuck for (?P<seconds>\d{1,9})s"
    )),
)  # fmt: skip
"""A literal of the line, the kind, and the pattern."""

# As in /proc/net/tcp.
_PORTS = "|".join(f"{protocol.port:04X}" for protocol in PROTOCOLS if protocol.port)
_NOTICES: tuple[tuple[str, NoticeKind, re.Pattern[str]], ...] = (
    *((sign.token, sign.kind, re.compile(sign.regex)) for protocol in PROTOCOLS for sign in protocol.signs),
    ("timing out command", NoticeKind.BLOCK_STUCK, re.compile(
        r".{0,80}?\[?(?P<about>\w{1,16})?\]? ?timing out command")),
    (" timeout", NoticeKind.BLOCK_STUCK, re.compile(
        r"\s*(?P<about>nvme\w{1,16}|ata[\d.]{1,8}|mmc\w{1,8}): .{0,60}?\btimeout")),
    ("reset", NoticeKind.BLOCK_STUCK, re.compile(
        r"\s*(?P<about>(?:sd|scsi|hpsa|nvme|ata|mpt\w{1,8}|megaraid\w{0,5}|aacraid|virtio\w{0,8})"
        r"\s?[\w:.\[\]]{0,24}):? .{0,60}?"
        r"(?:resetting (?:device|link|controller|target|host)|(?:device|bus|host|target|controller) reset)")),
    ("abort", NoticeKind.BLOCK_STUCK, re.compile(
        r"\s*(?:sd|scsi) (?P<about>[\d:]{3,20}):.{0,40}?(?:attempting task abort|[Aa]bort command issued|abort)")),
    ("offline", NoticeKind.BLOCK_ERROR, re.compile(
        r"\s*(?:sd|scsi) (?P<about>[\d:]{3,20}):.{0,40}?(?:rejecting I/O to offline device|Device offlined)")),
    ("I/O error", NoticeKind.BLOCK_ERROR, re.compile(
        r".{0,40}?I/O error, dev (?P<about>\w{1,32}), sector")),
    (" swap on ", NoticeKind.SWAP, re.compile(r"\s*Adding \d{1,15}k swap on (?P<about>[^\s.]{1,255})")),
    ("partition", NoticeKind.SWAP, re.compile(r"(?P<about>/dev/\S{1,255})\s{1,80}partition\s{1,20}\d{1,15}\s")),
    ("file\t", NoticeKind.SWAP, re.compile(r"(?P<about>/\S{1,255})\s{1,80}file\s{1,20}\d{1,15}\s")),
    ("drop_caches: ", NoticeKind.DROP_CACHES, re.compile(r"\s*\S{1,40} \((?P<about>\d{1,10})\): drop_caches: \d")),
    ("all_unreclaimable? yes", NoticeKind.MEMORY_LOW, re.compile(r"\s*(?P<about>Node \d{1,4}) ")),
    (": 0100007F:", NoticeKind.SELF_CONNECTED, re.compile(
        rf"\s*\d{{1,6}}: 0100007F:[0-9A-F]{{4}} 0100007F:(?P<about>{_PORTS}) 01 ")),
)  # fmt: skip
_FREE = re.compile(
    r"\s*(?P<about>Node \d{1,4} \w{1,12}) free:(?P<free>\d{1,15})kB (?:boost:\d{1,15}kB )?min:(?P<least>\d{1,15})kB"
)


_OLD_TASK_ENDS = re.compile(rb" 0x(?:(?<=\d 0x)|(?<=\d {2}0x)|(?<=\d {3}0x)|(?<=\d {4}0x))[0-9a-f]{8}")
"""The end of an `OLD_TASK` line. It begins with a literal, so the search is as fast as that for a literal."""
_ALWAYS = (
    "\x1b", "+0x", "[inline]", "task:", "INFO: task ", "Comm: ", "/stack", "Workqueue: ", " held by ", "workqueue ",
    "soft lockup", "LOCKUP", "stall", "kB min:", "kB boost:",
)  # fmt: skip


@cache
def needles_without(full: frozenset[NoticeKind] = frozenset()) -> Needles:
    """The needles of relevant lines outside a stack or list, without the notices of `full` kinds.

    An escape sequence may split a word.
    """
    tokens = (*_ALWAYS, *(token for token, kind, _ in _NOTICES if kind not in full))
    return Needles((token.encode() for token in tokens), _OLD_TASK_ENDS)


def notice_of(text: str) -> tuple[NoticeKind, str] | None:
    """The notice of a single line about storage or memory, with its subject; None for any other line."""
    for token, kind, pattern in _NOTICES:
        if token in text and (found := pattern.match(text)):
            return kind, found.groupdict().get("about") or ""
    if "kB min:" in text or "kB boost:" in text:
        found = _FREE.match(text)
        if found and int(found["free"]) < int(found["least"]):
            return NoticeKind.MEMORY_LOW, found["about"]
    return None
