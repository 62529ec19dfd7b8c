"""What a trial leaves behind: compared, cleared away where that is safe, and said."""

from __future__ import annotations

import subprocess

import pytest
from fakes import FakeClock, Log, hypervisor_of, make_site, shell_of

from harness.model.history import Kind
from harness.targets.target import Site
from harness.trial.traces import LOOK, Traces, changes

BEFORE = "mount / ext4\nmodule ext4\nsetting vm.swappiness 60\nprocess sh\nprocess true\n"


@pytest.fixture
def site() -> Site:
    site = make_site()
    for target in site.targets.values():
        shell_of(target).answer("/proc/mounts", BEFORE)
    return site


def notes(site: Site, after: str, *, host: str = "c1") -> list[str]:
    log = Log(FakeClock(0.0))
    traces = Traces(log.recorder)
    traces.look(site)
    shell_of(site.targets[host]).answer("/proc/mounts", after)
    traces.compare(site)
    return [f"{event.host}: {event.data['text']}" for event in log.of(Kind.NOTE)]


def test_a_host_that_is_as_it_was_is_not_spoken_of(site: Site) -> None:
    assert notes(site, BEFORE.replace("process true\n", "")) == []
    assert not [command for command in shell_of(site.targets["c1"]).commands if "rmmod" in command]


def test_what_is_left_behind_and_what_is_not_as_it_was(site: Site) -> None:
    after = BEFORE.replace("swappiness 60", "swappiness 0") + "mount /mnt nfs4\nprocess nfsdcld\n"
    assert notes(site, after) == [
        "c1: left behind: mount /mnt nfs4, process nfsdcld, setting vm.swappiness 0",
        "c1: not put back: setting vm.swappiness 60",
    ]


def test_modules_that_are_new_are_unloaded(site: Site) -> None:
    assert notes(site, BEFORE + "module nfsd\nmodule lockd\n") == ["c1: left behind: module lockd, module nfsd"]
    (command,) = (command for command in shell_of(site.targets["c1"]).commands if "rmmod" in command)
    assert 'case " lockd nfsd " in' in command


def test_a_host_that_is_gone_is_not_asked(site: Site) -> None:
    hypervisor_of(site.targets["s1"]).power = "gone"
    asked = len(shell_of(site.targets["s1"]).commands)
    assert notes(site, BEFORE, host="c1") == []
    assert len(shell_of(site.targets["s1"]).commands) == asked + 1, "only before the trial"


def test_the_look_itself_is_steady_on_a_real_system() -> None:
    def look() -> set[str]:
        done = subprocess.run(["sh", "-c", LOOK], capture_output=True, text=True, check=False)
        return {line for line in done.stdout.splitlines() if not line.startswith("process ")}

    first = look()
    assert any(line.startswith("mount /") for line in first) and any(line.startswith("setting vm.") for line in first)
    assert changes(first, look()) == {}
