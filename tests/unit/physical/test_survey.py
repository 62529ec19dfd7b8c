"""The survey: the script on this machine, a hostile host's answer, and what counts as a difference."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest
from surveys import interface, survey

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.physical import survey as module
from harness.physical.survey import HostSurvey, differences


@dataclass
class Said:
    """A shell that says one thing, and what RDMA devices a host has if it is asked for those."""

    stdout: str
    exit_code: int = 0
    stderr: str = ""

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        devices = json.dumps(survey().rdma.to_dict())
        text = devices if module.RDMA.read_text() in arguments else self.stdout
        return Completed(command=command, exit_code=self.exit_code, stdout=text, stderr=self.stderr)

    def put(self, source: object, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def asked(said: Said) -> HostSurvey:
    return module.survey(said, "m1", programs=("sh",), deadline=Deadline.after(10.0))


def test_the_script_surveys_this_machine_and_changes_nothing() -> None:
    argv = [sys.executable, "-I", "-S", "-c", module.SCRIPT.read_text(), "sh", "no-such-program"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = HostSurvey.from_dict({**json.loads(done.stdout), "rdma": survey().rdma.to_dict()})
    assert found.memory > found.memory_available > 0 and found.cpus > 0 and found.kernel
    assert found.programs == ("sh",) and "vm.swappiness" in found.settings
    assert any(mount[1] == "/" for mount in found.mounts)


def test_a_survey_survives_json() -> None:
    assert HostSurvey.from_dict(json.loads(json.dumps(survey().to_dict()))) == survey()


def test_a_motd_before_the_answer_does_no_harm() -> None:
    assert asked(Said("Welcome!\n" + json.dumps(survey().to_dict()))) == survey()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "x", json.dumps({**survey().to_dict(), "memory": "much"}), "[" * 100_000]
)
def test_an_answer_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(InfraError) as caught:
        asked(Said(text))
    assert "\n" not in str(caught.value)


def test_what_a_host_says_reaches_no_terminal_and_has_bounds() -> None:
    hostile: dict[str, Any] = {**survey().to_dict(), "hostname": "\x1b[2J" + "x" * 10_000}
    hostile["interfaces"] = [{**hostile["interfaces"][0], "name": "eth0\n\x07"}]
    found = asked(Said(json.dumps(hostile)))
    assert found.hostname.isprintable() and len(found.hostname) <= 300
    assert found.interfaces[0].name.isprintable()


def test_a_host_without_python_is_one_line() -> None:
    with pytest.raises(InfraError, match=r"cannot be surveyed: sh: 1: python3: not found; it needs Python 3\.7"):
        asked(Said("", exit_code=127, stderr="sh: 1: python3: not found\n"))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ()),
        ({"kernel": "6.12.1"}, ("it runs kernel 6.12.1, not 6.1.0-57-amd64",)),
        ({"modules": ("virtio_net",)}, ("module nbd is gone",)),
        ({"modules": ("nbd", "nfsd", "virtio_net")}, ("module nfsd is new",)),
        ({"swaps": ("/dev/nbd0",)}, ("swap /dev/nbd0 is new",)),
        ({"settings": {"vm.swappiness": "0"}}, ("vm.swappiness is 0, and was 60",)),
        ({"services": {"running": ("ssh.service",), "failed": ()}}, ("service cron.service running is gone",)),
        (
            {"interfaces": (interface("ib0"),)},
            ("address eno1 192.0.2.11/24 is gone", "address ib0 10.77.0.1/24 is gone"),
        ),
        ({"mounts": (("/dev/vda", "/", "ext4"),)}, ("mount tmpfs /run tmpfs is gone",)),
    ],
)
def test_each_difference_is_one_line(changes: dict[str, Any], lines: tuple[str, ...]) -> None:
    assert differences(survey(), survey(**changes)) == lines


def test_what_changes_by_itself_is_no_difference() -> None:
    before = survey()
    after = replace(
        before,
        uptime_s=1.0,
        clock=0.0,
        memory_available=1,
        users=("root",),
        mounts=(*before.mounts, ("tmpfs", "/run/user/0", "tmpfs")),
        services={"running": (*before.services["running"], "user@0.service"), "failed": ()},
    )
    assert differences(before, after) == ()


def test_a_reserve_that_the_kernel_computes_may_differ_after_a_boot_only() -> None:
    other = {"vm.swappiness": "60", "vm.user_reserve_kbytes": "17472"}
    assert differences(survey(), survey(settings=other, boot_id="b2")) == ()
    assert differences(survey(), survey(settings=other)) == ("vm.user_reserve_kbytes is 17472, and was 17473",)
