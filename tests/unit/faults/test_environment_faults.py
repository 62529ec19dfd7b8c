"""Faults of the hypervisor and of the harness's own machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from fakes import guest_spec, hypervisor_of, make_site

from harness.drivers.libvirt.guest import LibvirtGuest
from harness.faults.controller_load import BUSY, Overload
from harness.faults.guest import KillHypervisor, ManagementCut
from harness.model.errors import InfraError


def test_the_management_network_is_cut_and_comes_back() -> None:
    site, fault = make_site(), ManagementCut(role="client", at_s=1.0, heal_after_s=9.0)
    fault.inject(site)
    fault.heal(site)
    assert hypervisor_of(site.role("client")).acts == ["link mgmt down", "link mgmt up"]


def test_qemu_is_killed_and_not_asked() -> None:
    site, fault = make_site(), KillHypervisor(role="client")
    fault.inject(site)
    fault.heal(site)
    assert hypervisor_of(site.role("client")).acts == ["kill"]


def test_a_guest_that_is_no_process_of_this_machine_cannot_be_killed() -> None:
    site = make_site()
    hypervisor_of(site.role("client")).failing["kill"] = InfraError("no process of this machine runs it")
    with pytest.raises(InfraError, match="no process"):
        KillHypervisor(role="client").inject(site)


def guest(uuid: UUID) -> LibvirtGuest:
    """A driver of a guest that nobody asked libvirt for."""
    driver = LibvirtGuest.__new__(LibvirtGuest)
    driver.spec = guest_spec("g", uuid=uuid)
    return driver


def test_the_process_that_is_killed_is_the_one_with_the_guests_uuid() -> None:
    uuids = [uuid4(), uuid4()]
    script = "import time; print(flush=True); time.sleep(60)"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, "-uuid", str(uuid)], stdout=subprocess.PIPE) for uuid in uuids
    ]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdout.readline()
        guest(uuids[1]).kill()
        assert processes[1].wait(timeout=60) == -9 and processes[0].poll() is None
        with pytest.raises(InfraError, match="g: no process of this machine runs it"):
            guest(uuid4()).kill()
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_no_more_busy_processes_than_processors_and_none_after_it() -> None:
    site, fault = make_site(), Overload(processes=10_000, heal_after_s=30.0)
    before = {child.pid for child in psutil.Process().children()}
    fault.inject(site)
    started = [child for child in psutil.Process().children() if child.pid not in before]
    try:
        assert len(started) == (os.cpu_count() or 1)
    finally:
        fault.heal(site)
    assert not any(child.is_running() for child in started)
    fault.heal(site)


def test_busy_processes_end_by_themselves_when_their_time_is_over() -> None:
    command = [sys.executable, "-I", "-S", "-c", BUSY, "0.2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as busy:
        assert busy.wait(timeout=60) == 0


def test_busy_processes_die_with_the_harness(tmp_path: Path) -> None:
    """A harness that is killed in the middle: another process injects, says the pids, and is killed."""
    script = (
        "from harness.faults.controller_load import Overload\n"
        "fault = Overload(processes=1, heal_after_s=600.0)\n"
        "fault.inject(None)\n"
        "print(fault._running[0].pid, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    busy = psutil.Process(int(harness.stdout.readline()))
    harness.kill()
    harness.communicate()
    psutil.wait_procs([busy], timeout=60)
    assert not busy.is_running() or busy.status() == psutil.STATUS_ZOMBIE
