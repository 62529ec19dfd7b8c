"""Trees of sysfs as drivers make them, recorded in rdma/sysfs/*.json with the sources of their values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from harness.fabric.hca import RdmaFacts
from harness.physical.survey import RDMA

FOLDER = Path(__file__).parent / "rdma/sysfs"
DRIVERS = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def plant(driver: str, root: Path) -> str:
    """Make the tree of a driver below `root`; returns the release of the kernel that it is of, "" if it names none."""
    tree = json.loads((FOLDER / f"{driver}.json").read_text())
    for name, text in tree["files"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    for name, target in tree["links"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / target).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(os.path.relpath(root / target, (root / name).parent))
    return next((path.name for path in (root / "lib/modules").glob("*")), "")


def told(root: Path, release: str = "") -> RdmaFacts:
    """What the script says of a tree."""
    argv = [sys.executable, "-I", "-S", "-c", RDMA.read_text(), str(root), release]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return RdmaFacts.from_dict(json.loads(done.stdout))


def surveyed(driver: str, root: Path) -> RdmaFacts:
    """What the script says of the tree of a driver."""
    return told(root, plant(driver, root))
