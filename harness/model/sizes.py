"""Sizes of memory and disks as people write them: `256 MiB`, `1.5 GiB`, `512M`."""

from __future__ import annotations

import re
from decimal import Decimal

from harness.model.topology import GIB, KIB, MIB

TIB = 1024 * GIB

# K, M, G and T are binary, as QEMU reads them. KB, MB and GB are refused, since half of the world means 1000 by them:
# a guest of an unintended size silently spoils a reproduction.
_UNITS = {
    "B": 1,
    **dict.fromkeys(("K", "KiB"), KIB),
    **dict.fromkeys(("M", "MiB"), MIB),
    **dict.fromkeys(("G", "GiB"), GIB),
    **dict.fromkeys(("T", "TiB"), TIB),
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)[ \t]*([A-Za-z]*)")
_BY_LOWER_CASE = {unit.lower(): factor for unit, factor in _UNITS.items()}


def parse_size(text: str) -> int:
    """Bytes of a size such as `256 MiB`; the case of the unit does not matter.

    Raises ValueError, with the reason as its message, if there is no unit, an unknown or ambiguous one, or
    less than a whole number of bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("is no size")
    number, unit = match.groups()
    size = Decimal(number) * _factor(unit)
    if size != int(size):
        raise ValueError("is not a whole number of bytes")
    return int(size)


def _factor(unit: str) -> int:
    if not unit:
        raise ValueError("has no unit")
    factor = _BY_LOWER_CASE.get(unit.lower())
    if factor is not None:
        return factor
    if unit.lower() in {"kb", "mb", "gb", "tb"}:
        raise ValueError(f"has the ambiguous unit {unit} (1000 or 1024?)")
    raise ValueError(f"has the unknown unit {unit}")


def format_size(size: int) -> str:
    """A size in bytes for people: `256 MiB`; rounded to one decimal place of its largest unit."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} B"


_BANDWIDTHS = {"Mbit/s": 1.0, "Mb/s": 1.0, "Gbit/s": 1000.0, "Gb/s": 1000.0}


def parse_bandwidth(text: str) -> float:
    """Mbit/s of a text such as "9.4 Gbit/s"; raises ValueError."""
    number, _, unit = text.strip().partition(" ")
    if unit not in _BANDWIDTHS or not re.fullmatch(r"\d+(\.\d+)?", number) or not float(number):
        raise ValueError(f"{text!r} is no bandwidth")
    return float(number) * _BANDWIDTHS[unit]
