"""The headlines: which line of a console opens which kind of finding.

Each headline names a `token`, a literal that every line it matches must hold. The scanner looks for the tokens in
big blocks and at nothing else, so a headline without its token cannot exist, by construction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.model.finding import FindingKind as Kind
from harness.verdicts.console.text import Piece

__all__ = ["HEADLINES", "IGNORED", "TOKENS", "Headline", "Match", "find_headline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A line that opens a finding.

    `regex` is matched at the start of a message, or searched within it if `anywhere`; its groups `task`, `pid`,
    `cpu` and `function` fill the finding. `single` is complete with its own line; `prelude` is a remark that the
    kernel prints just before the report proper; `continues` may be the second line of another oops;
    `stamped` counts only where the kernel's time stamp shows that no program wrote it; `fragment` is an inner
    line of a memory report, a headline only where the head was lost; `bare` may come
    without a stack.
    """

    kind: Kind
    token: str
    regex: re.Pattern[str]
    anywhere: bool = False
    single: bool = False
    prelude: bool = False
    continues: bool = False
    stamped: bool = False
    fragment: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A headline and what its line said."""

    headline: Headline
    title: str
    fields: dict[str, str | None]


_FLAGS = {
    "a": "anywhere", "s": "single", "p": "prelude", "c": "continues", "k": "stamped", "f": "fragment", "b": "bare"
}  # fmt: skip


def _line(kind: Kind, token: str, regex: str, flags: str = "") -> Headline:
    """A headline; `flags` are letters of `_FLAGS`."""
    return Headline(kind=kind, token=token, regex=re.compile(regex), **{_FLAGS[flag]: True for flag in flags})


_TASK = r"(?P<task>[^\n]{1,64}):(?P<pid>\d{1,9})"
_PLACE = r"\S{1,160}:\d{1,6}"
_FUNCTION = r"(?P<function>[A-Za-z_][\w.$]{0,127})\+0x"

_HANGS = (
    _line(Kind.HUNG_TASK, "INFO: ",
          rf"INFO: task {_TASK} (?:blocked (?:in I/O wait )?|can't die )for more than \d{{1,9}}", "a"),
    _line(Kind.SOFT_LOCKUP, "BUG: ",
          rf"BUG: soft lockup - CPU#(?P<cpu>\d{{1,5}}) stuck for \d{{1,9}}s!(?: \[{_TASK}\])?", "a"),
    _line(Kind.SOFT_LOCKUP, "BUG: ", r"BUG: soft lockup(?: detected)?", "a"),
    _line(Kind.HARD_LOCKUP, "LOCKUP",
          r"(?!Kernel panic).{0,64}[Ww]atchdog detected hard LOCKUP on cpu ?(?P<cpu>\d{1,5})"),
    _line(Kind.RCU_STALL, "INFO: ", r"INFO: rcu\w{0,32} (?:self-)?detected (?:expedited )?stalls?\b", "a"),
    _line(Kind.WORKQUEUE_LOCKUP, "BUG: ", r"BUG: workqueue lockup - pool(?: cpus=(?P<cpu>\d{1,5}))?", "a"),
)  # fmt: skip
_SANITIZERS = (
    _line(Kind.SANITIZER, "BUG: ",
          rf"BUG: K(?:[AMC]S[Aa][Nn]|FENCE): (?:[\w-]{{1,40}} ){{1,6}}?in {_FUNCTION}", "a"),
    _line(Kind.SANITIZER, "BUG: ", r"BUG: K(?:[AMC]S[Aa][Nn]|FENCE): \S", "a"),
    _line(Kind.SANITIZER, "UBSAN: ", r"UBSAN: (?!.{0,40}(?:enabled|disabled)\b)\S"),
)  # fmt: skip
_LOCKDEP = (
    _line(Kind.LOCKDEP, "INFO: ",
          r"(?:\[ )?INFO: (?:possible (?:\w+ ){1,4}(?:dependency|recursive locking|deadlock|lock inversion)"
          r"|inconsistent lock state|suspicious RCU usage|suspicious rcu_dereference"
          r"|.{1,40}-safe -> .{1,40}-unsafe lock"
          r"|possible recursive locking|trying to register non-static key)"),
    _line(Kind.LOCKDEP, "WARNING: ",
          r"(?:\[ )?WARNING: (?:possible (?:\w+ ){1,4}(?:dependency|locking|deadlock|inversion)"
          r"|inconsistent lock state|suspicious RCU usage|bad unlock balance|held lock freed|locking bug"
          r"|[Nn]ested lock was not taken|lock held (?:when|at)|.{1,80} still has locks held"
          r"|.{1,40}-safe -> .{1,40}-unsafe lock)"),
    _line(Kind.LOCKDEP, "WARNING: ",
          rf"WARNING: .{{0,80}}kernel/locking/lockdep\.c:\d{{1,6}}(?: (?:at )?{_FUNCTION})?"),
    _line(Kind.LOCKDEP, "BUG: ",
          r"(?:\[ )?BUG: (?:bad unlock balance|bad contention|held lock freed|lock held (?:when|at)"
          r"|.{1,80} still has locks held|[Nn]ested lock was not taken|[Ii]nvalid wait context"
          r"|workqueue leaked (?:lock|atomic)|using \S{1,64} in preemptible|MAX_\w+ too low"
          r"|key \S{1,40} (?:not in|has not)"
          r"|(?:spin|rw|raw_spin)lock |.{1,40}lock (?:recursion|bad magic))"),
    _line(Kind.ATOMIC_SLEEP, "BUG: ",
          r"BUG: (?:scheduling while atomic|sleeping function called|atomic scheduling)", "a"),
    _line(Kind.ATOMIC_SLEEP, "BUG: ", r"BUG: Function entered with|BUG: voluntary context switch within RCU"),
)  # fmt: skip
_PANICS = (
    _line(Kind.PANIC, "Kernel panic - not syncing",
          rf"(?<!end )Kernel panic - not syncing(?:: stack-protector: .{{0,60}}in: {_FUNCTION})?", "a"),
)  # fmt: skip
_OOPSES = (
    _line(Kind.OOPS, "BUG: ", r"BUG: (?:[Uu]nable to handle|kernel NULL pointer dereference)", "a"),
    _line(Kind.OOPS, "Unable to handle kernel", r"(?:CPU \d{1,5} )?Unable to handle kernel ", "a"),
    _line(Kind.OOPS, "BUG ", r"[Kk]ernel BUG (?:at |\[verbose )", "a"),
    _line(Kind.OOPS, "BUG: ",
          r"BUG: (?:(?:TASK |IRQ |NMI )?stack guard page was hit|Bad page (?:state|map)|Bad rss-counter|Dentry "
          r"|non-zero |corrupted list|Object already free|bad usercopy|failure at |looking up invalid"
          r"|unsupported)", "b"),
    _line(Kind.OOPS, "BUG ", r"BUG \S{1,64} +\((?:Not tainted|Tainted)"),
    _line(Kind.OOPS, "INFO: ", r"INFO: (?:(?:Freed|Allocated) in \S{1,160} age=|(?:Slab|Object) 0x)", "af"),
    _line(Kind.OOPS, "VFS: ",
          r"VFS: (?:Busy inodes after unmount|Close: file count is (?:0|zero)|brelse: Trying to free free)", "b"),
    _line(Kind.OOPS, "[#", r"(?!traps: )[\w ,'()/-]{1,64}:?[^\[]{0,100}\[#\d{1,5}\]", "c"),
    _line(Kind.OOPS, "[#", r"general protection fault(?!.{0,40}\bip:)", "c"),
    _line(Kind.OOPS, "[#", r"Internal error: ", "c"),
    _line(Kind.OOPS, "PANIC", r"(?:traps: )?PANIC: double fault"),
    _line(Kind.OOPS, "WARNING: ", r"WARNING: .{0,80}lib/list_debug\.c:\d"),
    _line(Kind.OOPS, "CFI ", r"CFI ", "p"),
)  # fmt: skip
_MEMORY = (
    _line(Kind.MEMORY_LEAK, "BUG: ", r"BUG: memory leak"),
    _line(Kind.MEMORY_LEAK, "kmemleak", r"kmemleak: \d{1,9} new suspected memory leaks", "s"),
    _line(Kind.OOM_KILL, "invoked oom-killer", r"(?P<invoker>\S[^\n]{0,63}) invoked oom-killer"),
    _line(Kind.OOM_KILL, "memory: Kill",
          r"(?:Memory cgroup )?[Oo]ut of memory(?: \([^)]{0,40}\))?: Kill(?:ed)? process"
          r" (?P<pid>\d{1,9}) \((?P<task>[^)\n]{1,64})\)", "c"),
    _line(Kind.PAGE_ALLOC_FAILURE, "page allocation ",
          r"(?:warn_alloc: )?(?P<task>[^\n]{1,64}?):? page allocation (?:failure|stalls for)"),
    _line(Kind.PAGE_ALLOC_FAILURE, "SLUB", r"SLUB: Unable to allocate memory"),
)  # fmt: skip
_STORAGE = (
    _line(Kind.STORAGE_TIMEOUT, "block nbd",
          r"block nbd\d{1,5}: (?:Possible stuck request|Connection timed out|Dead connection"
          r"|(?:Send|Receive) (?:control|data) failed"
          r"|Attempted send on invalid socket)", "s"),
    _line(Kind.STORAGE_TIMEOUT, "not respond", r"(?:nfs|lockd|NFS|rpc): server .{1,255} not responding", "s"),
    _line(Kind.STORAGE_TIMEOUT, "not respond", r"CIFS:.{1,255} has not responded in", "s"),
    _line(Kind.STORAGE_TIMEOUT, "ping timeout of", r"(?:iscsi: )?connection\d{1,9}:\d{1,9}: ping timeout of", "s"),
    _line(Kind.STORAGE_TIMEOUT, "recovery timed out", r"(?:iscsi: )?session\d{1,9}: session recovery timed out", "s"),
    _line(Kind.STORAGE_TIMEOUT, "transmit timeout", r"\w{1,15}: transmit timeout: latency", "s"),
    _line(Kind.STORAGE_TIMEOUT, "timing out",
          r"\w{1,15}: timing out; \d|(?:sd|scsi) [\d:]{7,24} .{0,40}timing out command", "s"),
    _line(Kind.STORAGE_TIMEOUT, "WATCHDOG", r"NETDEV WATCHDOG: ib\w{0,12} .{0,80}timed out", "s"),
    _line(Kind.STORAGE_TIMEOUT, " QID ", r"nvme \S{1,32}: I/O .{1,80} timeout", "s"),
    _line(Kind.STORAGE_TIMEOUT, "DID_TIME_OUT", r"(?:sd|scsi|sr) [\d:]{7,24}.{1,120}hostbyte=DID_TIME_OUT", "s"),
)  # fmt: skip
_REST = (
    _line(Kind.WARNING, "WARNING: ",
          rf"WARNING: (?:CPU: (?P<cpu>\d{{1,5}}) PID: (?P<pid>-?\d{{1,10}}) )?at {_PLACE}(?: {_FUNCTION})?"),
    _line(Kind.WARNING, "WARNING: ",
          rf"WARNING: {_PLACE} at (?:{_FUNCTION}|0x)[^,]{{0,64}}"
          r"(?:, CPU#(?P<cpu>\d{1,5}): (?P<task>[^\n]{1,64})/(?P<pid>\d{1,9}))?"),
    _line(Kind.WARNING, "WARNING: ", r"WARNING: \S", "kb"),
    _line(Kind.OOPS, "BUG: ", r"BUG: \S", "b"),
)  # fmt: skip

HEADLINES: tuple[Headline, ...] = (
    *_HANGS, *_SANITIZERS, *_LOCKDEP, *_PANICS, *_OOPSES, *_MEMORY, *_STORAGE, *_REST
)  # fmt: skip
"""In the order they are tried; the first that matches a message wins."""

IGNORED = re.compile(
    r"(?:WARNING|BUG): (?:the mand mount option|Unprivileged eBPF|See https?:|kernel not compiled|Fastboot)"
    r"|WARNING: (?:.{0,80}(?:deprecated|not recommended|obsolete|unsafe for production|insecure|legacy))"
    r"|WARNING: (?:.{0,40}Permanently added|REMOTE HOST|UNPROTECTED|apt does not)"
)
"""Messages that look like a headline and report nothing broken."""

TOKENS: tuple[str, ...] = tuple(dict.fromkeys(headline.token for headline in HEADLINES))


def find_headline(piece: Piece) -> Match | None:
    """The headline in one message, or None."""
    if not any(token in piece.text for token in TOKENS):
        return None
    message = piece.text.strip()
    if IGNORED.match(message):
        return None
    for headline in HEADLINES:
        if headline.token not in message or (headline.stamped and piece.time_s is None):
            continue
        if found := _apply(headline, message):
            return found
    return None


_SPEAKER = re.compile(r"(?:(?:watchdog|NMI watchdog|rcu|workqueue|\(NULL device \*\)): ){1,2}")


def _apply(headline: Headline, message: str) -> Match | None:
    if headline.anywhere:
        found = headline.regex.search(message)
    else:
        speaker = _SPEAKER.match(message)
        found = headline.regex.match(message, speaker.end() if speaker else 0)
    if found is None:
        return None
    return Match(headline, message[found.start() : found.start() + 240].rstrip(), found.groupdict())
