"""The cache: an entry is whole or absent, built once, and errors say what to do."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.artifacts.cache import BUILD_LOG, MANIFEST, Cache, digest_of, find_damage, read_manifest
from harness.artifacts.run_tool import CommandFailed
from harness.model.errors import HostEnvironmentError, UsageError

KEY = {"recipe": "debian", "builder": 1}


class Steps:
    """Remembers what progress was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = threading.Event()

    def step(self, what: str, done: float | None = None) -> None:
        self.said.append(what)
        self.heard.set()


class Builder:
    """Builds a small entry and counts how often."""

    def __init__(self, text: str = "whole") -> None:
        self.text = text
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text(self.text)
        (folder / "link").symlink_to("sub/file")


def failing(error: BaseException, log: str = "") -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / "half").write_text("written")
        if log:
            (folder / BUILD_LOG).write_text(log)
        raise error

    return build


def test_second_use_builds_nothing(tmp_path: Path) -> None:
    builder = Builder()
    first = Cache(tmp_path).get_or_build("kind", KEY, builder)
    second = Cache(tmp_path).get_or_build("kind", dict(reversed(KEY.items())), builder)
    assert first == second
    assert builder.count == 1
    assert (first / "sub/file").read_text() == "whole"


def test_another_key_or_kind_is_another_entry(tmp_path: Path) -> None:
    cache, builder = Cache(tmp_path), Builder()
    paths = {
        cache.get_or_build("kind", KEY, builder),
        cache.get_or_build("other", KEY, builder),
        cache.get_or_build("kind", {**KEY, "builder": 2}, builder),
        cache.get_or_build("kind", b"bytes", builder),
    }
    assert len(paths) == builder.count == 4


def test_manifest_lists_every_file_with_size_and_hash(tmp_path: Path) -> None:
    manifest = read_manifest(Cache(tmp_path).get_or_build("kind", KEY, Builder()))
    assert manifest["key"] == KEY
    assert manifest["files"]["link"] == {"link": "sub/file"}
    assert manifest["files"]["sub/file"]["size"] == 5
    assert len(manifest["files"]["sub/file"]["sha256"]) == 64


def test_digest_is_of_the_contents_and_not_of_the_log(tmp_path: Path) -> None:
    def build_with(text: str, log: str) -> Callable[[Path], None]:
        def build(folder: Path) -> None:
            Builder(text)(folder)
            (folder / BUILD_LOG).write_text(log)

        return build

    cache = Cache(tmp_path)
    one, same, other = (
        digest_of(cache.get_or_build("kind", {"n": n}, build_with(text, log)))
        for n, (text, log) in enumerate([("a", "x"), ("a", "y"), ("b", "x")])
    )
    assert one == same != other


