"""What is wrong with an inventory or a host is one line with exit code 2, and the host is as it was."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.physical.survey import differences
from tests.testbed.places import BMC_PORT, double
from tests.testbed.rack import hosts, inventory, is_free, look, on_host

pytestmark = pytest.mark.physical
HOST = os.environ.get("HARNESS_TROUBLED_HOST", "m4")
OTHER = {"m3": "m4", "m4": "m3"}[HOST]
TOPOLOGY = {"m3": "third", "m4": "fourth"}[HOST]
END_S = 300.0
SUDOERS = "/etc/sudoers.d/zz-harness-test"
FULL = "/run/harness-test-fill"


def edited(folder: Path, pattern: str, replacement: str) -> Path:
    """The inventory with a change in the table of the host."""
    before, mark, rest = inventory().read_text().partition(f'[[host]]\nname = "{HOST}"\n')
    table, end, after = rest.partition("\n\n")
    changed, count = re.subn(pattern, replacement, table)
    assert count == 1, table
    path = folder / "rack.toml"
    path.write_text(before + mark + changed + end + after)
    return path


def refused(state: Path, rack: Path, *options: str, **environment: str) -> str:
    """The one line that a command answers with."""
    command = [sys.executable, "-m", "harness.cli", "up", TOPOLOGY, "--inventory", str(rack), *options]
    done = subprocess.run(
        [*command, "--state", str(state), "--", "true"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_S,
    )
    assert done.returncode == 2, done.stderr
    assert f"{HOST}: reboot" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]  # before it are the steps of a preparation
    assert done.stderr.count("harness: ") == 1 and last.startswith("harness: "), done.stderr
    return last


@pytest.fixture(autouse=True)
def nothing_changes() -> Iterator[None]:
    """The host is free and as it was after each of these."""
    before = look(HOST)
    yield
    assert is_free(HOST)
    assert differences(before, look(HOST)) == ()


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (rf"port = {BMC_PORT}", "port = 6999", "does not answer"),
        (r"cipher = 3", "cipher = 15", "cipher"),
        (r'user = "admin"', 'user = "nobody"', "user"),
        (r"password = \{[^}]*\}", 'password = { env = "HARNESS_NO_SUCH_SECRET" }', "HARNESS_NO_SUCH_SECRET"),
        (r'scratch_serial = "[^"]*"', 'scratch_serial = "another"', "the inventory says another"),
        (r'scratch_size = "[^"]*"', 'scratch_size = "3 GiB"', "the inventory says 3 GiB"),
        (r'scratch = "[^"]*"', 'scratch = "/dev/disk/by-id/nvme-absent"', "it has no disk"),
        (
            r'scratch = "[^"]*"\nscratch_serial = .*\nscratch_size = .*',
            'scratch = "/dev/disk/by-id/virtio-owner-root"',
            "is in use",
        ),
        (r"boot_s = 300", 'boot_s = 300\\nexpect = { memory = "64 GiB" }', "the inventory expects 64 GiB"),
        (r'host_key = "[^"]*"', 'host_key = "{other}"', "SHA256:"),
        (r'user = "owner"', 'user = "root"', "root"),
        (r"disposable = true", "disposable = false", "is not disposable"),
    ],
)
def test_an_inventory_that_is_wrong(state: Path, tmp_path: Path, pattern: str, replacement: str, words: str) -> None:
    other = hosts()[OTHER].host_key if "{other}" in replacement else ""
    line = refused(state, edited(tmp_path, pattern, replacement.replace("{other}", other)))
    assert words in line and HOST in line, line


def test_a_wrong_password(state: Path, tmp_path: Path) -> None:
    rack = edited(tmp_path, r"password = \{[^}]*\}", 'password = { env = "HARNESS_TEST_SECRET" }')
    line = refused(state, rack, HARNESS_TEST_SECRET="not-the-password")
    assert "password" in line and HOST in line and "not-the-password" not in line


def test_the_bmc_of_another_host(state: Path, tmp_path: Path) -> None:
    rack = edited(tmp_path, re.escape(double(HOST).bmc_address), double(OTHER).bmc_address)
    text = rack.read_text()  # which has each BMC once
    text = re.sub(rf'\[\[host\]\]\nname = "{OTHER}"\n(.+\n)+', "", text)
    rack.write_text(re.sub(rf'\[\[topology\]\]\n.*\nroles = .*"{OTHER}".*\n', "", text))
    assert "its BMC belongs to another machine" in refused(state, rack)


def test_the_console_of_another_host(state: Path, tmp_path: Path) -> None:
    """The other host's serial port in place of its own: it answers, and does not show what this kernel prints."""
    other = f'console = {{ driver = "telnet", address = "{double(OTHER).bmc_address}", port = 6001 }}'
    line = refused(state, edited(tmp_path, r"console = \{[^}]*\}", other))
    assert "console" in line and HOST in line, line


