"""The table of headlines: which console line opens which kind of finding.

Each headline names a `token`, a literal that every matching line contains. The scanner searches big blocks for the
tokens only, so a line without a token never opens a finding.
"""

from __future__ import annotations

import re

from harness.model.finding import FindingKind as Kind
from harness.verdicts.console.headline import FUNCTION, PLACE, TASK, Headline, Match, line
from harness.verdicts.console.storage_lines import STORAGE
from harness.verdicts.console.text import Piece

__all__ = ["HEADLINES", "IGNORED", "TOKENS", "find_headline"]

_HANGS = (
    line(Kind.HUNG_TASK, "INFO: ",
         rf"INFO: task {TASK} (?:blocked (?:in I/O wait )?|can't die )for more than \d{{1,9}}", "a"),
    line(Kind.SOFT_LOCKUP, "BUG: ",
         rf"BUG: soft lockup - CPU#(?P<cpu>\d{{1,5}}) stuck for \d{{1,9}}s!(?: \[{TASK}\])?", "a"),
    line(Kind.SOFT_LOCKUP, "BUG: ", r"BUG: soft lockup(?: detected)?", "a"),
    line(Kind.HARD_LOCKUP, "LOCKUP",
         r"(?!Kernel panic).{0,64}[Ww]atchdog detected (?:hard )?LOCKUP on (?:cpu|CPU) ?(?P<cpu>\d{1,5})"),
    # powerpc
    line(Kind.HARD_LOCKUP, "LOCKUP", r"CPU \d{1,5} detected hard LOCKUP on (?:other )?CPUs? (?P<cpu>\d{1,5})"),
    line(Kind.HARD_LOCKUP, "LOCKUP", r"CPU (?P<cpu>\d{1,5}) (?:self-detected hard|Hard) LOCKUP"),
    line(Kind.RCU_STALL, "INFO: ", r"INFO: rcu\w{0,32} (?:self-)?detected (?:expedited )?stalls?\b", "a"),
    line(Kind.WORKQUEUE_LOCKUP, "BUG: ", r"BUG: workqueue lockup - pool(?: cpus=(?P<cpu>\d{1,5}))?", "a"),
    # a waiting task that reports this itself every ten seconds
    line(Kind.HUNG_TASK, "unregister_netdevice", r"unregister_netdevice: waiting for \S{1,64} to become free", "asb"),
)  # fmt: skip
_SANITIZERS = (
    line(Kind.SANITIZER, "BUG: ",
         rf"BUG: K(?:[AMC]S[Aa][Nn]|FENCE): (?:[\w-]{{1,40}} ){{1,6}}?in {FUNCTION}", "a"),
    line(Kind.SANITIZER, "BUG: ", r"BUG: K(?:[AMC]S[Aa][Nn]|FENCE): \S", "a"),
    line(Kind.SANITIZER, "UBSAN: ", r"UBSAN: (?!.{0,40}(?:enabled|disabled)\b)\S"),
)  # fmt: skip
_LOCKDEP = (
    line(Kind.LOCKDEP, "INFO: ",
         r"(?:\[ )?INFO: (?:possible (?:\w+ ){1,4}(?:dependency|recursive locking|deadlock|lock inversion)"
         r"|inconsistent lock state|suspicious RCU usage|suspicious rcu_dereference"
         r"|.{1,40}-safe -> .{1,40}-unsafe lock"
         r"|possible recursive locking|trying to register non-static key)"),
    line(Kind.LOCKDEP, "WARNING: ",
         r"(?:\[ )?WARNING: (?:possible (?:\w+ ){1,4}(?:dependency|locking|deadlock|inversion)"
         r"|inconsistent lock state|suspicious RCU usage|bad unlock balance|held lock freed|locking bug"
         r"|[Nn]ested lock was not taken|lock held (?:when|at)|.{1,80} still has locks held"
         r"|.{1,40}-safe -> .{1,40}-unsafe lock)"),
    line(Kind.LOCKDEP, "WARNING: ",
         rf"WARNING: .{{0,80}}kernel/locking/lockdep\.c:\d{{1,6}}(?: (?:at )?{FUNCTION})?"),
    line(Kind.LOCKDEP, "BUG: ",
         r"(?:\[ )?BUG: (?:bad unlock balance|bad contention|held lock freed|lock held (?:when|at)"
         r"|.{1,80} still has locks held|[Nn]ested lock was not taken|[Ii]nvalid wait context"
         r"|workqueue leaked (?:lock|atomic)|using \S{1,64} in preemptible|MAX_\w+ too low"
         r"|key \S{1,40} (?:not in|has not)"
         r"|(?:spin|rw|raw_spin)lock |.{1,40}lock (?:recursion|bad magic))"),
    line(Kind.ATOMIC_SLEEP, "BUG: ",
         r"BUG: (?:scheduling while atomic|sleeping function called|atomic scheduling)", "a"),
    line(Kind.ATOMIC_SLEEP, "BUG: ", r"BUG: Function entered with|BUG: voluntary context switch within RCU"),
)  # fmt: skip
_PANICS = (
    line(Kind.PANIC, "Kernel panic - not syncing",
         rf"(?<!end )Kernel panic - not syncing(?:: stack-protector: .{{0,60}}in: {FUNCTION})?", "a"),
    line(Kind.PANIC, "trusty: panic", r"trusty: panic ?\(", "b"),
)  # fmt: skip
_OOPSES = (
    line(Kind.OOPS, "BUG: ", r"BUG: (?:[Uu]nable to handle|kernel NULL pointer dereference)", "a"),
    line(Kind.OOPS, "Unable to handle kernel", r"(?:CPU \d{1,5} )?Unable to handle kernel ", "a"),
    line(Kind.OOPS, "BUG ", r"[Kk]ernel BUG (?:at |\[verbose )", "a"),
    line(Kind.OOPS, "BUG: ",
         r"BUG: (?:(?:TASK |IRQ |NMI )?stack guard page was hit|Bad page (?:state|map|cache)|Bad rss-counter|Dentry "
         r"|non-zero |corrupted list|Object already free|bad usercopy|failure at |looking up invalid"
         r"|unsupported)", "b"),
    line(Kind.OOPS, "BUG ", r"BUG \S{1,64} +\((?:Not tainted|Tainted)"),
    line(Kind.OOPS, "INFO: ", r"INFO: (?:(?:Freed|Allocated) in \S{1,160} age=|(?:Slab|Object) 0x)", "af"),
    line(Kind.OOPS, "VFS: ",
         r"VFS: (?:Busy inodes after unmount|Close: file count is (?:0|zero)|brelse: Trying to free free)", "b"),
    line(Kind.OOPS, "[#", r"(?!traps: )[\w ,'()/-]{1,64}:?[^\[]{0,100}\[#\d{1,5}\]", "c"),
    line(Kind.OOPS, "[#", r"general protection fault(?!.{0,40}\bip:)", "c"),
    line(Kind.OOPS, "[#", r"Internal error: ", "c"),
    line(Kind.OOPS, "PANIC", r"(?:traps: )?PANIC: (?:double fault|early exception)"),
    line(Kind.OOPS, "panicked", r"rust_kernel: panicked at "),
    line(Kind.OOPS, "WARNING: ", r"WARNING: .{0,80}lib/list_debug\.c:\d"),
    line(Kind.OOPS, "CFI ", r"CFI ", "p"),
)  # fmt: skip
_KILLED = r"Kill(?:ed)? process (?P<pid>\d{1,9}) \((?P<task>[^)\n]{1,64})\)"
_MEMORY = (
    line(Kind.MEMORY_LEAK, "BUG: ", r"BUG: memory leak"),
    line(Kind.MEMORY_LEAK, "kmemleak", r"kmemleak: \d{1,9} new suspected memory leaks", "s"),
    line(Kind.OOM_KILL, "invoked oom-killer", r"(?P<invoker>\S[^\n]{0,63}) invoked oom-killer"),
    line(Kind.OOM_KILL, "memory: Kill", rf"(?:Memory cgroup )?[Oo]ut of memory: {_KILLED}", "c"),
    line(Kind.OOM_KILL, "_task): Kill", rf"Out of memory \(oom_kill_allocating_task\): {_KILLED}", "c"),
    line(Kind.PAGE_ALLOC_FAILURE, "page allocation ",
         r"(?:warn_alloc: )?(?P<task>[^\n]{1,64}?):? page allocation (?:failure|stalls for)"),
    line(Kind.PAGE_ALLOC_FAILURE, "SLUB", r"SLUB: Unable to allocate memory"),
)  # fmt: skip
_REST = (
    line(Kind.WARNING, "WARNING: ",
         rf"WARNING: (?:CPU: (?P<cpu>\d{{1,5}}) PID: (?P<pid>-?\d{{1,10}}) )?at {PLACE}(?: {FUNCTION})?"),
    line(Kind.WARNING, "WARNING: ",
         rf"WARNING: (?:\[[^\]\n]{{1,128}}\] )?{PLACE} at (?:{FUNCTION}|0x)[^,]{{0,64}}"
         r"(?:, CPU#(?P<cpu>\d{1,5}): (?P<task>[^\n]{1,64})/(?P<pid>\d{1,9}))?"),
    line(Kind.WARNING, "WARNING: ", r"WARNING: \S", "kb"),
    line(Kind.OOPS, "BUG: ", r"BUG: \S", "kb"),
)  # fmt: skip

HEADLINES: tuple[Headline, ...] = (
    *_HANGS, *_SANITIZERS, *_LOCKDEP, *_PANICS, *_OOPSES, *_MEMORY, *STORAGE, *_REST
)  # fmt: skip
"""In the order of matching: the first that matches a message wins."""

IGNORED = re.compile(
    r"(?:WARNING|BUG): (?:[Tt]he mand mount option|Unprivileged eBPF|See https?:|kernel not compiled|Fastboot)"
    r"|WARNING: (?:workqueue cpumask: |fbcon: Driver|Ignoring cmdline option|polling idle and HT|device requires firm"
    r"|check, if the bios|bogus zero IO-APIC|Unsupported flag value|/etc/|Spectre)"
    r"|BUG: (?:no syscalls can create|.{1,20}unexpected failures \(out of|skipping previously registered)"
    r"|WARNING: (?:.{0,80}(?:deprecated|not recommended|obsolete|unsafe for production|insecure|legacy))"
    r"|WARNING: (?:.{0,40}Permanently added|REMOTE HOST|UNPROTECTED|apt does not)"
)
"""Messages that look like a headline but report no fault."""

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
