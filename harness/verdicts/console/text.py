"""Console lines to messages: prefixes are removed, time stamp and printk caller kept.

A line can contain several messages when two processors print at once. So a line is a list of pieces, each with the
time stamp and printk caller (`T123` a task, `C0` a processor) before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LINE_CAP", "Piece", "pieces"]

LINE_CAP = 16_384
"""Maximum length of a line in bytes; the rest of a longer line is dropped."""

_STAMP = re.compile(
    r"(?:<\d{1,3}>)?\[ *(?P<time>\d{1,10}\.\d{3,9})\](?: ?\[ *(?P<context>[TC]\d{1,10})\])? ?"
    r"(?:\(\d{1,4}\)\[\d{1,10}:[^\]\s]{1,32}\])?"
)
_LEAD = re.compile(
    r"(?:<\d{1,3}>)?(?:"
    r"\d{1,3},\d{1,20},(?P<usec>\d{1,20}),[-c+][^;\n]{0,64};"  # /dev/kmsg and extended netconsole
    r"|\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}\] ?"  # dmesg -T
    r"|\d{4}-\d\d-\d\d[T ][\d:]{8}\S{0,20} (?:\S{1,64} kernel: ?)?"  # dmesg --time-format iso, ISO syslog
    r"|[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S{1,64} kernel: ?"  # syslog
    r"|\d{4}/\d\d/\d\d [\d:]{8} "  # a log tool's own date
    r")?"
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]{0,32}[A-Za-z]|[()][0-9A-Z]|[a-zA-Z0-9=>])")


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: its text, and its kernel time stamp in seconds and printk caller if the line has them."""

    text: str
    time_s: float | None = None
    context: str | None = None


def pieces(raw: bytes) -> list[Piece]:
    """Split one line into its messages, at least one; never raises."""
    text = _clean(raw[:LINE_CAP])
    if (stamp := _STAMP.match(text)) and text[:1] == "[" and text.find("[", stamp.end()) < 0:  # nearly every line
        return [Piece(text[stamp.end() :], float(stamp["time"]), stamp["context"])]
    lead = _LEAD.match(text)
    start, time_s = (lead.end(), _microseconds(lead["usec"])) if lead else (0, None)
    stamps = list(_STAMP.finditer(text, start))
    head = text[start : stamps[0].start()] if stamps else text[start:]
    found = [Piece(head, time_s)] if head.strip() or not stamps else []
    for index, stamp in enumerate(stamps):
        end = stamps[index + 1].start() if index + 1 < len(stamps) else len(text)
        found.append(Piece(text[stamp.end() : end], float(stamp["time"]), stamp["context"]))
    return found


def _clean(raw: bytes) -> str:
    text = raw.translate(None, b"\r\0").decode("utf-8", "replace")
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def _microseconds(text: str | None) -> float | None:
    return int(text) / 1e6 if text else None
