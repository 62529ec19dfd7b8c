"""What a host that somebody owns is, as one JSON text on standard output; only reads, and needs Python 3.7.

Runs by itself there, as root: `python3 -I -S -c TEXT PROGRAM…`. What cannot be read is left out.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import time

LIMIT = 64 * 1024
COMMAND_S = 20
# Settings that change by themselves, or when they are read.
RESTLESS = ("drop_caches", "stat_refresh", "compact_memory")


def read(path: str, default: str = "") -> str:
    """The text of a file, without its last newline."""
    try:
        with open(path, errors="replace") as file:
            return file.read(LIMIT).rstrip("\n\0")
    except OSError:
        return default


def run(*command: str) -> str:
    """What a command prints; "" if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=COMMAND_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[:LIMIT].decode("utf-8", "replace")


def link(path: str) -> str:
    """The last part of what a symbolic link leads to."""
    return os.path.basename(os.path.realpath(path)) if os.path.exists(path) else ""


def kernel() -> dict[str, object]:
    """The kernel that runs."""
    return {
        "kernel": os.uname().release,
        "boot_id": read("/proc/sys/kernel/random/boot_id"),
        "cmdline": read("/proc/cmdline"),
        "uuid": read("/sys/class/dmi/id/product_uuid"),
        "model": read("/sys/class/dmi/id/product_name"),
        "hostname": socket.gethostname(),
        "uptime_s": float(read("/proc/uptime", "0").split()[0]),
        "clock": time.time(),
        "kdump": read("/sys/kernel/kexec_crash_loaded") == "1",
        "lockdown": next((w[1:-1] for w in read("/sys/kernel/security/lockdown").split() if w[0] == "["), ""),
    }


def memory() -> dict[str, object]:
    """Sizes in bytes."""
    values = dict(line.split(":") for line in read("/proc/meminfo").splitlines())

    def of(name: str) -> int:
        return int(values.get(name, "0 kB").split()[0]) * 1024

    run_fs = os.statvfs("/run")
    return {
        "memory": of("MemTotal"),
        "memory_available": of("MemAvailable"),
        "run_free": run_fs.f_bavail * run_fs.f_frsize,
        "cpus": os.cpu_count() or 0,
        "processor": next(
            (
                line.partition(":")[2].strip()
                for line in read("/proc/cpuinfo").splitlines()
                if line.startswith("model name")
            ),
            "",
        ),
    }


def mounts() -> tuple[list[list[str]], dict[str, str]]:
    """Device, place and type of each mount, and the device numbers that are mounted."""
    found: list[list[str]] = []
    numbers: dict[str, str] = {}
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        found.append([rest[1], fields[4], rest[0]])
        numbers.setdefault(fields[2], fields[4])
    return found, numbers


def swaps() -> list[str]:
    """Swap areas by their real path."""
    return [os.path.realpath(line.split()[0]) for line in read("/proc/swaps").splitlines()[1:]]


def by_id() -> dict[str, list[str]]:
    """Stable names by the kernel's name of the disk or partition."""
    names: dict[str, list[str]] = {}
    for path in sorted(glob.glob("/dev/disk/by-id/*")):
        names.setdefault(link(path), []).append(os.path.basename(path))
    return names


def users_of(name: str, numbers: dict[str, str], swapped: list[str]) -> tuple[list[str], str]:
    """What uses a disk or partition: one word for each."""
    folder = "/sys/class/block/" + name
    uses = []
    number = read(folder + "/dev")
    if number in numbers:
        uses.append("mounted on " + numbers[number])
    if "/dev/" + name in swapped:
        uses.append("swap")
    for holder in sorted(os.listdir(folder + "/holders")) if os.path.isdir(folder + "/holders") else ():
        kind = read(f"/sys/class/block/{holder}/dm/uuid").partition("-")[0]
        uses.append("part of {}{}".format(holder, f" ({kind})" if kind else ""))
    signature = dict(
        line.partition("=")[::2] for line in run("blkid", "-p", "-o", "export", "/dev/" + name).splitlines()
    )
    kind = signature.get("TYPE", "")
    if kind in (
        "LVM2_member",
        "linux_raid_member",
        "zfs_member",
        "btrfs",
        "crypto_LUKS",
        "bcache",
        "drbd",
        "ceph_bluestore",
    ):
        uses.append(kind)
    return uses, kind or signature.get("PTTYPE", "")


