"""Stack frames in console messages, for the spellings of all architectures.

x86 and arm64 ` func+0x1/0x2 [module]`, older x86, riscv and s390 ` [<ffffffff81234567>] func+0x1/0x2`, powerpc
`[c0..] [c0..] func+0x1/0x2`, 32-bit arm `[<..>] (func) from [<..>] (caller+0x1/0x2)` and ` func from caller+0x1/0x2`;
`[<0>] func+0x1/0x2` of /proc/PID/stack.
A `?` before a frame marks it as unreliable: the unwinder found the address on the stack. The same mean powerpc's
`(unreliable)` after the frame and s390's parentheses around address and frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Frame", "frame_in", "plain_name", "register_frame", "trace_start"]

_NAME = r"(?P<name>[A-Za-z_<][^\s+()\[\]]{0,255})"
_FRAME = re.compile(
    r"\s*(?:<[A-Z]{2,8}> *)?(?P<maybe>\((?=\[<))?"
    r"(?:\[[<(]?(?:0x)?(?:[0-9a-f]{4,20}|0(?=>))[>)]?\]\s*){0,2}(?P<doubt>\? *)?\(?"
    + _NAME
    + r"\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}(?P<loose>.{0,80} \(unreliable\))?"
)
_FROM = re.compile(
    r"\s*(?:\[<[0-9a-f]{4,20}>\] )?\(?(?P<name>[A-Za-z_][\w.]{0,127})(?:\+0x[0-9a-f/x]{1,20})?\)? from "
    r"(?:\[<[0-9a-f]{4,20}>\] )?\(?(?P<caller>[A-Za-z_][\w.]{0,127})\+0x"
)
_INLINE = re.compile(r"\s+" + _NAME + r" \S{1,200}:\d{1,6} \[inline\]")
_REGISTER = re.compile(
    r"(?:RIP: 0010:|PC is at |pc : |EIP: (?:0060:)?|epc : |NIP \[[0-9a-f]{8,16}\] |Krnl PSW : .{0,60}\()"
    r"(?:\[<[0-9a-f]{4,20}>\] {1,3}){0,2}" + _NAME + r"\+0x"
)
_TRACE = re.compile(r"\s*(?:Call [Tt]race ?:|[Bb]acktrace ?:|stack backtrace:)")
_SUFFIX = re.compile(r"(?:\.(?:isra|constprop|part|cold|llvm|localalias|clone|\d{1,20})){1,12}$")


@dataclass(frozen=True, slots=True)
class Frame:
    """A function on a stack, with its caller if the same line names it; `sure` unless marked unreliable."""

    name: str
    sure: bool = True
    caller: str | None = None


def frame_in(text: str) -> Frame | None:
    """The stack frame in a message, or None."""
    if "+0x" not in text:
        inline = _INLINE.match(text) if "[inline]" in text else None
        return Frame(plain_name(inline["name"])) if inline else None
    if found := _FRAME.match(text):
        guessed = found["doubt"] or found["maybe"] or found["loose"]
        return Frame(plain_name(found["name"]), sure=not guessed)
    found = _FROM.match(text)
    return Frame(plain_name(found["name"]), caller=plain_name(found["caller"])) if found else None


def register_frame(text: str) -> Frame | None:
    """The function that the kernel's program counter points to, in a register dump; None for user space."""
    found = _REGISTER.match(text.lstrip()) if "+0x" in text else None
    return Frame(plain_name(found["name"])) if found else None


def trace_start(text: str) -> bool:
    """Whether the message announces a stack trace."""
    return _TRACE.match(text) is not None


def plain_name(name: str) -> str:
    """The function as its source spells it: without the suffixes that compilers add (`.isra.0`, `.cold`)."""
    return _SUFFIX.sub("", name) if "." in name else name
