"""A survey of an owned host, for tests to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.fabric.hca import Hca, HcaPort, IpoibInterface, RdmaFacts
from harness.physical.survey import HostSurvey, SurveyedDisk, SurveyedInterface

UUID = "b0a7ed00-0000-4000-8000-000000000001"
GIB = 1 << 30


def disk(name: str, **changes: Any) -> SurveyedDisk:
    """A blank disk of 1 GiB."""
    blank = SurveyedDisk(
        name=name,
        ids=(f"virtio-{name}-id",),
        size=GIB,
        serial=f"{name}-serial",
        model="",
        partitions=(),
        uses=(),
        signature="",
    )
    return replace(blank, **changes)


def interface(name: str, **changes: Any) -> SurveyedInterface:
    """A card that is up and has no address."""
    card = SurveyedInterface(
        name=name,
        mac="52:54:00:00:00:01",
        driver="virtio_net",
        firmware="",
        speed="",
        type="1",
        up=True,
        addresses=(),
        is_management=False,
    )
    return replace(card, **changes)


PORT = HcaPort(
    number=1,
    state="ACTIVE",
    phys_state="LinkUp",
    link_layer="InfiniBand",
    rate="40 Gb/sec (4X QDR)",
    lid=3,
    sm_lid=1,
    netdevs=("ib0",),
    counters={"symbol_error": 0},
)
HCA = Hca(
    name="mlx4_0",
    driver="mlx4_core",
    node_type="CA",
    board="MT_1090110028",
    type="MT4099",
    firmware="2.42.5000",
    guid="0002:c903:0000:a1b0",
    pci="0000:03:00.0",
    link_speed="8.0 GT/s PCIe",
    link_width=8,
    max_link_speed="8.0 GT/s PCIe",
    max_link_width=8,
    numa=0,
    ports=(PORT,),
)
IB0 = IpoibInterface(name="ib0", mode="datagram", mtu=2044, pkey="0xffff", parent="", device="mlx4_0", port=1)


def survey(**changes: Any) -> HostSurvey:
    """A host with nothing against it: a root disk, a blank one, a management card and a link."""
    host = HostSurvey(
        kernel="6.1.0-57-amd64",
        boot_id="b1",
        cmdline="ro console=ttyS0",
        uuid=UUID,
        model="a machine",
        hostname="m1",
        uptime_s=100.0,
        clock=1_800_000_000.0,
        kdump=False,
        lockdown="none",
        memory=int(15.6 * GIB),
        memory_available=8 * GIB,
        run_free=GIB,
        cpus=8,
        processor="a processor",
        mounts=(("/dev/vda", "/", "ext4"), ("tmpfs", "/run", "tmpfs")),
        swaps=(),
        modules=("nbd", "virtio_net"),
        disks=(disk("vda", uses=("mounted on /",)), disk("vdb")),
        interfaces=(
            interface("eno1", addresses=("192.0.2.11/24",), is_management=True),
            interface("ib0", addresses=("10.77.0.1/24",), type="32"),
        ),
        rdma=RdmaFacts(hcas=(HCA,), interfaces=(IB0,)),
        users=(),
        settings={"vm.swappiness": "60", "vm.user_reserve_kbytes": "17473"},
        services={"running": ("ssh.service", "cron.service"), "failed": ()},
        watchdogs=(),
        programs=("nbd-client", "mkswap"),
    )
    return replace(host, **changes)
