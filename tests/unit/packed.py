"""Scripts for hosts under test as they get there, for tests that run them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from harness.site.zipapp import pack


@cache
def packed(script: Path) -> str:
    """The path of an archive that Python runs; it is there until the tests are over."""
    folder = Path(tempfile.mkdtemp(prefix="scripts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    archive = folder / f"{script.stem}.pyz"
    archive.write_bytes(pack(script))
    return str(archive)
