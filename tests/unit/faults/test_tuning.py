"""Settings that a trial changes and puts back: what the agent is asked to write."""

from __future__ import annotations

import json

import pytest
from fakes import agent_of, make_site, shell_of

from harness.faults.tuning import Sysctl
from harness.model.errors import InfraError, UsageError
from harness.site.target import Site

BEFORE = {"vm.min_free_kbytes": "1784", "vm.swappiness": "60"}
TUNING = Sysctl(role="client", values={"vm.min_free_kbytes": "x4", "vm.swappiness": 0})


@pytest.fixture
def site() -> Site:
    site = make_site()
    agent_of(site.role("client")).replies["read"] = json.dumps(BEFORE)
    return site


def written(site: Site) -> dict[object, object]:
    asked = agent_of(site.role("client")).asked
    return {order["path"]: order["text"] for verb, order in asked if verb == "write"}


def test_a_factor_multiplies_what_is_there(site: Site) -> None:
    TUNING.inject(site)
    assert written(site) == {"/proc/sys/vm/min_free_kbytes": "7136", "/proc/sys/vm/swappiness": "0"}


def test_half_is_rounded_down(site: Site) -> None:
    Sysctl(role="client", values={"vm.min_free_kbytes": "x0.3"}).inject(site)
    assert written(site) == {"/proc/sys/vm/min_free_kbytes": "535"}


def test_undoing_writes_what_was_there(site: Site) -> None:
    TUNING.heal(site)
    assert written(site) == {"/proc/sys/vm/min_free_kbytes": "1784", "/proc/sys/vm/swappiness": "60"}


def test_preparing_notes_what_is_there_and_opens_what_will_be_written(site: Site) -> None:
    target = site.role("client")
    TUNING.prepare(site)
    opened = [order for verb, order in agent_of(target).asked if verb == "open"]
    assert {"paths": ["/proc/sys/vm/min_free_kbytes", "/proc/sys/vm/swappiness"], "write": True} in opened
    assert any("/run/harness/sysctl-" in command for command in shell_of(target).commands)
    assert "write" not in agent_of(target).verbs


def test_a_setting_that_the_kernel_does_not_have_is_one_line(site: Site) -> None:
    agent_of(site.role("client")).replies["open"] = "/proc/sys/vm/no_such: [Errno 2] No such file or directory\n"
    with pytest.raises(InfraError, match=r"c1: /proc/sys/vm/no_such: \[Errno 2\] No such file"):
        TUNING.prepare(site)


def test_a_factor_that_is_no_number_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"sysctl vm.swappiness: 'xfour' is no factor; write \"x4\""):
        Sysctl(role="client", values={"vm.swappiness": "xfour"})


def test_two_tunings_of_one_host_keep_apart_what_was_there() -> None:
    first, second = (Sysctl(role="client", values={"vm.swappiness": 0}, at_s=at_s) for at_s in (1.0, 2.0))
    assert (
        first._saved != second._saved
        and first._saved == Sysctl(role="client", values={"vm.swappiness": 9}, at_s=1.0)._saved
    )
