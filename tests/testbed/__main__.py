"""`python -m tests.testbed up|down|status|bmc|path [NAME…]`: starts and ends the test bed, or some of its machines."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time

from harness.model.sizes import parse_size
from tests.testbed.chassis import Chassis
from tests.testbed.image import fabric_root, key, own_disk, run
from tests.testbed.inventory import write_inventory
from tests.testbed.login import answers
from tests.testbed.places import DOUBLES, SCRATCH_SIZE, SSH_PORT, USER, Double, double, folder
from tests.testbed.servers import (
    bmc_of,
    certificate,
    conserver,
    in_root,
    start_bmc,
    start_conserver,
    start_switch,
    switch,
)

BOOT_S = 600.0
# With the libraries of its own root, which is neither installed nor mounted anywhere.
WRAPPER = """\
#!/bin/sh
exec {command} "$@"
"""


def up(doubles: list[Double]) -> int:
    """Build what is missing, start what does not run, and wait until every double answers over SSH."""
    folder().mkdir(parents=True, exist_ok=True)
    make_wrappers()
    fabric_root()
    for one in DOUBLES:
        make_keys(one)
    for one in doubles:
        make_disks(one)
    print(f"inventory: {write_inventory()}", flush=True)
    print(f"put {folder() / 'bin'} in front of PATH: ipmitool and console of the test bed", flush=True)
    start_conserver()
    start_switch()
    for one in doubles:
        start_bmc(one)
        Chassis(one).on()
    return max((wait(one) for one in doubles), default=0)


def make_keys(one: Double) -> None:
    """Its host key and the certificate of its BMC, which the inventory names, made once."""
    one.home.mkdir(parents=True, exist_ok=True)
    private = one.home / "host_key"
    if not private.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", one.name, "-f", private)
    key()
    if one.bmc == "redfish":
        certificate(one)


def make_disks(one: Double) -> None:
    """Its disks, made once."""
    private = one.home / "host_key"
    disk = one.home / "disk.raw"
    if not disk.exists():
        own_disk(
            disk,
            {
                "etc/hostname": (f"{one.name}\n".encode(), 0o644),
                "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {one.name}\n".encode(), 0o644),
                f"home/{USER}/.ssh/authorized_keys": (key().with_suffix(".pub").read_bytes(), 0o644),
                "etc/ssh/ssh_host_ed25519_key": (private.read_bytes(), 0o600),
                "etc/ssh/ssh_host_ed25519_key.pub": (private.with_suffix(".pub").read_bytes(), 0o644),
            },
        )
    scratch = one.home / "scratch.raw"
    if not scratch.exists() or scratch.stat().st_size < parse_size(SCRATCH_SIZE):
        run("truncate", "-s", str(parse_size(SCRATCH_SIZE)), scratch)


def make_wrappers() -> None:
    """Clients of the BMCs and consoles, which are not installed on this machine."""
    (folder() / "bin").mkdir(exist_ok=True)
    for name in ("ipmitool", "console"):
        path = folder() / "bin" / name
        path.write_text(WRAPPER.format(command=shlex.join(in_root(f"usr/bin/{name}"))))
        path.chmod(0o755)


def wait(one: Double) -> int:
    """Wait until it answers; returns 0, or 1 if it does not."""
    begin = time.monotonic()
    while time.monotonic() - begin < BOOT_S:
        if answers(one):
            print(
                f"{one.name}: up, ssh {USER}@{one.address} port {SSH_PORT}, after {time.monotonic() - begin:.0f} s",
                flush=True,
            )
            return 0
        time.sleep(1)
    print(f"{one.name}: no SSH after {BOOT_S:.0f} s, see {one.home}/uart.log", flush=True)
    return 1


def down(doubles: list[Double]) -> int:
    """End the processes that `up` started, and no other."""
    for one in doubles:
        bmc_of(one).stop()
        was_on = Chassis(one).pid is not None
        Chassis(one).off()
        print(f"{one.name}: {'ended' if was_on else 'was not running'}")
    if not any(Chassis(one).pid or bmc_of(one).pid for one in DOUBLES):
        for server in (conserver(), switch()):
            print(f"{server.name}: {'ended' if server.stop() else 'was not running'}")
    return 0


def status(doubles: list[Double]) -> int:
    """Print what runs."""
    for one in doubles:
        pid, bmc = Chassis(one).pid, bmc_of(one).pid
        print(f"{one.name}: {'power on' if pid else 'power off'}, BMC {'runs' if bmc else 'does not run'}")
    return 0


def bmc(doubles: list[Double]) -> int:
    """Start the BMCs only."""
    for one in doubles:
        start_bmc(one)
    return 0


COMMANDS = {"up": up, "down": down, "status": status, "bmc": bmc}


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="testbed", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("names", nargs="*", help="default: m1 and m2 for up, all for the others")
    arguments = parser.parse_args()
    default = DOUBLES[:2] if arguments.command == "up" else DOUBLES
    doubles = [double(name) for name in arguments.names] or list(default)
    try:
        return COMMANDS[arguments.command](doubles)
    except subprocess.CalledProcessError as error:
        print(f"testbed: {error.cmd[0]} failed with exit code {error.returncode}; see above", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
