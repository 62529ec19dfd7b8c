"""Single values of an inventory file: how each is written, and the way out for one that is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from harness.inventory.diagnostics import shown
from harness.model.sizes import format_size, parse_size
from harness.model.topology import MIB

# A distribution's kernel with its modules does not boot in less; it panics while it unpacks its initrd.
SMALLEST_GUEST = 96 * MIB
# Without an interrupt remapper QEMU's x86 machines address 255 processors.
MOST_CPUS = 255

_NAME = re.compile(r"[a-z][a-z0-9-]{0,20}")
_VARIANT = re.compile(r"[a-z0-9-]+")
_DISTRIBUTION = re.compile(r"[a-z]+:[A-Za-z0-9][A-Za-z0-9.+~_-]*")

_TOML_TYPES = {
    bool: "a boolean",
    int: "a number",
    float: "a decimal fraction",
    str: "a string",
    list: "a list",
    dict: "a table",
}


def wrong(problem: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{problem}", {"problem": problem, "hint": hint})


def is_module_file(module: str) -> bool:
    """Whether an entry of `modules` is a file, not the name of a variant."""
    return module.endswith(".ko")


def is_variant(module: str) -> bool:
    """Whether an entry of `modules` is the name of a variant."""
    return _VARIANT.fullmatch(module) is not None


def is_kernel_file(kernel: str) -> bool:
    """Whether a `kernel` is a file, not a distribution's."""
    return "/" in kernel


def valid_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        hint = "a name is a lower-case letter, then up to 20 lower-case letters, digits and hyphens"
        raise wrong(f"{shown(text)} is no name", hint)
    return text


def valid_size(value: object) -> int:
    way_out = 'write a size with its unit, in quotes, such as "256 MiB" or "1.5 GiB"'
    if not isinstance(value, str):
        raise wrong(f"must be a size in quotes, not {toml_type(value)}", way_out)
    try:
        found = parse_size(value)
    except ValueError as error:
        raise wrong(f"{shown(value)} {error}", way_out) from error
    if found % MIB or not found:
        raise wrong(f"{shown(value)} is not a whole number of MiB", f'"{max(1, found // MIB)} MiB" is')
    return found


def valid_memory(value: int) -> int:
    if value < SMALLEST_GUEST:
        least = format_size(SMALLEST_GUEST)
        raise wrong(f"{format_size(value)} is too little to boot a kernel", f"give it {least} or more")
    return value


def between(low: int, high: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise wrong(f"{shown(value)} is out of range", f"it goes from {low} to {high}")
        return value

    return check


def valid_kernel(text: str) -> str:
    if _DISTRIBUTION.fullmatch(text) or (is_kernel_file(text) and text.isprintable()):
        return text
    hint = 'write a distribution\'s as "debian:12", a file with its folder as "./vmlinuz"'
    raise wrong(f"{shown(text)} is neither a distribution's kernel nor a file", hint)


def valid_cmdline(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise wrong("has characters that a kernel command line cannot carry", "use printable ASCII")
    return text


def valid_module(text: str) -> str:
    if is_variant(text) or (is_module_file(text) and text.isprintable()):
        return text
    hint = 'write a path that ends in ".ko", or a variant\'s name such as "nbd-no-memalloc"'
    raise wrong(f"{shown(text)} is neither a module file nor the name of a variant", hint)


def toml_type(value: object) -> str:
    return _TOML_TYPES.get(type(value), "a date or time")


Name = Annotated[str, AfterValidator(valid_name)]
Size = Annotated[int, BeforeValidator(valid_size)]
Module = Annotated[str, AfterValidator(valid_module)]
