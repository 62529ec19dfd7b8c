"""The parts of a host's table as texts: `driver=ipmi,address=192.0.2.111,user=admin,password-env=IB1_BMC`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from harness.model.errors import UsageError

WHERE = "env, file or command"
# Keys with numbers; `port` of an agent is a path.
_NUMBERS = ("port", "udp", "baud", "cipher")
_FLAGS = {"true": True, "false": False}
_NESTED = ("password", "over")
_FILES = ("ca", "password-file")
Table = dict[str, object]


def part_of(text: str, option: str) -> Table:
    """The table of `key=value,…`; a value with a comma is quoted as in CSV. Raises UsageError that names `option`."""
    pairs = []
    for field in next(csv.reader([text]), []):
        key, equals, value = field.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option}: {field!r} is no key=value; write such as driver=ipmi,address=192.0.2.111")
        pairs.append((key.strip(), value.strip()))
    return table_of(pairs, option)


def table_of(pairs: Iterable[tuple[str, str]], option: str) -> Table:
    """The table of keys and texts; `password-env` and `over-driver` are keys of tables in it."""
    table: Table = {}
    for key, text in pairs:
        if key == "password":
            raise UsageError(f"{option}: a password is named, never given: password-env=NAME, password-file=PATH, …")
        outer, _, inner = key.partition("-")
        value: object = absolute(text) if key in _FILES else _value(inner or outer, text)
        if inner and outer in _NESTED:
            nested = table.setdefault(outer, {})
            assert isinstance(nested, dict), "only made here"
            nested[inner] = value
        else:
            table[key] = value
    return table


def _value(key: str, text: str) -> object:
    if key in _NUMBERS and text.isascii() and text.isdigit():
        return int(text)
    return _FLAGS.get(text, text) if key == "raw" else text


def absolute(path: str) -> str:
    """A path that means the same in an inventory, whose paths start at its own folder."""
    return path if path.startswith("~") else str(Path(path).absolute())
