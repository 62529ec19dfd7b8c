"""What a host boots from, as JSON on stdout: for a kernel of the run, started by kexec. Reads only, as root."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess

BY_UUID = "/dev/disk/by-uuid"


def read(path: str) -> str:
    """The text of a file, without the newline at its end; "" if there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip("\n")
    except OSError:
        return ""


def output(*argv: str) -> str:
    """What a command prints; "" if it is not there."""
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20).stdout.decode()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def mounts() -> dict[str, tuple[str, str, str]]:
    """Mount point → type, source and options of the file system that is seen there."""
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, source, options = [*after.split(), "", ""][:3]
        found[before.split()[4]] = (kind, source, options)
    return found


def device_of(path: str) -> str:
    """The block device that `path` is on; "" if the file system has none of its own, such as btrfs."""
    number = os.stat(path).st_dev
    events = read(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/uevent").splitlines()
    return next((f"/dev/{line[8:]}" for line in events if line.startswith("DEVNAME=")), "")


def uuids(device: str) -> list[str]:
    """Names of the file system on `device`, as udev knows it."""
    names = os.listdir(BY_UUID) if os.path.isdir(BY_UUID) else []
    return [name for name in names if os.path.realpath(f"{BY_UUID}/{name}") == device]


def copies(uuid: str) -> int:
    """How many devices hold a file system of that name."""
    return len([line for line in output("blkid").splitlines() if f' UUID="{uuid}"' in line])


def chain(device: str) -> dict[str, list[str]]:
    """Of the devices between the processor and a disk: `modaliases`, and `drivers`, the modules that drive them."""
    aliases, drivers = [], []
    place = os.path.realpath(f"/sys/class/block/{os.path.basename(device)}")
    while place.startswith("/sys/devices/"):
        for folder in (place, f"{place}/device"):
            aliases.append(read(f"{folder}/modalias"))
            module = os.path.realpath(f"{folder}/driver/module")
            drivers.append(os.path.basename(module) if module.startswith("/sys/module/") else "")
        place = os.path.dirname(place)
    return {"modaliases": [*filter(None, reversed(aliases))], "drivers": [*filter(None, reversed(drivers))]}


def root() -> dict[str, object]:
    """The root file system and the device that it is on."""
    kind, source, options = mounts().get("/", ("", "", ""))
    device = device_of("/") or os.path.realpath(source)
    uuid = next(iter(uuids(device)), "")
    return {
        "fstype": kind,
        "source": source,
        "device": device,
        "options": options,
        "uuid": uuid,
        "copies": copies(uuid) if uuid else 0,
        "devices": len(glob.glob(f"/sys/fs/btrfs/{uuid}/devices/*")) if kind == "btrfs" else 1,
        **chain(device),
    }


def modaliases() -> list[str]:
    """What all devices of the host say of themselves."""
    found = {read(path) for path in glob.glob("/sys/bus/*/devices/*/modalias")}
    return sorted(found - {""})


def available() -> int:
    """Bytes of memory that can be had without swapping."""
    lines = (line.split() for line in read("/proc/meminfo").splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), 0)


def chosen(setting: str) -> str:
    """The setting in brackets: `none [integrity] confidentiality`."""
    return setting.partition("[")[2].partition("]")[0]


def facts() -> dict[str, object]:
    """All facts."""
    return {
        "machine": os.uname().machine,
        "release": os.uname().release,
        "boot_id": read("/proc/sys/kernel/random/boot_id"),
        "cmdline": read("/proc/cmdline"),
        "loaded": sorted(line.split()[0] for line in read("/proc/modules").splitlines()),
        "modaliases": modaliases(),
        "root": root(),
        "modules_dir": os.path.realpath("/lib/modules"),
        "separate_usr": "/usr" in mounts(),
        "compressions": [word[1:].lower() for word in output("kmod", "--version").split() if word[0] == "+"],
        "has_systemd": os.path.isdir("/run/systemd/system"),
        "kexec": shutil.which("kexec", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin") or "",
        "kexec_disabled": read("/proc/sys/kernel/kexec_load_disabled") == "1",
        "kexec_known": os.path.exists("/sys/kernel/kexec_loaded"),
        "lockdown": chosen(read("/sys/kernel/security/lockdown")),
        "selinux_enforcing": read("/sys/fs/selinux/enforce") == "1",
        "memory_available": available(),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))