@pytest.mark.parametrize("error", [RuntimeError("bug"), UsageError("wrong"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_nothing_to_be_taken_for_whole(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        Cache(tmp_path).get_or_build("kind", KEY, failing(error))
    assert Cache(tmp_path).lookup("kind", KEY) is None
    assert [path.name for path in (tmp_path / "kind").iterdir() if path.suffix != ".lock"] == []
    builder = Builder()
    assert (Cache(tmp_path).get_or_build("kind", KEY, builder) / "sub/file").exists()


def test_a_failed_tool_is_an_error_of_this_machine_that_names_the_kept_log(tmp_path: Path) -> None:
    error = CommandFailed(program="mmdebstrap", status=25, last="E: no such suite")
    with pytest.raises(HostEnvironmentError, match=r"kind could not be built: mmdebstrap .*no such suite") as raised:
        Cache(tmp_path).get_or_build("kind", KEY, failing(error, log="all of it"))
    kept = Path(raised.value.remedy.removeprefix("log: "))
    assert kept.read_text() == "all of it"


def test_errors_of_the_user_keep_their_words_and_gain_the_log(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^the patch does not apply; log: /.*\.log$"):
        Cache(tmp_path).get_or_build("kind", KEY, failing(UsageError("the patch does not apply"), log="x"))
    missing = HostEnvironmentError("gcc is not installed", remedy="install it")
    with pytest.raises(HostEnvironmentError, match=r"^gcc is not installed; install it; log: /") as raised:
        Cache(tmp_path).get_or_build("kind", KEY, failing(missing, log="x"))
    assert raised.value.problem == "gcc is not installed"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_folder_free_and_needed(tmp_path: Path, number: int) -> None:
    error = OSError(number, os.strerror(number))
    with pytest.raises(
        HostEnvironmentError, match=r"no space left while building kind in .*kind: \d+ MB are free"
    ) as e:
        Cache(tmp_path).get_or_build("kind", KEY, failing(error), need=3_000_000)
    assert "about 3 MB are needed" in e.value.remedy
    assert Cache(tmp_path).lookup("kind", KEY) is None


def test_a_disk_that_is_too_small_is_refused_before_the_build(tmp_path: Path) -> None:
    builder = Builder()
    with pytest.raises(HostEnvironmentError, match="no space left to build kind"):
        Cache(tmp_path).get_or_build("kind", KEY, builder, need=10**18)
    assert builder.count == 0


def test_other_operating_system_errors_go_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        Cache(tmp_path).get_or_build("kind", KEY, failing(PermissionError("no")))


@pytest.mark.parametrize("hurt", ["truncate", "remove", "relink", "manifest", "no json"])
def test_a_damaged_entry_is_built_again_and_the_user_is_told(tmp_path: Path, hurt: str) -> None:
    builder, steps = Builder(), Steps()
    entry = Cache(tmp_path).get_or_build("kind", KEY, builder)
    _hurt(entry, hurt)
    again = Cache(tmp_path, steps).get_or_build("kind", KEY, builder)
    assert builder.count == 2
    assert find_damage(again) == []
    assert "damaged" in steps.said[0]


def _hurt(entry: Path, how: str) -> None:
    file, link, manifest = entry / "sub/file", entry / "link", entry / MANIFEST
    if how == "truncate":
        file.write_text("who")
    elif how == "remove":
        file.unlink()
    elif how == "relink":
        link.unlink()
        link.symlink_to("elsewhere")
    else:
        manifest.write_text("[]" if how == "manifest" else "{")


def test_a_folder_without_a_manifest_is_no_entry(tmp_path: Path) -> None:
    builder = Builder()
    entry = Cache(tmp_path).get_or_build("kind", KEY, builder)
    (entry / MANIFEST).unlink()
    assert Cache(tmp_path).lookup("kind", KEY) is None
    again = Cache(tmp_path).get_or_build("kind", KEY, builder)
    assert (again / MANIFEST).exists()
    assert builder.count == 2


def test_verify_finds_changed_contents_of_the_same_size(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry = cache.get_or_build("kind", KEY, Builder())
    assert cache.verify() == []
    (entry / "sub/file").write_text("WHOLE")
    assert find_damage(entry) == []
    (damage,) = cache.verify()
    assert damage.path == entry / "sub/file"
    assert "changed" in str(damage)


def test_refresh_builds_beside_the_old_one_and_prune_removes_it(tmp_path: Path) -> None:
    cache, builder = Cache(tmp_path), Builder()
    old = cache.get_or_build("kind", KEY, builder)
    builder.text = "newer"
    new = cache.get_or_build("kind", KEY, builder, refresh=True)
    assert (old / "sub/file").read_text() == "whole"
    assert cache.get_or_build("kind", KEY, builder) == new != old
    assert cache.prune() == len("whole")
    assert not old.exists()
    assert list(cache.entries()) == [new]


def test_a_refresh_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    old = cache.get_or_build("kind", KEY, Builder())
    with pytest.raises(UsageError):
        cache.get_or_build("kind", KEY, failing(UsageError("no")), refresh=True)
    assert cache.get_or_build("kind", KEY, Builder()) == old


def test_the_second_of_two_waits_says_so_and_builds_nothing(tmp_path: Path) -> None:
    building, go_on, steps = threading.Event(), threading.Event(), Steps()
    found: list[Path] = []

    def slow(folder: Path) -> None:
        Builder()(folder)
        building.set()
        assert go_on.wait(30)

    first = threading.Thread(target=lambda: found.append(Cache(tmp_path).get_or_build("kind", KEY, slow)))
    first.start()
    assert building.wait(30)
    never = failing(AssertionError("built twice"))
    second = threading.Thread(target=lambda: found.append(Cache(tmp_path, steps).get_or_build("kind", KEY, never)))
    second.start()
    assert steps.heard.wait(30)
    go_on.set()
    first.join()
    second.join()
    assert found[0] == found[1]
    assert steps.said == ["waiting for another process that builds the same kind"]


def test_what_dead_builds_left_is_removed_and_live_builds_are_not_touched(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry = cache.get_or_build("kind", KEY, Builder())
    dead_same, dead_other = (tmp_path / "kind" / f".building-{name}-x" for name in (entry.name.split(".")[0], "f" * 24))
    dead_same.mkdir()
    dead_other.mkdir()
    seen: list[str] = []

    def build(folder: Path) -> None:
        Builder()(folder)
        cache.get_or_build("kind", {"inner": 1}, Builder())
        seen.extend(path.name for path in (tmp_path / "kind").glob(".building-*"))
        assert folder.exists()

    cache.get_or_build("kind", {"outer": 1}, build)
    assert len(seen) == 1
    assert not dead_same.exists()
    assert not dead_other.exists()


def test_a_cache_that_cannot_be_written_says_which_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostEnvironmentError, match=r"the cache .*file/kind cannot be written.*XDG_CACHE_HOME"):
        Cache(tmp_path / "file").get_or_build("kind", KEY, Builder())


def test_manifest_of_a_byte_key_is_json(tmp_path: Path) -> None:
    entry = Cache(tmp_path).get_or_build("kind", b"\xff\x00", Builder())
    assert json.loads((entry / MANIFEST).read_text())["key"] == "ff00"
