"""The console scanner: bytes in, in chunks of any size; findings out."""

from __future__ import annotations

from collections import deque

from harness.model.finding import CRASHES, Finding
from harness.model.finding import FindingKind as Kind
from harness.verdicts.console.boot import BootWatch
from harness.verdicts.console.headline import Match
from harness.verdicts.console.patterns import find_headline
from harness.verdicts.console.prefilter import Hits, may_match
from harness.verdicts.console.report import Report
from harness.verdicts.console.storage_lines import ORDERLY
from harness.verdicts.console.text import LINE_CAP, Piece, pieces

__all__ = ["Scanner", "scan"]

_BLOCK = 1 << 16
_MOST_OPEN = 8
_ECHO_LINES = 50
"""For so many lines after a message about a device, its consequences are not reported again."""
_STALLS = frozenset({Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.RCU_STALL})


class Scanner:
    """Reads a console as it arrives.

    The findings depend on the bytes alone, not on the size of the chunks. Memory is bounded for any input: one line
    of at most `LINE_CAP` bytes and a few reports of bounded size are kept.
    """

    def __init__(self) -> None:
        self._carry = bytearray()
        self._line = 0
        self._open: list[Report] = []
        self._boot = BootWatch()
        self._recent: deque[tuple[Kind, str, float]] = deque(maxlen=64)
        self._devices: deque[tuple[str, int]] = deque(maxlen=64)
        self._out: list[Finding] = []

    @property
    def pending(self) -> Finding | None:
        """The finding so far of the oldest report that is not complete."""
        return self._open[0].finding() if self._open else None

    @property
    def open_since(self) -> int | None:
        """Line of the oldest headline whose report is not complete; None if there is none."""
        return min((report.line for report in self._open), default=None)

    def feed(self, data: bytes) -> list[Finding]:
        """Read more bytes; return the findings completed by them."""
        clean = data.translate(None, b"\0") if b"\0" in data else data
        start = clean.find(b"\n") + 1
        if start == 0:
            self._keep(clean)
            return self._completed()
        if self._carry:
            self._keep(clean[: start - 1])
            self._flush()
        else:
            start = 0
        end = clean.rfind(b"\n") + 1
        self._blocks(clean, start, end)
        self._keep(clean[end : end + LINE_CAP])
        return self._completed()

    def close(self) -> list[Finding]:
        """End the console; return the findings of reports that were still open."""
        if self._carry:
            self._flush()
        self._finish(list(self._open))
        return self._completed()

    def _completed(self) -> list[Finding]:
        out, self._out = self._out, []
        return sorted(out, key=lambda finding: finding.line)

    def _keep(self, part: bytes) -> None:
        self._carry += part[: LINE_CAP - len(self._carry)]

    def _flush(self) -> None:
        raw = bytes(self._carry)
        self._carry.clear()
        has_token = may_match(raw)
        if self._idle and not has_token:
            self._line += 1
        else:
            self._look(raw, has_token)

    @property
    def _idle(self) -> bool:
        return not self._open and self._boot.settled

    def _blocks(self, data: bytes, start: int, end: int) -> None:
        while start < end:
            stop = data.rfind(b"\n", start, min(end, start + _BLOCK)) + 1 or data.find(b"\n", start) + 1
            self._block(data[start:stop])
            start = stop

    def _block(self, block: bytes) -> None:
        """Process the lines of a block of whole lines."""
        hits, position = Hits(block), 0
        while position < len(block):
            hit = hits.after(position)
            if self._idle:
                position = self._skip(block, position, hit)
            if position < len(block):
                end = block.index(b"\n", position)
                self._look(block[position : min(end, position + LINE_CAP)], hit < end)
                position = end + 1

    def _skip(self, block: bytes, position: int, hit: int) -> int:
        """Count the lines before the one that contains `hit`; return the offset where that line starts."""
        start = block.rfind(b"\n", position, hit) + 1 if hit < len(block) else len(block)
        start = max(start, position)
        self._line += block.count(b"\n", position, start)
        return start

    def _look(self, raw: bytes, has_token: bool) -> None:
        """Process one line; `has_token`: it contains a token, so it may have a headline or a banner."""
        self._line += 1
        for piece in pieces(raw):
            if has_token and self._boot.shows(piece):
                self._reboot(piece)
            else:
                self._boot.watch(piece)
                self._message(piece, has_token)
        for report in self._open:
            report.expire(self._line)
        self._finish([report for report in self._open if report.done])

    def _message(self, piece: Piece, has_token: bool) -> None:
        if has_token and (match := find_headline(piece)):
            self._headline(piece, match)
        elif has_token and (orderly := ORDERLY.match(piece.text)):
            self._devices.append((orderly["device"], self._line))
        elif report := self._owner(piece):
            report.add(piece, self._line)

    def _reboot(self, piece: Piece) -> None:
        self._finish(list(self._open))
        self._out.append(
            Finding(kind=Kind.REBOOT, title=piece.text.strip()[:240], line=self._line, time_s=piece.time_s)
        )

    def _headline(self, piece: Piece, match: Match) -> None:
        if match.headline.kind in CRASHES:
            self._boot.crashed()
        if any(report.absorbs(match, self._line) for report in self._open if _related(report, match, piece)):
            return
        if self._repeated(piece, match) or self._echoes(match):
            return
        report = Report(match, self._line, piece.time_s, piece.context)
        if report.done:
            self._out.append(report.finding())
            return
        self._finish([other for other in self._open if other.context == piece.context])
        self._finish(self._open[: max(0, len(self._open) - _MOST_OPEN + 1)])
        self._open.append(report)

    def _repeated(self, piece: Piece, match: Match) -> bool:
        """Whether a log daemon wrote the same message to the console again."""
        if piece.time_s is None:
            return False
        key = (match.headline.kind, match.title, piece.time_s)
        if key in self._recent:
            return True
        self._recent.append(key)
        return False

    def _echoes(self, match: Match) -> bool:
        """Whether a message is a consequence of the message about the same device just before it."""
        device = match.fields.get("device")
        if device is None:
            return False
        is_echo = any(name == device and self._line - line <= _ECHO_LINES for name, line in self._devices)
        self._devices.append((device, self._line))
        return match.headline.echo and is_echo

    def _owner(self, piece: Piece) -> Report | None:
        """The open report that a message belongs to."""
        for report in reversed(self._open):
            if report.context == piece.context:
                return report
        for report in reversed(self._open):
            if report.expects(piece.context) or (report.kind in _STALLS and (piece.context or "")[:1] == "C"):
                return report
        return None

    def _finish(self, reports: list[Report]) -> None:
        for report in reports:
            self._open.remove(report)
            self._out.append(report.finding())


def _related(report: Report, match: Match, piece: Piece) -> bool:
    both_stalls = report.kind is Kind.RCU_STALL and match.headline.kind is Kind.RCU_STALL
    return both_stalls or report.context == piece.context


def scan(data: bytes) -> list[Finding]:
    """The findings of a whole console, in the order of their headlines."""
    scanner = Scanner()
    findings = scanner.feed(data)
    return sorted(findings + scanner.close(), key=lambda finding: finding.line)
