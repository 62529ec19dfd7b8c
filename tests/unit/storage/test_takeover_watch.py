"""The watch on the surviving node: it notes each part of the service once, when it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.storage.guest import takeover_watch as watch

FILES = {
    "mounted": ("/proc/mounts", "/dev/vdc /srv/x ext4 rw 0 0\n"),
    "serving": ("/proc/fs/nfsd/threads", "8\n"),
    "address": ("/proc/net/fib_trie", "  |-- 10.0.0.254\n     /32 host LOCAL\n"),
    "grace-over": ("/proc/fs/nfsd/v4_end_grace", "Y\n"),
}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found: dict[str, str] = {}
    monkeypatch.setattr(watch, "text", lambda path: found.get(path, ""))
    return found


@pytest.mark.parametrize("what", list(FILES))
def test_a_part_has_arrived_when_the_kernel_says_so(files: dict[str, str], what: str) -> None:
    assert not watch.arrived(what, "/srv/x", "10.0.0.254")
    path, content = FILES[what]
    files[path] = content
    assert watch.arrived(what, "/srv/x", "10.0.0.254")


@pytest.mark.parametrize(
    ("what", "content"),
    [("mounted", "/dev/vdc /srv/xy ext4 rw 0 0\n"), ("serving", "0\n"), ("grace-over", "N\n")],
)
def test_something_like_it_is_not_it(files: dict[str, str], what: str, content: str) -> None:
    files[FILES[what][0]] = content
    assert not watch.arrived(what, "/srv/x", "10.0.0.254")


def test_each_part_is_noted_once_in_the_order_in_which_it_came(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    coming = [FILES[what] for what in ("serving", "mounted", "address", "grace-over")]

    def sleep(_seconds: float) -> None:
        path, content = coming.pop(0)
        files[path] = content

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("sys.argv", ["watch", str(marks), "/srv/x", "10.0.0.254"])
    coming.append(("", ""))
    watch.main()
    noted = [line.split() for line in marks.read_text().splitlines()]
    assert [what for what, _ in noted] == ["serving", "mounted", "address", "grace-over"]
    assert all(float(when) > 0 for _, when in noted)


def test_a_file_that_cannot_be_read_is_empty() -> None:
    assert watch.text("/proc/no/such/file") == ""
