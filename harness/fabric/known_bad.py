"""Hardware, firmware and modes that are known to hang or to mislead, each with its source and the way out.

A record says what was reported, for whom and by whom; it proves nothing about a trial. Kernels are those of mainline:
a distribution may have a fix in an earlier version, and the text of such a record says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.fabric.hca import Hca, IpoibInterface, RdmaFacts

CONNECTED = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBad:
    """One record. It matches an adapter of one of `drivers` (or of any) and of `types` (or any), whose firmware is
    below `firmware_below`, on a kernel from `since` on and below `until`; `mode` as well if it is about IPoIB in that.
    """

    name: str
    what: str
    way_out: str
    source: str
    drivers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    firmware_below: str = ""
    mode: str = ""
    since: str = ""
    until: str = ""

    def matches(self, hca: Hca, kernel: str) -> bool:
        """Whether an adapter has the trouble, apart from the mode; what is not known does not match."""
        if (self.drivers and hca.driver not in self.drivers) or (self.types and hca.type not in self.types):
            return False
        firmware = _numbers(hca.firmware)
        if self.firmware_below and not (any(firmware) and firmware < _numbers(self.firmware_below)):
            return False
        release = _numbers(kernel)
        if (self.since or self.until) and not release:
            return False
        return _numbers(self.since) <= release and (not self.until or release < _numbers(self.until))


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A device of a host that a record is about, and the interfaces of that host which use it.

    `links` are those of a topology that lead over one of them.
    """

    device: str
    name: str
    what: str
    way_out: str
    source: str
    interfaces: tuple[str, ...]
    links: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The suspect as JSON has it."""
        return {**asdict(self), "interfaces": list(self.interfaces), "links": list(self.links)}

    def __str__(self) -> str:
        """One line."""
        on = f" ({', '.join(self.interfaces)})" if self.interfaces else ""
        return f"{self.device}{on}: {self.what}; {self.way_out} [{self.source}]"


RECORDS = (
    KnownBad(
        name="mthca-allocates-in-transmit",
        drivers=("ib_mthca",),
        what="ib_mthca allocates memory in the path of transmission, where writeback waits for it: under memory "
        "pressure transfers stop in one direction, for seconds or hours, while the link itself works",
        way_out="only other hardware cured it, such as that of mlx4",
        source="https://romaco.ca/blog/2015/02/01/fix-nfs-stalls-on-linux-with-fast-networking-like-infiniband/",
    ),
    KnownBad(
        name="ipoib-connected-gfp-kernel",
        mode=CONNECTED,
        until="3.16",
        what="IPoIB in connected mode creates its queue pairs with GFP_KERNEL: NFS that writes back over it may "
        "deadlock until memory is free (mainline before 3.16; distributions have the fix earlier)",
        way_out="use datagram mode (echo datagram > /sys/class/net/INTERFACE/mode), or a kernel with the commit",
        source="Linux 09b93088d750 (IB: Add a QP creation flag to use GFP_NOIO allocations)",
    ),
    KnownBad(
        name="rdmavt-connected-gfp-kernel",
        drivers=("hfi1",),
        mode=CONNECTED,
        until="4.6",
        what="queue pairs of IPoIB in connected mode are created with GFP_KERNEL, although IPoIB asks for GFP_NOIO: "
        "NFS that writes back over it deadlocks when memory is tight (mainline before 4.6)",
        way_out="use datagram mode, or a kernel with the commit",
        source="Linux d2b8d4da1ca5 (IB/rdmavt: Support creating qps with GFP_NOIO flag)",
    ),
    KnownBad(
        name="mthca-connected-gfp-kernel",
        drivers=("ib_mthca",),
        mode=CONNECTED,
        since="3.16",
        until="4.13",
        what="ib_mthca knows no GFP_NOIO for queue pairs, so IPoIB in connected mode creates them with GFP_KERNEL "
        "and may deadlock with writeback, until IPoIB itself forbids that (mainline before 4.13)",
        way_out="use datagram mode, or a kernel with the commit",
        source="Linux d83187dda9b9 (IB/IPoIB: Convert IPoIB to memalloc_noio_* calls)",
    ),
    KnownBad(
        name="mlx5-firmware-kexec",
        drivers=("mlx5_core",),
        types=("MT4115",),
        firmware_below="12.17.2020",
        what="with this firmware a ConnectX-4 for InfiniBand does not behave after kexec, which is how a run boots its "
        "kernel",
        way_out='update its firmware to 12.17.2020 or later, or keep the owner\'s kernel (kernel = "owner")',
        source="https://github.com/open-power/op-build/pull/781",
    ),
    KnownBad(
        name="mlx4-firmware-too-old",
        drivers=("mlx4_core",),
        firmware_below="2.3.0",
        what="this firmware is older than the driver supports",
        way_out="update it to 2.3.0 at least",
        source="OFED 1.4, mlx4_release_notes.txt, section 2",
    ),
    KnownBad(
        name="connectx2-timeout-floor",
        drivers=("mlx4_core",),
        types=("MT26428",),
        what="the firmware of a ConnectX-2 waits at least 500 ms before it sends again: after a peer is lost, buffers "
        "are held for about 4 s before an error says so, which looks like a stall",
        way_out="allow for it when a peer is lost, or set qp_minimal_timeout_val = 0 in its firmware",
        source="https://ramcloud.atlassian.net/wiki/spaces/RAM/pages/6848686/Updating+Mellanox+NIC+Firmware",
    ),
)


def suspects(facts: RdmaFacts, kernel: str, records: Sequence[KnownBad] = RECORDS) -> tuple[Suspect, ...]:
    """The devices of a host on that kernel that a record is about; `kernel` is a release, such as 6.1.0-40-amd64."""
    return tuple(
        Suspect(
            device=hca.name,
            name=record.name,
            what=record.what,
            way_out=record.way_out,
            source=record.source,
            interfaces=using,
        )
        for hca in facts.hcas
        for record in records
        if record.matches(hca, kernel)
        for using in _uses(hca, facts.interfaces, record)
    )


def _uses(hca: Hca, interfaces: Sequence[IpoibInterface], record: KnownBad) -> Iterator[tuple[str, ...]]:
    """The interfaces that a record is about, once; nothing if it is about a mode that no interface is in."""
    own = [one for one in interfaces if one.device == hca.name]
    if record.mode:
        if chosen := tuple(one.name for one in own if one.mode == record.mode):
            yield chosen
        return
    named = {one.name for one in own} | {name for port in hca.ports for name in port.netdevs}
    yield tuple(sorted(named))


def _numbers(text: str) -> tuple[int, ...]:
    """The version at the beginning of a text: 6.1.0-40-amd64 → (6, 1, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()
