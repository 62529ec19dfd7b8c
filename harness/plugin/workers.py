"""How many trials this machine runs at the same time: `-n auto`."""

from __future__ import annotations

from harness.model.options import Options
from harness.providers import fit, read_inventory


def auto_workers(options: Options) -> int:
    """As many trials as are worth it at the same time, of the largest topology of the inventory; at least one."""
    if options.inventory is None:
        return fit(options.settings, ())
    return fit(options.settings, read_inventory(options.inventory).topologies.values())
