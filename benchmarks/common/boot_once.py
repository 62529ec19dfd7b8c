"""Boot the guest of the benchmarks once and print how many seconds it took until it answered over SSH.

A process of its own for each boot: libvirt's embedded driver takes one folder in the life of a process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.command import MEASURED, guarded, make_parser, settings_of
from benchmarks.common.guests import booted, read_topology
from harness.model.observe import Silent
from harness.site.provider import Deaf


def boot(given: argparse.Namespace) -> int:
    """Boot, print, take it down."""
    topology = read_topology()
    with tempfile.TemporaryDirectory(prefix="harness-boot-") as name:
        settings = settings_of(given, results=Path(name))
        with booted(settings, topology, Deaf(), Path(name), Silent()) as (_, seconds):
            print(f"{seconds:.3f}")
    return MEASURED


if __name__ == "__main__":
    sys.exit(guarded(lambda: boot(make_parser(__doc__).parse_args())))
