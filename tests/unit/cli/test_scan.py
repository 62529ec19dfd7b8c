"""`harness scan`: its JSON is a contract, its text has a line for each finding, a mistake is one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness.cli.scan
from harness.cli import call
from harness.model.diagnosis import Cited, Confidence, Diagnosis, Edge, Node, NodeKind
from harness.model.finding import FindingKind
from harness.model.hang_classes import HangClass, Remedy

Capture = pytest.CaptureFixture[str]

HUNG = b"""\
[  242.703091] INFO: task dd:981 blocked for more than 120 seconds.
[  242.704999] task:dd              state:D stack:0     pid:981   ppid:975    flags:0x00000002
[  242.705710] Call Trace:
[  242.706283]  __schedule+0x34d/0x9e0
[  242.707712]  wbt_wait+0xa4/0x110
[  242.709163] RIP: 0033:0x7f763ccc9572
"""
STUCK = b"[  250.%06d] block nbd0: Possible stuck request 00000000abcd: control (read@0,4096B). Runtime 90 seconds\n"
WHY = Diagnosis(
    hang_class=HangClass.SWAP_OVER_NETWORK, confidence=Confidence.MEDIUM, title="swap waits for the network",
    explanation="dd waits for a page.", leaves="the network", confirm=("look at the server",),
    nodes=(Node(name="t1", kind=NodeKind.TASK, label="dd"), Node(name="d1", kind=NodeKind.DEVICE, label="nbd0")),
    edges=(Edge(waiter="t1", awaited="d1", label="waits for a page of", sure=False),),
    remedies=(Remedy(text="use zram", commit="abcdef123456"),),
)  # fmt: skip
SHAPE: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: value in set(FindingKind),
    "title": lambda value: isinstance(value, str) and value != "",
    "function": lambda value: value is None or isinstance(value, str),
    "task": lambda value: value is None or isinstance(value, str),
    "pid": lambda value: value is None or type(value) is int,
    "cpu": lambda value: value is None or type(value) is int,
    "time_s": lambda value: value is None or isinstance(value, float),
    "line": lambda value: type(value) is int and value >= 1,
    "corrupted": lambda value: isinstance(value, bool),
    "stack": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}


class FakeReader:
    """A reader of hangs that knows one reason, and finds it in any console that has a hung task."""

    def __init__(self) -> None:
        self._hung = False

    def feed(self, data: bytes) -> None:
        self._hung = self._hung or b"blocked for more" in data

    def close(self) -> Diagnosis | None:
        return WHY if self._hung else None


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.cli.scan, "Reader", FakeReader)


@pytest.fixture
def console(tmp_path: Path) -> Callable[..., str]:
    def write(data: bytes, name: str = "console.log") -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


def as_json(capsys: Capture, *files: str) -> Any:
    assert call(["scan", "--json", *files]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()
    return json.loads(out)


def test_json_is_one_array_with_an_object_for_each_file(console: Callable[..., str], capsys: Capture) -> None:
    hung, quiet = console(HUNG + STUCK % 1), console(b"[    1.000000] nothing\n", "quiet.log")
    array = as_json(capsys, hung, quiet)
    assert [list(each) for each in array] == [["file", "findings", "diagnosis"]] * 2
    assert [each["file"] for each in array] == [hung, quiet]
    assert array[0]["findings"] == [
        {"kind": "hung_task", "title": "INFO: task dd:981 blocked for more than 120 seconds.", "function": "wbt_wait",
         "task": "dd", "pid": 981, "cpu": None, "time_s": 242.703091, "line": 1, "corrupted": False,
         "stack": ["__schedule", "wbt_wait"]},
        {"kind": "storage_timeout", "title": (STUCK % 1)[15:].decode().strip(), "function": None, "task": None,
         "pid": None, "cpu": None, "time_s": 250.000001, "line": 7, "corrupted": False, "stack": []},
    ]  # fmt: skip
    assert array[0]["diagnosis"] == WHY.to_dict()
    assert array[1] == {"file": quiet, "findings": [], "diagnosis": None}


def test_json_findings_have_these_keys_of_these_types(console: Callable[..., str], capsys: Capture) -> None:
    text = (
        HUNG.replace(b"dd", "dö\x1b[31m".encode())
        + b"BUG: workqueue lockup - pool cpus=1\nKernel panic - not syncing: \xff"
    )
    text += b"\n[    0.000000] Linux version 6.1\n" + b"[   99.000000] WARNING: odd\n"
    (each,) = as_json(capsys, console(text))
    assert len(each["findings"]) >= 4
    for finding in each["findings"]:
        assert list(finding) == list(SHAPE)
        assert [key for key, holds in SHAPE.items() if not holds(finding[key])] == []


def test_every_key_of_a_diagnosis_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "diagnosis.md").read_text().split("\n## JSON\n")[1].split("\n## ")[0]
    described = set(re.findall(r"`(\w+)`", text))
    keys = {field.name for kind in (Node, Edge, Cited, Remedy) for field in fields(kind)} | WHY.to_dict().keys()
    assert keys <= described
    assert set(NodeKind) <= described


def test_findings_are_in_the_order_of_their_headlines(console: Callable[..., str], capsys: Capture) -> None:
    lines = HUNG.splitlines(keepends=True)
    mixed = b"".join([*lines[:3], STUCK % 1, *lines[3:]])
    many = (mixed.replace(b"981", b"%d" % n).replace(b"250.0", b"%d.0" % (300 + n)) for n in range(40))
    (each,) = as_json(capsys, console(b"".join(many)))
    places = [finding["line"] for finding in each["findings"]]
    assert places == sorted(places)
    assert len(places) == 80


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_packed_consoles_are_unpacked(
    pack: Callable[[bytes], bytes], console: Callable[..., str], capsys: Capture
) -> None:
    (each,) = as_json(capsys, console(pack(HUNG)))
    assert [finding["kind"] for finding in each["findings"]] == ["hung_task"]


@pytest.mark.parametrize("data", [HUNG, gzip.compress(HUNG)])
def test_a_dash_is_standard_input(data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    (each,) = as_json(capsys, "-")
    assert (each["file"], len(each["findings"])) == ("-", 1)


def test_text_has_a_line_for_each_finding_and_the_diagnosis(console: Callable[..., str], capsys: Capture) -> None:
    path = console(HUNG)
    assert call(["scan", path]) == 0
    name, line, *box = capsys.readouterr().out.splitlines()
    assert name == path
    for part in ("242.703091", "hung_task", "blocked for more than 120 seconds", "in wbt_wait", "task dd (981)"):
        assert part in line
    why = "\n".join(box)
    for part in ("diagnosis", "swap waits for the network", "swap_over_network", "medium", "(implied)", "use zram"):
        assert part in why, "the same view as that of `harness explain`"


def test_text_marks_what_is_corrupted_and_says_when_nothing_was_found(
    console: Callable[..., str], capsys: Capture
) -> None:
    assert call(["scan", console(HUNG.splitlines(keepends=True)[0]), console(b"", "empty.log")]) == 0
    out = capsys.readouterr().out
    assert out.count("[corrupted]") == 1
    assert out.endswith("empty.log\n  nothing found\n")


def test_text_says_that_a_diagnosis_without_findings_is_from_the_stacks(
    console: Callable[..., str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.cli.scan, "Reader", lambda: SimpleNamespace(feed=lambda data: None, close=lambda: WHY))
    assert call(["scan", console(b"[    1.000000] quiet\n")]) == 0
    out = capsys.readouterr().out
    assert "nothing found" not in out
    assert out.index("no report of the kernel; from its stacks:") < out.index(WHY.title)


def test_text_counts_what_storage_repeats(console: Callable[..., str], capsys: Capture) -> None:
    assert call(["scan", console(b"".join(STUCK % number for number in range(500)))]) == 0
    _, first, rest = capsys.readouterr().out.splitlines()
    assert "Possible stuck request" in first
    assert "… and 499 times more, the last in line 500" in rest


def test_text_counts_requests_of_either_direction_together_and_of_each_device_alone(
    console: Callable[..., str], capsys: Capture
) -> None:
    lines = [STUCK % number for number in range(60)]
    lines[1::2] = [line.replace(b"read@0", b"write@4096") for line in lines[1::2]]
    lines.append((STUCK % 60).replace(b"nbd0", b"nbd1"))
    assert call(["scan", console(b"".join(lines))]) == 0
    _, first, rest, other = capsys.readouterr().out.splitlines()
    assert "nbd0" in first and "nbd1" in other
    assert "… and 59 times more, the last in line 60" in rest


def test_text_shows_no_control_sequence_of_a_guest(console: Callable[..., str], capsys: Capture) -> None:
    assert call(["scan", console(b"Kernel panic - not syncing: \x1b]0;own\x07 \xe2\x80\xae\x9b31m\n")]) == 0
    assert "panic" in (out := capsys.readouterr().out)
    assert all(character.isprintable() or character == "\n" for character in out)


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_file_that_cannot_be_read_is_one_line_and_nothing_else(
    option: list[str], console: Callable[..., str], tmp_path: Path, capsys: Capture
) -> None:
    cut = console(gzip.compress(HUNG * 100)[:-20], "cut.gz")
    for bad in (str(tmp_path / "absent.log"), str(tmp_path), cut):
        assert call(["scan", *option, console(HUNG), bad]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert bad in err


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_has_had_enough_is_no_failure(option: list[str], console: Callable[..., str]) -> None:
    path = console(b"".join(HUNG.replace(b"981", b"%d" % n) for n in range(3000)))
    command = [sys.executable, "-m", "harness.cli", "scan", *option, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.parametrize(
    ("data", "program"), [(b"\x28\xb5\x2f\xfd\x00packed", "zstd"), (b"\x04\x22\x4d\x18packed", "lz4")]
)
def test_what_another_program_packed_is_refused_with_the_way_out(
    data: bytes, program: str, console: Callable[..., str], capsys: Capture
) -> None:
    assert call(["scan", path := console(data)]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"harness: cannot read {path}: packed with {program}; pipe it through `{program} -dc`\n")


def test_a_file_without_a_name_is_one_line(capsys: Capture) -> None:
    assert call(["scan", ""]) == 2
    assert capsys.readouterr().err.startswith("harness: a FILE has no name; name a console")


def test_no_file_is_a_mistake(capsys: Capture) -> None:
    assert call(["scan"]) == 2
    assert "FILE" in capsys.readouterr().err


def test_what_does_not_fit_in_memory_goes_to_a_file(
    console: Callable[..., str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.cli.scan, "SPOOLED", 1000)
    (each,) = as_json(capsys, console(b"".join(HUNG.replace(b"981", b"%d" % n) for n in range(200))))
    assert len(each["findings"]) == 200
