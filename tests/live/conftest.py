"""Live tests boot real guests. They need what `make setup` installs; what is missing is a skip with its reason."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.options import resolve
from harness.model.settings import Settings

TOOLS = ("qemu-system-x86_64", "qemu-img", "vde_switch", "mmdebstrap", "fakeroot", "mke2fs")
ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}; run `make setup`"))


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """A state folder of its own, with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hl-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_settings(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with that state folder and the default cache, for hosts that several tests share."""
    given = {"state": str(state), "results": str(tmp_path_factory.mktemp("results"))}
    return resolve(given, flag="--", environ=os.environ, ini={}, cwd=ROOT, root=ROOT).settings


@pytest.fixture
def settings(shared_settings: Settings, tmp_path: Path) -> Settings:
    """The same, with results in the test's own folder."""
    return replace(shared_settings, results=tmp_path / "results")