@contextmanager
def done_on_host(command: str, undo: str) -> Iterator[None]:
    on_host(HOST, command)
    try:
        yield
    finally:
        on_host(HOST, undo)


def test_a_clock_that_is_a_day_off(state: Path) -> None:
    with done_on_host("systemctl stop systemd-timesyncd; date -s '-1 day'", "date -s '+1 day'"):
        line = refused(state, inventory())
    on_host(HOST, "systemctl reset-failed; systemctl start systemd-timesyncd || :")
    assert "its clock is" in line and "behind this machine's" in line


def test_a_run_that_is_full(state: Path) -> None:
    fill = f"dd if=/dev/zero of={FULL} bs=64k 2>/dev/null; truncate -s -65536 {FULL}"
    with done_on_host(fill, f"rm {FULL}"):
        line = refused(state, inventory())
    assert "its /run has" in line, line


def test_a_scratch_disk_that_is_mounted(state: Path) -> None:
    disk = shlex.quote(f"/dev/disk/by-id/virtio-{double(HOST).scratch_serial}")
    wipe = f"umount /mnt; wipefs -qa {disk}; udevadm settle"
    with done_on_host(f"mkfs.ext4 -q {disk} && mount {disk} /mnt", wipe):
        line = refused(state, inventory())
    assert "is in use" in line and "/mnt" in line


def test_a_sudo_that_asks_for_a_password(state: Path) -> None:
    """As after somebody's change of the rules; it is undone by a timer of the host, which needs no sudo."""
    rule = "owner ALL=(ALL) PASSWD: ALL"
    on_host(HOST, "systemd-run --quiet --on-active=40 rm %s && echo %s >%s", SUDOERS, rule, SUDOERS)
    try:
        line = refused(state, inventory())
    finally:
        _until_sudo_works()
    assert "sudo" in line and "password" in line and HOST in line


def _until_sudo_works() -> None:
    deadline = Deadline.after(120.0)
    while True:
        try:
            on_host(HOST, "true")
            return
        except Exception:
            if deadline.passed:
                raise
            deadline.clock.sleep(2.0)


def test_a_kernel_under_lockdown_refuses_kexec_of_what_nobody_signed(state: Path) -> None:
    """Last: only a boot ends a lockdown."""
    on_host(HOST, "echo integrity >/sys/kernel/security/lockdown")
    try:
        line = refused(state, inventory(), "--kernel", "debian:12")
        assert "[integrity]" in on_host(HOST, "cat /sys/kernel/security/lockdown"), "it was not booted"
    finally:
        on_host(HOST, "systemd-run --quiet --on-active=1 systemctl reboot")
        _until_it_is_back()
    assert HOST in line and ("lockdown" in line or "kexec" in line), line


def _until_it_is_back() -> None:
    deadline = Deadline.after(300.0)
    deadline.clock.sleep(10.0)
    while True:
        try:
            if "[none]" in on_host(HOST, "cat /sys/kernel/security/lockdown"):
                return
        except Exception:
            if deadline.passed:
                raise
        deadline.clock.sleep(2.0)