def disks() -> list[dict[str, object]]:
    """Whole disks, with what uses them and their partitions."""
    names, (_, numbers), swapped = by_id(), mounts(), swaps()
    found = []
    for folder in sorted(glob.glob("/sys/block/*")):
        name = os.path.basename(folder)
        if name.startswith(("loop", "ram", "zram", "dm-", "md", "sr", "nbd", "fd")) or read(folder + "/size") in (
            "",
            "0",
        ):
            continue
        parts = [os.path.basename(os.path.dirname(path)) for path in sorted(glob.glob(folder + "/*/partition"))]
        uses, signature = users_of(name, numbers, swapped)
        for part in parts:
            uses += [f"{part} {use}" for use in users_of(part, numbers, swapped)[0]]
        found.append(
            {
                "name": name,
                "ids": names.get(name, []),
                "size": int(read(folder + "/size")) * 512,
                "serial": (read(folder + "/serial") or read(folder + "/device/serial")).strip(),
                "model": (read(folder + "/device/model")).strip(),
                "partitions": parts,
                "uses": uses,
                "signature": signature,
            }
        )
    return found


def addresses() -> dict[str, list[str]]:
    """Addresses with prefix, by interface."""
    found = {}
    try:
        for entry in json.loads(run("ip", "-j", "address") or "[]"):
            found[entry["ifname"]] = [
                f"{one['local']}/{one['prefixlen']}" for one in entry.get("addr_info", ()) if "local" in one
            ]
    except (ValueError, KeyError, TypeError):
        pass
    return found


def carrier() -> str:
    """The address of this host over which the SSH connection comes."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) == 4:
        return words[2]
    # sudo drops the variable: a parent still has it.
    pid = os.getppid()
    while pid > 1:
        for entry in read(f"/proc/{pid}/environ").split("\0"):
            if entry.startswith("SSH_CONNECTION="):
                return entry.split()[2]
        status = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        pid = int(status[1]) if len(status) > 1 else 0
    return ""


def interfaces() -> list[dict[str, object]]:
    """Network interfaces."""
    known, management = addresses(), carrier()
    found = []
    for folder in sorted(glob.glob("/sys/class/net/*")):
        name = os.path.basename(folder)
        own = known.get(name, [])
        information = dict(line.partition(": ")[::2] for line in run("ethtool", "-i", name).splitlines())
        found.append(
            {
                "name": name,
                "mac": read(folder + "/address"),
                "driver": link(folder + "/device/driver"),
                "firmware": information.get("firmware-version", "").strip(),
                "speed": read(folder + "/speed"),
                "type": read(folder + "/type"),
                "up": read(folder + "/operstate") in ("up", "unknown"),
                "addresses": own,
                "is_management": bool(management) and management in [one.partition("/")[0] for one in own],
            }
        )
    return found


def users() -> list[str]:
    """Who is logged in at a terminal; the harness's own connections have none."""
    return [" ".join(line.split()) for line in run("who").splitlines()]


def settings() -> dict[str, str]:
    """Settings that a trial may change."""
    found = {}
    for path in sorted([*glob.glob("/proc/sys/vm/*"), "/proc/sys/kernel/sysrq", "/proc/sys/kernel/printk"]):
        if os.path.isfile(path) and os.path.basename(path) not in RESTLESS:
            found[path.replace("/proc/sys/", "").replace("/", ".")] = " ".join(read(path).split())
    return found


def services() -> dict[str, list[str]]:
    """Units of systemd that run, and those that failed."""
    found = {}
    for state in ("running", "failed"):
        text = run(
            "systemctl", "list-units", "--state=" + state, "--type=service", "--plain", "--no-legend", "--no-pager"
        )
        found[state] = sorted(line.split()[0] for line in text.splitlines() if line.strip())
    return found


def main() -> None:
    """Print everything."""
    result: dict[str, object] = {}
    result.update(kernel())
    result.update(memory())
    result["mounts"] = mounts()[0]
    result["swaps"] = swaps()
    result["modules"] = sorted(line.split()[0] for line in read("/proc/modules").splitlines())
    result["disks"] = disks()
    result["interfaces"] = interfaces()
    result["users"] = users()
    result["settings"] = settings()
    result["services"] = services()
    result["watchdogs"] = sorted(glob.glob("/dev/watchdog[0-9]*"))
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    result["programs"] = [name for name in sys.argv[1:] if shutil.which(name)]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
