"""How many trials this machine runs at the same time: `-n auto`."""

from __future__ import annotations

import psutil

from harness.guests.accelerator import known_accelerator
from harness.inventory.inventory import load_inventory
from harness.model.options import Options
from harness.state.lease import SHARE_FOR_GUESTS, memory_of

# Under emulation a guest's processor is a thread that computes all the time; benchmarks/throughput.py has the figures.
EMULATED = 1  # trials for each processor of this machine
NATIVE = 2


def auto_workers(options: Options) -> int:
    """As many trials as processors and memory allow, of the largest topology of the inventory; at least one."""
    processors = len(psutil.Process().cpu_affinity()) or 1
    by_processor = processors * (NATIVE if known_accelerator(options.settings) == "kvm" else EMULATED)
    if options.inventory is None:
        return by_processor
    memory = psutil.virtual_memory()
    inventory = load_inventory(options.inventory, machine_memory=memory.total)
    largest = max(map(memory_of, inventory.topologies.values()), default=0)
    by_memory = int(memory.available * SHARE_FOR_GUESTS / largest) if largest else by_processor
    return max(1, min(by_processor, by_memory))
