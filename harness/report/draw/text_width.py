"""Width and line breaks of text, measured in DejaVu Sans, which is wider than the page's font."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from harness.results.text import plain_line

_WORDS = re.compile(r"\S+\s*")
_PARTS = re.compile(r".+?(?:[_./:-](?=\w)|$)")  # a kernel function's name may be broken after these characters
_LETTERS = re.compile(r".")
_SAMPLE = 100.0


@dataclass(frozen=True, slots=True)
class Face:
    """A type: its size and the distance of its lines in pixels, and whether it is bold."""

    size: float
    leading: float
    bold: bool = False


def wide(text: str, face: Face) -> float:
    """The width of one line in pixels."""
    return sum(_letter(letter, face.bold) for letter in text) * face.size / _SAMPLE


def broken(text: str, face: Face, width: float, most: int) -> list[str]:
    """`text` in at most `most` lines, none wider than `width` pixels; an ellipsis marks a cut."""
    lines: list[str] = []
    for piece in _pieces(plain_line(text, 400), face, width):
        if lines and wide((lines[-1] + piece).rstrip(), face) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    lines = [line.rstrip() for line in lines]
    if len(lines) > most:
        last = lines[most - 1]
        while last and wide(last + "…", face) > width:
            last = last[:-1]
        lines[most - 1 :] = [last.rstrip() + "…"]
    return lines


def _pieces(text: str, face: Face, width: float) -> Iterator[str]:
    """Words; a word that is too wide in parts, and a part that is too wide in letters."""
    for word in _WORDS.findall(text):
        fits = wide(word.rstrip(), face) <= width
        for part in (word,) if fits else _PARTS.findall(word):
            yield from (part,) if wide(part.rstrip(), face) <= width else _LETTERS.findall(part)


@functools.cache
def _letter(letter: str, bold: bool) -> float:
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=_SAMPLE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's browser has it
        return float(TextToPath().get_text_width_height_descent(letter, font, False)[0])
