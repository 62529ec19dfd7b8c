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
from benchmarks.common.guests import Deaf, booted, leased, read_topology
from harness.guests.boot_spec import machines_for
from harness.model.observe import Silent


def boot(given: argparse.Namespace) -> int:
    """Boot, print, take it down."""
    topology = read_topology()
    with tempfile.TemporaryDirectory(prefix="harness-boot-") as name:
        settings = settings_of(given, results=Path(name))
        machines = machines_for(settings, topology.hosts, Silent())
        with leased(settings, topology, Silent()), booted(settings, machines, topology, Deaf(), Path(name)) as up:
            print(f"{up[1]:.3f}")
    return MEASURED


if __name__ == "__main__":
    sys.exit(guarded(lambda: boot(make_parser(__doc__).parse_args())))
