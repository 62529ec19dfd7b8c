"""A survey of an owned host, for tests to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.physical.survey import HostSurvey, SurveyedDisk, SurveyedInterface, SurveyedPort

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


PORT = SurveyedPort(
    device="mlx4_0",
    port="1",
    driver="mlx4_core",
    board="MT_1090110028",
    type="MT4099",
    firmware="2.42.5000",
    state="ACTIVE",
    rate="40 Gb/sec (4X QDR)",
    link_layer="InfiniBand",
)


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
        infiniband=(PORT,),
        users=(),
        settings={"vm.swappiness": "60", "vm.user_reserve_kbytes": "17473"},
        services={"running": ("ssh.service", "cron.service"), "failed": ()},
        watchdogs=(),
        programs=("nbd-client", "mkswap"),
    )
    return replace(host, **changes)
