"""A diagnosis in the terminal: class, wait chain, evidence and remedies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from harness.model.diagnosis import Diagnosis, Node, NodeKind
from harness.model.hang_classes import HANG_CLASSES, HangClass, Remedy
from harness.report.read.chain_words import End, Wait, cited_lines, cycle_pairs, node_words, waits
from harness.report.read.words import CONFIDENCE
from harness.results.text import plain

# Replacements for characters that a terminal's encoding lacks; any other character becomes an escape.
_ASCII = str.maketrans({"↩": "<-", "×": "x", "←": "<-", "→": "->", "…": "...", "–": "-", "’": "'", "“": '"', "”": '"'})
_LIMIT = 2000


def render(diagnosis: Diagnosis) -> RenderableType:
    """The diagnosis as something rich can print, in ASCII where the terminal's encoding has no more."""
    return _View(diagnosis)


class _View:
    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis
        self._ascii = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        self._ascii = options.ascii_only
        yield Panel(Group(*self._parts()), title=Text("diagnosis"), title_align="left", border_style="dim")

    def _parts(self) -> Iterator[RenderableType]:
        found = self._diagnosis
        yield self._text(found.title, style="bold")
        if found.hang_class is HangClass.UNKNOWN:
            yield self._text(f"class: {HANG_CLASSES[found.hang_class].title}")
        else:
            yield self._text(f"class: {HANG_CLASSES[found.hang_class].title} ({found.hang_class.value})")
            yield self._text(f"confidence: {found.confidence.value}, {CONFIDENCE[found.confidence]}", style="dim")
        if found.explanation:
            yield Padding(self._text(found.explanation), (1, 0, 0, 0))
        if found.nodes:
            yield self._heading("who waits for what")
            yield from self._trees()
        if found.leaves:
            yield self._text(f"where the chain ends: {found.leaves}")
        yield from self._list("evidence", cited_lines(found.evidence))
        yield from self._list("what would confirm it", found.confirm)
        yield from self._list("what is known to help", map(_remedy, found.remedies))

    def _trees(self) -> Iterator[Tree]:
        in_cycle = cycle_pairs(self._diagnosis)
        path: list[Tree] = []
        for wait in waits(self._diagnosis):
            label = self._wait(wait, in_cycle)
            if wait.depth == 0:
                if path:
                    yield path[0]
                path = [Tree(label, guide_style="dim")]
            else:
                del path[wait.depth :]
                path.append(path[-1].add(label))
        if path:
            yield path[0]

    def _wait(self, wait: Wait, in_cycle: frozenset[tuple[str, str]]) -> Text:
        text, named = Text(), _node(wait.node)
        if wait.edge is not None and named in wait.edge.label:
            named = ""  # avoids "waits for free memory: free memory"
        if wait.edge is not None:
            red = (wait.edge.waiter, wait.edge.awaited) in in_cycle
            doubt = "" if wait.edge.sure else " (implied)"
            text.append_text(self._text(f"{wait.edge.label}{doubt}", style="red" if red else "dim"))
        if named:
            colon = ": " if text else ""
            text.append_text(self._text(colon + named, style="bold" if wait.end is End.OPEN else ""))
        if wait.end is End.CLOSES:
            text.append_text(self._text(" ↩ the circle is closed", style="bold red"))
        elif wait.end is End.SHOWN:
            text.append_text(self._text(" (see above)", style="dim"))
        elif wait.node.detail:
            text.append_text(self._text(f", {wait.node.detail}"))
        return text

    def _list(self, heading: str, lines: Iterable[str]) -> Iterator[RenderableType]:
        texts = [self._text(line) for line in lines]
        if texts:
            yield self._heading(heading)
            yield from (Padding(text, (0, 0, 0, 2)) for text in texts)

    def _heading(self, words: str) -> RenderableType:
        return Padding(Text(words, style="bold"), (1, 0, 0, 0))

    def _text(self, words: str, style: str = "") -> Text:
        return Text(printable(words, ascii_only=self._ascii), style=style)


def printable(words: str, *, ascii_only: bool) -> str:
    """`words` as one line that is safe in any terminal, even if a guest wrote them."""
    line = plain(words).replace("\n", " ")[:_LIMIT]
    if ascii_only:
        line = line.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return line


def _node(node: Node) -> str:
    return f"task {node_words(node)}" if node.kind is NodeKind.TASK else node_words(node)


def _remedy(remedy: Remedy) -> str:
    return remedy.text + (f" (commit {remedy.commit})" if remedy.commit else "")
