"""How many trials this machine runs at the same time: `-n auto`."""

from __future__ import annotations

import psutil

from harness.inventory.inventory import load_inventory
from harness.model.options import Options
from harness.providers import fit


def auto_workers(options: Options) -> int:
    """As many trials as are worth it at the same time, of the largest topology of the inventory; at least one."""
    if options.inventory is None:
        return fit(options.settings, ())
    inventory = load_inventory(options.inventory, machine_memory=psutil.virtual_memory().total)
    return fit(options.settings, inventory.topologies.values())
