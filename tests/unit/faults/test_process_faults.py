"""Faults of processes, servers and the clock: the commands that hosts get, and what counts as having happened."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fakes import hypervisor_of, make_site, no_answer, shell_of

from harness.faults.base import Fault
from harness.faults.process import AGENT, ClockJump, FreezeAgent, KillAgent, KillProcess, OomKill, OomKillAgent
from harness.faults.servers import NbdServerRestart, NfsServerRestart
from harness.model.errors import InfraError, ShellError
from harness.model.power import PowerState
from harness.site.target import Site

OVER_THE_SHELL: list[Fault] = [
    KillAgent(role="client"),
    FreezeAgent(role="client"),
    KillProcess(role="client", comm="nbd-client"),
    OomKill(role="client", comm="thrash"),
    OomKillAgent(role="client"),
    ClockJump(role="client", seconds=60),
    NfsServerRestart(role="client"),
    NbdServerRestart(role="client"),
]


def done_by(act: Callable[[Site], None]) -> str:
    site = make_site()
    act(site)
    (command,) = shell_of(site.role("client")).commands
    subprocess.run(["sh", "-n", "-c", command], check=True)
    return command


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes with the command line of an agent: a main one and, started later, a child."""
    (tmp_path / "agent.py").write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    processes = []
    for _ in range(2):
        command = [sys.executable, "agent.py", "agent.json"]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE))
        assert processes[-1].stdout is not None and processes[-1].stdout.readline()
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def found_by(options: str) -> list[str]:
    """What `pgrep` with the agent's pattern finds below this process, run as the faults run it: in a shell."""
    command = f"true; pgrep {options} -P {os.getpid()} -f {shlex.quote(AGENT)}; true"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.split()


def test_the_pattern_finds_the_agent_and_not_the_shell_that_looks(agent: list[subprocess.Popen[bytes]]) -> None:
    assert found_by("") == [str(process.pid) for process in agent]
    assert found_by("-o") == [str(agent[0].pid)], "the oldest is the main one"


def test_the_agents_main_process_is_killed_and_all_of_it_is_frozen() -> None:
    assert shlex.split(done_by(KillAgent(role="client").inject)) == ["pkill", "-KILL", "-o", "-f", AGENT]
    freeze = FreezeAgent(role="client")
    assert shlex.split(done_by(freeze.inject)) == ["pkill", "-STOP", "-f", AGENT]
    assert shlex.split(done_by(freeze.heal)) == ["pkill", "-CONT", "-f", AGENT]


def test_a_process_is_killed_by_its_whole_name() -> None:
    kill = KillProcess(role="client", comm="rpc.mountd")
    assert shlex.split(done_by(kill.inject)) == ["pkill", "-KILL", "-x", r"rpc\.mountd"]


def test_a_shell_that_dies_of_what_it_killed_has_killed_it() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("pkill", exit_code=-1)
    KillProcess(role="client", comm="nbd-client").inject(site)
    with pytest.raises(ShellError, match="exit code -1"):
        FreezeAgent(role="client").inject(site)


def test_the_oom_killer_is_aimed_before_it_is_called_and_asked_whom_it_took() -> None:
    lines = done_by(OomKill(role="client", comm="rpc.mountd").inject).splitlines()
    assert r"pgrep -n -x 'rpc\.mountd'" in lines[0]
    assert re.search(r"1000 >/proc/\$pid/oom_score_adj && echo f >/proc/sysrq-trigger", lines[1])
    assert 'grep -q "Killed process $pid ("' in lines[2]
    assert "pgrep -o -f" in done_by(OomKillAgent(role="client").inject)


@pytest.mark.parametrize("seconds", [3600, -86400])
def test_a_clock_that_jumped_jumps_back(seconds: int) -> None:
    jump = ClockJump(role="client", seconds=seconds)
    assert shlex.split(done_by(jump.inject))[:3] == ["date", "-s", f"{seconds:+d} seconds"]
    assert shlex.split(done_by(jump.heal))[:3] == ["date", "-s", f"{-seconds:+d} seconds"]


def test_servers_stop_and_come_back() -> None:
    nfs, nbd = NfsServerRestart(role="client"), NbdServerRestart(role="client")
    assert done_by(nfs.inject).endswith(" && rpc.nfsd 0")
    assert "rpc.nfsd $(cat /run/harness/nfsd-again)" in done_by(nfs.heal)
    assert "kill -STOP $server && pkill -KILL -P $server" in done_by(nbd.inject)
    assert done_by(nbd.heal) == "pkill -CONT -o -x nbd-server"


@pytest.mark.parametrize("fault", OVER_THE_SHELL)
def test_a_command_that_the_host_refuses_is_no_fault_that_happened(fault: Fault) -> None:
    site = make_site()
    shell_of(site.role("client")).answer("", "there is no such task", exit_code=3)
    with pytest.raises(InfraError, match="exit code 3"):
        fault.inject(site)


@pytest.mark.parametrize("lost", [no_answer("x"), ShellError(host="c1", command="x", problem="SSH: reset")])
def test_an_answer_that_is_lost_with_its_host_is_no_error(lost: Exception) -> None:
    site = make_site()
    shell_of(site.role("client")).replies[""] = lost
    hypervisor_of(site.role("client")).power = PowerState.CRASHED
    OomKill(role="client", comm="thrash").inject(site)


def test_no_answer_from_a_host_that_lives_is_an_error() -> None:
    site = make_site()
    shell_of(site.role("client")).replies[""] = no_answer("x")
    with pytest.raises(InfraError):
        KillAgent(role="client").inject(site)


def test_what_was_killed_stays_so() -> None:
    site = make_site()
    killed = (KillAgent(role="client"), KillProcess(role="client", comm="x"), OomKill(role="client", comm="x"))
    for fault in (*killed, OomKillAgent(role="client")):
        fault.heal(site)
    assert not shell_of(site.role("client")).commands


@pytest.mark.parametrize("fault", OVER_THE_SHELL)
def test_every_fault_says_what_it_does_to_whom(fault: Fault) -> None:
    assert "client" in fault.describe()


def test_stopping_the_server_kills_what_serves_and_keeps_who_listens(tmp_path: Path) -> None:
    """The command itself, with a `pgrep` that finds a parent of ours."""
    script = "import os, time\npid = os.fork()\nif pid: print(pid, flush=True)\ntime.sleep(60)\n"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        (tmp_path / "pgrep").write_text(f"#!/bin/sh\necho {parent.pid}\n")
        (tmp_path / "pgrep").chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        command = done_by(NbdServerRestart(role="client").inject)
        subprocess.run(["sh", "-c", command], env={"PATH": path}, check=True)
        assert psutil.Process(parent.pid).status() == psutil.STATUS_STOPPED
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:  # a time limit of the test run ends it otherwise
            time.sleep(0.01)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
