"""The number of simultaneous trials for `-n auto`."""

from __future__ import annotations

from harness.model.options import Options
from harness.providers import fit, read_inventory


def auto_workers(options: Options) -> int:
    """How many trials of the inventory's largest topology are worth running at the same time; at least one."""
    if options.inventory is None:
        return fit(options.settings, ())
    return fit(options.settings, read_inventory(options.inventory).topologies.values())
