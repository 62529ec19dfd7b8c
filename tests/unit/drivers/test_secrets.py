"""Passwords are read where the owner keeps them; what goes wrong is one line that never has a value."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.drivers.secrets import password_of, read_secret
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.owned_host import PowerSpec, Secret

VALUE = "hunter-2 ü"


def read(kind: str, name: object, seconds: float = 10.0) -> str:
    return read_secret(Secret(kind=kind, name=str(name)), deadline=Deadline.after(seconds))  # type: ignore[arg-type]


def refused(kind: str, name: object, seconds: float = 10.0) -> str:
    with pytest.raises(UsageError) as caught:
        read(kind, name, seconds)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    # What a traceback would show.
    shown = [caught.value, caught.value.__cause__, *([] if caught.value.__suppress_context__ else [_context(caught)])]
    assert not [error for error in shown if "hunter" in repr(error)]
    return text


def _context(caught: pytest.ExceptionInfo[UsageError]) -> BaseException | None:
    return caught.value.__context__


def test_a_value_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_OF_BMC", VALUE)
    assert read("env", "PASSWORD_OF_BMC") == VALUE
    for ending in ("", "\n", "\r\n", "\nanother line\n"):
        (tmp_path / "file").write_bytes((VALUE + ending).encode())
        assert read("file", tmp_path / "file") == VALUE
    assert read("command", f"printf '%s\\nmore\\n' '{VALUE}'") == VALUE


def test_a_file_of_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pw").write_text(VALUE)
    assert read("file", "~/pw") == VALUE


@pytest.mark.parametrize("odd", ["a\x0bb", "a\x1cb", "a\u2028b", " a b "])
def test_only_a_line_feed_ends_a_password(odd: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(odd.encode() + b"\n")
    assert read("file", tmp_path / "file") == odd


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "NO_SUCH_VARIABLE, which is not set" in refused("env", "NO_SUCH_VARIABLE")
    assert "No such file" in refused("file", tmp_path / "none")
    assert "directory" in refused("file", tmp_path)
    assert "home directory" in refused("file", "~no-such-user-here/pw")


def test_what_is_empty_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY_ONE", "")
    assert "env EMPTY_ONE is empty" in refused("env", "EMPTY_ONE")
    (tmp_path / "file").write_text("\nhunter-2\n")
    assert "is empty" in refused("file", tmp_path / "file")
    assert "is empty" in refused("command", "true")


def test_what_is_no_text_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hunter\xff\n")
    assert "no text" in refused("file", tmp_path / "file")
    (tmp_path / "nul").write_bytes(b"hunter\0\n")
    assert "no text" in refused("file", tmp_path / "nul")


def test_a_command_that_fails_shows_nothing_of_its_output() -> None:
    # In hex, since the command itself is shown.
    text = refused("command", "printf '\\150unter'; printf '\\150unter' >&2; exit 3")
    assert "exit code 3" in text


def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    assert "does not end" in refused("command", f"(sleep 3; touch {tmp_path}/late) & printf '\\150unter'; wait", 0.5)
    assert time.monotonic() - start < 2
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_an_endless_file_is_not_read_to_its_end() -> None:
    assert "no text" in refused("file", "/dev/zero")


def test_the_host_is_named_with_the_password_that_is_missing() -> None:
    spec = PowerSpec(driver="ipmi", address="192.0.2.1", password=Secret(kind="env", name="HARNESS_NO_SUCH"))
    with pytest.raises(UsageError, match=r"^host ib1: the password is in the environment variable HARNESS_NO_SUCH,"):
        password_of(spec, "ib1", Deadline.after(1.0))
    assert password_of(PowerSpec(driver="ipmi", address="192.0.2.1"), "ib1", Deadline.after(1.0)) == ""
