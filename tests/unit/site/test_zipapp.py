"""What a script for a host under test becomes: one archive with all that it needs of this package, and no more."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.site.zipapp import PACKAGE, pack

SCRIPTS = [
    path
    for room in ("workloads", "monitors")
    for path in sorted(PACKAGE.joinpath(room).rglob("guest/*.py"))
    if "def main(" in path.read_text(encoding="utf-8")
]


def names(script: Path) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(pack(script))) as archive:
        return set(archive.namelist())


def test_an_archive_has_what_the_script_imports_and_what_that_imports() -> None:
    found = names(PACKAGE / "workloads/guest/steady.py")
    assert {"__main__.py", "harness/workloads/guest/steady.py", "harness/guest/progress.py"} <= found
    assert "harness/guest/processes.py" in found and "harness/guest/memory.py" not in found


def test_the_same_script_becomes_the_same_bytes() -> None:
    first = pack(SCRIPTS[0])
    pack.cache_clear()
    assert pack(SCRIPTS[0]) == first


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_needs_nothing_else_of_this_package_and_nothing_that_is_installed(script: Path) -> None:
    assert all("/guest/" in name or name.endswith(("__init__.py", "__main__.py")) for name in names(script))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_starts_from_its_archive_alone(script: Path, tmp_path: Path) -> None:
    archive = tmp_path / "script.pyz"
    archive.write_bytes(pack(script))
    done = subprocess.run([sys.executable, "-I", "-S", archive], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 1 and ("IndexError" in done.stderr or "ValueError" in done.stderr), "it wants arguments"
    assert f"{archive}/harness/" in done.stderr
