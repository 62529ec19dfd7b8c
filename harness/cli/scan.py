"""`harness scan`: what happened on a kernel console, in order, and why it hung.

Findings are kept in a temporary file until every console has been read. So memory stays bounded for consoles of any
length, and no output is printed if a file cannot be read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from harness.cli.scan_text import show
from harness.diagnosis import Reader
from harness.model.errors import UsageError
from harness.model.finding import Finding
from harness.verdicts.console import OrderedScanner

KEYS = ("kind", "title", "function", "task", "pid", "cpu", "time_s", "line", "corrupted", "stack")
"""Fields of a finding in JSON; docs/scan.md explains each."""
READ = 1 << 20
SPOOLED = 1 << 24  # bytes of findings held in memory before they go to a file
STDIN = "-"
_PACKED = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))
_FOREIGN = ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4"))  # compressed, and not readable here
_DAMAGED = (OSError, EOFError, lzma.LZMAError, zlib.error)

Record = dict[str, Any]


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="print one JSON array, an object for each file; see docs/scan.md")
def scan(files: tuple[str, ...], as_json: bool) -> None:
    """Report what happened on kernel consoles, in order, and why it hung if the text shows it.

    FILE is anything that holds kernel messages: a captured console, dmesg, syslog, also packed with gzip, xz or bzip2;
    `-` is standard input. Exit code 0 whatever is found, 2 if a file cannot be read.
    """
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED, mode="w+", encoding="ascii") as kept:
        for name in files:
            for record in _read(name):
                kept.write(json.dumps(record) + "\n")
        kept.seek(0)
        records = map(json.loads, kept)
        _print_json(records) if as_json else show(records)


def _read(name: str) -> Iterator[Record]:
    """The records of one file: its name, its findings, its diagnosis; raises UsageError if it cannot be read."""
    scanner, reader = OrderedScanner(), Reader()
    yield {"file": name}
    for data in _chunks(name):
        reader.feed(data)
        yield from map(_record, scanner.feed(data))
    yield from map(_record, scanner.close())
    diagnosis = reader.close()
    yield {"diagnosis": diagnosis.to_dict() if diagnosis else None}


def _record(finding: Finding) -> Record:
    values = finding.to_dict()
    return {"finding": {key: values[key] for key in KEYS}}


def _chunks(name: str) -> Iterator[bytes]:
    if not name:
        raise UsageError("a FILE has no name; name a console, or - for standard input; nothing was scanned")
    try:
        with ExitStack() as stack:
            source = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            content = _unpacked(source, name)
            while data := content.read(READ):
                yield data
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot read {name}: {reason}; nothing was scanned") from error


def _unpacked(source: BinaryIO, name: str) -> BinaryIO:
    """The content of a file, unpacked if its first bytes are those of a packed file; raises UsageError."""
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(source)  # type: ignore[type-var]
    start = buffered.peek(8)
    for magic, opener in _PACKED:
        if start.startswith(magic):
            return cast(BinaryIO, opener(buffered, "rb"))
    for magic, program in _FOREIGN:
        if start.startswith(magic):
            raise UsageError(f"cannot read {name}: packed with {program}; pipe it through `{program} -dc`")
    return buffered


def _print_json(records: Iterator[Record]) -> None:
    """One array on standard output, an object for each file, a line for each finding; ASCII only."""
    out, first_file, first_finding = sys.stdout, True, True
    out.write("[")
    for record in records:
        if "file" in record:
            out.write(f'{"" if first_file else ","}\n{{"file": {json.dumps(record["file"])}, "findings": [')
            first_file, first_finding = False, True
        elif "finding" in record:
            out.write(f"{'' if first_finding else ','}\n  {json.dumps(record['finding'])}")
            first_finding = False
        else:
            out.write(f'], "diagnosis": {json.dumps(record["diagnosis"])}}}')
    out.write("\n]\n")
