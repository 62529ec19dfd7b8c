"""What RDMA devices a host has, as one JSON text on standard output; only reads files, and needs Python 3.7.

Runs by itself there: `python3 -I -S -c TEXT [ROOT RELEASE]`, with what stands before /sys and /lib, and a kernel, for
tests. Every file is optional: no driver has all of them, and rxe has hardly any.
"""

from __future__ import annotations

import glob
import json
import os
import sys

LIMIT = 64 * 1024
TABLE_ENTRIES = 16  # of a port's GID table: those behind are of virtual functions
FAMILIES = ("ib_", "rdma_", "mlx", "hfi", "iw_", "rpcrdma", "svcrdma", "xprtrdma", "siw", "irdma", "bnxt_re", "qedr")
OTHERS = ("nvme_rdma", "nvmet_rdma", "opa_vnic", "vmw_pvrdma", "efa", "hns_roce_hw_v2", "erdma")
INFINIBAND = "32"  # include/uapi/linux/if_arp.h: ARPHRD_INFINIBAND


def read(path: str) -> str:
    """The text of a file, "" if there is none or it cannot be read: a port that is down fails reads of its GIDs."""
    try:
        with open(path, errors="replace") as file:
            return file.read(LIMIT).strip()
    except OSError:
        return ""


def whole(text: str, default: int = 0) -> int:
    """A number as sysfs writes them: 12, 0x1a, or with leading zeros."""
    try:
        return int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        return default


def names(pattern: str) -> list[str]:
    """The last parts of the paths that match."""
    return sorted(os.path.basename(path) for path in glob.glob(pattern))


def target(path: str) -> str:
    """The last part of what a symbolic link leads to."""
    return os.path.basename(os.path.realpath(path)) if os.path.exists(path) else ""


def counters(folder: str) -> dict[str, int]:
    """The numbers in a folder. A counter that the device lacks reads as "N/A (no PMA)"."""
    found = {name: whole(read(f"{folder}/{name}"), -1) for name in names(folder + "/*")}
    return {name: value for name, value in found.items() if value >= 0}


def port(device: str, folder: str) -> dict[str, object]:
    """One port of a device."""
    return {
        "number": whole(os.path.basename(folder)),
        "state": read(folder + "/state").partition(": ")[2],
        "phys_state": read(folder + "/phys_state").partition(": ")[2],
        "link_layer": read(folder + "/link_layer"),
        "rate": read(folder + "/rate"),
        "lid": whole(read(folder + "/lid")),
        "sm_lid": whole(read(folder + "/sm_lid")),
        "netdevs": netdevs(device, folder),
        "counters": counters(folder + "/counters"),
        "hw_counters": counters(folder + "/hw_counters"),
    }


def netdevs(device: str, port: str) -> list[str]:
    """The network interfaces of a port: those of its GIDs, and those of the PCI function that name it as theirs."""
    found = {read(f"{port}/gid_attrs/ndevs/{one}") for one in range(TABLE_ENTRIES)} | {read(device + "/parent")}
    for folder in glob.glob(device + "/device/net/*"):
        if port_of(folder) == whole(os.path.basename(port)):
            found.add(os.path.basename(folder))
    return sorted(found - {""})


def port_of(interface: str) -> int:
    """The port of a network interface: dev_port tells it, or with earlier kernels dev_id; both count from 0."""
    return max(whole(read(interface + "/dev_port")), whole(read(interface + "/dev_id"))) + 1


def hca(folder: str) -> dict[str, object]:
    """One device."""
    device = folder + "/device"
    driver = target(device + "/driver/module") or target(device + "/driver")
    return {
        "name": os.path.basename(folder),
        "driver": driver,
        "node_type": read(folder + "/node_type").partition(": ")[2],
        "board": read(folder + "/board_id"),
        "type": read(folder + "/hca_type"),
        "firmware": read(folder + "/fw_ver"),
        "guid": read(folder + "/node_guid"),
        "pci": target(device) if driver else "",
        "link_speed": read(device + "/current_link_speed"),
        "link_width": whole(read(device + "/current_link_width")),
        "max_link_speed": read(device + "/max_link_speed"),
        "max_link_width": whole(read(device + "/max_link_width")),
        "numa": whole(read(device + "/numa_node"), -1),
        "ports": [port(folder, one) for one in sorted(glob.glob(folder + "/ports/*"))],
    }


def interfaces(classes: str) -> list[dict[str, object]]:
    """Network interfaces of type InfiniBand."""
    found: list[dict[str, object]] = []
    for folder in sorted(glob.glob(classes + "/net/*")):
        if read(folder + "/type") == INFINIBAND:
            device = next(iter(names(folder + "/device/infiniband/*")), "")
            found.append(
                {
                    "name": os.path.basename(folder),
                    "mode": read(folder + "/mode"),
                    "mtu": whole(read(folder + "/mtu")),
                    "pkey": read(folder + "/pkey"),
                    "parent": read(folder + "/parent"),
                    "device": device,
                    "port": port_of(folder) if device else 0,
                }
            )
    return found


def modules(folder: str) -> list[dict[str, object]]:
    """The RDMA modules that are loaded, and their parameters."""
    loaded = [name for name in names(folder + "/*") if name.startswith(FAMILIES) or name in OTHERS]
    return [
        {
            "name": name,
            "version": read(f"{folder}/{name}/version"),
            "parameters": {
                one: read(f"{folder}/{name}/parameters/{one}") for one in names(f"{folder}/{name}/parameters/*")
            },
        }
        for name in loaded
        if os.path.exists(f"{folder}/{name}/initstate")  # not built in
    ]


def core_path(root: str, release: str) -> str:
    """Where the kernel's ib_core is from, below /lib/modules/RELEASE: OFED puts its own into updates or extra."""
    for line in read_lines(f"{root}/lib/modules/{release}/modules.dep"):
        path = line.partition(":")[0]
        if os.path.basename(path).partition(".")[0] == "ib_core":
            return path
    return ""


def read_lines(path: str) -> list[str]:
    """The lines of a file that may be long."""
    try:
        with open(path, errors="replace") as file:
            return file.readlines()
    except OSError:
        return []


def main() -> None:
    """Print everything."""
    root, release = sys.argv[1:3] if len(sys.argv) > 2 else ("", os.uname().release)
    classes, loaded = root + "/sys/class", root + "/sys/module"
    compat = loaded + "/mlx_compat"
    print(
        json.dumps(
            {
                "hcas": [hca(folder) for folder in sorted(glob.glob(classes + "/infiniband/*"))],
                "interfaces": interfaces(classes),
                "modules": modules(loaded),
                "core": core_path(root, release),
                "compat": os.path.isdir(compat),
                "compat_version": read(compat + "/parameters/compat_version") or read(compat + "/version"),
            }
        )
    )


if __name__ == "__main__":
    main()
