"""Faults of the world around a host, for tests: each lasts for the body of its `with`, and is gone after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.testbed.chassis import Chassis
from tests.testbed.login import login
from tests.testbed.places import Double
from tests.testbed.servers import ROOT, bmc_of

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
BREATH_S = 0.1


@contextmanager
def bmc_dead(double: Double) -> Iterator[None]:
    """Its BMC is away: nothing listens on its port."""
    bmc_of(double).stop()
    try:
        yield
    finally:  # by a process of its own: what a test starts ends with it
        subprocess.run([sys.executable, "-m", "tests.testbed", "bmc", double.name], cwd=ROOT, check=True)


@contextmanager
def bmc_frozen(double: Double) -> Iterator[None]:
    """Its BMC hangs: packets arrive there, and no answer comes."""
    bmc_of(double).signal(signal.SIGSTOP)
    try:
        yield
    finally:
        bmc_of(double).signal(signal.SIGCONT)


@contextmanager
def bmc_slow(double: Double, pause_s: float) -> Iterator[None]:
    """Its BMC works for 0.1 s, then pauses for `pause_s`, and so on."""
    over = threading.Event()

    def pause() -> None:
        while not over.is_set():
            with bmc_frozen(double):
                over.wait(pause_s)
            over.wait(BREATH_S)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def ssh_cut(double: Double) -> Iterator[None]:
    """The cable of its management card is out: connections time out. The link between doubles stays."""
    Chassis(double).monitor("set_link", name="lan", up=False)
    try:
        yield
    finally:
        Chassis(double).monitor("set_link", name="lan", up=True)


@contextmanager
def host_key_changed(double: Double) -> Iterator[None]:
    """Another host key, as after a new installation, or as of another machine at its address."""
    new = f"sudo mv {HOST_KEY} {HOST_KEY}.owner && sudo ssh-keygen -q -t ed25519 -N '' -f {HOST_KEY}"
    old = f"sudo mv {HOST_KEY}.owner {HOST_KEY} && sudo sh -c 'ssh-keygen -y -f {HOST_KEY} >{HOST_KEY}.pub'"
    login(double, f"{new} && sudo systemctl restart ssh").check_returncode()
    try:
        yield
    finally:
        login(double, f"{old} && sudo systemctl restart ssh").check_returncode()
