"""The network-storage matrix under memory pressure: protocol × way of dirtying × place of the server.

{NFS, iSCSI, NVMe/TCP, AoE, NBD} × {write, mmap, swap} × {remote, loopback}, on one small client. `write` and `mmap`
dirty a file or disk that does not fit into the memory that a hog leaves; `swap` maps more memory than the machine has.
The server is another guest (remote) or the client itself (loopback). In loopback, writing a page out may need memory
that only writing pages out can free: "Swap-over-NBD without deadlocking" (Mel Gorman, 2012), and for NFS a37b0715ddf3
("mm/writeback: replace PF_LESS_THROTTLE with PF_LOCAL_THROTTLE"). `lio` is iSCSI with the kernel's target instead of
tgt.

What to look for in the report: the table of all cells. Beside the verdict, `longest pause` shows how close a survivor
was to a hang; `allocation stalls` and `pages swapped out` show how strong the pressure was.
"""

from __future__ import annotations

import pytest

from harness.monitors.instruments.hog import Hog
from harness.plugin.trials import Trial
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.iscsi import IscsiDisk
from harness.storage.iscsi_target import LIO, TGT
from harness.storage.nbd import NbdDisk, NbdSwap
from harness.storage.nfs import NfsDisk
from harness.storage.nvme_tcp import NvmeTcpDisk
from harness.storage.swap import Swap, Writable
from harness.workloads.dirty import Dirty
from harness.workloads.thrash import SwapThrash

MEMORY = "256 MiB"
FILE = 0.25  # × memory, dirtied again and again
HOG = 0.3  # × memory, held beside it
SWAP = 1.25  # × memory, the size of the swap device
THRASH = 1.0  # × memory, mapped by the load
SECONDS = 30.0  # of dirtying
QUEUE = 8  # requests: AoE's driver takes 128 of 170 kB, and a read waits until all of them are written, for 11 to 48 s

DISKS: dict[str, Writable] = {
    "nfs": NfsDisk(scratch=True),
    "iscsi": IscsiDisk(program=TGT, ratio=SWAP, replacement_timeout_s=None),
    "lio": IscsiDisk(program=LIO, ratio=SWAP, replacement_timeout_s=None),
    "nvme": NvmeTcpDisk(ratio=SWAP, ctrl_loss_s=None),
    "aoe": AoeDisk(ratio=SWAP + 1, deadsecs_s=None, nr_requests=QUEUE),
    "nbd": NbdDisk(),
}
SWAPS: dict[str, Storage] = {
    **{name: Swap(on=disk, ratio=SWAP) for name, disk in DISKS.items() if name != "nbd"},
    "nbd": NbdSwap(ratio=SWAP),
}
WAYS = ("write", "mmap", "swap")
PLACES = {"remote": "pair", "loopback": "loopback"}
HANGS = {f"{protocol}-swap-loopback": "deadlock" for protocol in DISKS}  # every other cell must survive
# Servers that write through the page cache of their own client are throttled by its dirty pages. With HOG or more the
# result is, by chance, a deadlock, a livelock, a stall or failed requests, so they get less. NVMe's uses direct I/O.
THROTTLED = {f"{protocol}-write-loopback" for protocol in ("iscsi", "lio", "aoe", "nbd")}
LESS = 0.1  # in place of HOG


def _places(protocol: str) -> list[str]:
    record = DISKS[protocol].protocol
    return [place for place in PLACES if place == "remote" or (record is not None and record.loopback)]


def _cell(protocol: str, way: str, place: str) -> object:
    name = f"{protocol}-{way}-{place}"
    marks = [pytest.mark.topology(PLACES[place], memory={"client": MEMORY}), pytest.mark.cost(2)]
    if name in HANGS:
        marks.append(pytest.mark.reproduces(HANGS[name]))
    return pytest.param(protocol, way, LESS if name in THROTTLED else HOG, id=name, marks=marks)


@pytest.mark.parametrize(
    ("protocol", "way", "hog"),
    [_cell(protocol, way, place) for protocol in DISKS for way in WAYS for place in _places(protocol)],
)
def test_cell(trial: Trial, protocol: str, way: str, hog: float) -> None:
    """One cell: it survives measurable pressure, or hangs as listed in HANGS."""
    if way == "swap":
        trial.run(storage=SWAPS[protocol], workload=SwapThrash(processes_per_cpu=4, ram_ratio=THRASH))
        assert trial.measures["pages swapped out"].value
        return
    disk = DISKS[protocol]
    load = Dirty(path=disk.path, mode=way, ratio=FILE, seconds=SECONDS * trial.budget)
    trial.run(storage=disk, workload=load, instruments=[Hog(share=hog)])
    assert trial.measures["allocation stalls"].value
