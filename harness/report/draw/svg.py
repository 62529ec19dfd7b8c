"""A matplotlib SVG document → an element for a page: small, without external references."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

# matplotlib's settings for every drawing.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, for measuring; the page's style sheet names the real one
    "hatch.linewidth": 1.1,
    "axes.linewidth": 0.6,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": False,
}

_DROPPED = frozenset({"metadata", "defs/style"})
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#")


def embed(document: bytes, *, prefix: str, title: str) -> str:
    """The `<svg>` element of `document`, with ids that start with `prefix` and `title` as its label.

    Text stays text and escaped, numbers are rounded to a hundredth of a point, metadata and namespaces are removed.
    """
    root = ElementTree.fromstring(document)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): value for key, value in element.attrib.items()}
        _rewrite(element, prefix)
    _drop(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _rewrite(element: ElementTree.Element, prefix: str) -> None:
    attributes = element.attrib
    if element.tag == "g":
        attributes.pop("id", None)  # names such as patch_1: nothing refers to them, and they repeat
    if "id" in attributes:
        attributes["id"] = prefix + attributes["id"]
    if attributes.get("href", "").startswith("#"):
        attributes["href"] = f"#{prefix}{attributes['href'][1:]}"
    for key in ("style", "clip-path", "fill"):
        if key in attributes:
            attributes[key] = _REFERENCE.sub(f"url(#{prefix}", attributes[key])
    for key in ("d", "x", "y", "width", "height", "transform"):
        if key in attributes:
            attributes[key] = _LONG_NUMBER.sub(_rounded, attributes[key])


def _drop(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED or f"{parent.tag}/{child.tag}" in _DROPPED:
                parent.remove(child)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match.group()):.2f}".rstrip("0").rstrip(".")
