"""Faults of the kernel: what the module is told, and which answers count."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fakes import agent_of, make_site, make_topology, no_answer, shell_of

from harness.artifacts.recipes import vm_images
from harness.faults.base import Fault, Prepared
from harness.faults.kernel import INSTANT, LASTING, KernelFault, SysrqCrash
from harness.model.errors import ShellError, UsageError
from harness.site.target import Site

INJECT = "/sys/module/harness_fault/parameters/inject"
FAULTS: tuple[Fault, ...] = (KernelFault(role="client", what="null"), SysrqCrash(role="client"))


def site_with_module() -> Site:
    topology = make_topology()
    client, server = topology.hosts
    return make_site(replace(topology, hosts=(replace(client, modules=("harness-fault",)), server)))


def put(fault: KernelFault, site: Site) -> None:
    """As a trial does it."""
    assert isinstance(fault, Prepared)
    fault.prepare(site)
    fault.inject(site)


def test_the_module_is_loaded_with_leave_and_then_told_what_to_do() -> None:
    site = site_with_module()
    put(KernelFault(role="client", what="spin", cpu=0, seconds=2.5), site)
    load, ask = shell_of(site.role("client")).commands
    assert load == (
        "test -d /sys/module/harness_fault || insmod /run/harness/modules/harness_fault.ko this_host_is_disposable=1"
    )
    assert ask == f"echo 'spin 0 2500' >{INJECT}"
    assert not shell_of(site.role("server")).commands


def test_a_fault_without_seconds_has_no_end_but_to_be_healed() -> None:
    site = site_with_module()
    fault = KernelFault(role="client", what="rcu_stall", heal_after_s=5.0)
    fault.inject(site)
    fault.heal(site)
    assert shell_of(site.role("client")).commands == [f"echo 'rcu_stall 1 0' >{INJECT}", f"echo stop >{INJECT}"]


def test_a_module_that_refuses_to_load_is_an_error() -> None:
    site = site_with_module()
    shell_of(site.role("client")).answer("insmod", exit_code=1)
    with pytest.raises(ShellError, match="insmod"):
        put(KernelFault(role="client", what="null"), site)
    assert not any("echo" in command for command in shell_of(site.role("client")).commands)


def test_a_module_that_refuses_the_order_is_an_error() -> None:
    site = site_with_module()
    shell_of(site.role("client")).answer("echo", exit_code=1)
    with pytest.raises(ShellError, match="refused by the module"):
        KernelFault(role="client", what="spin", cpu=99).inject(site)


def test_an_answer_that_is_lost_with_the_host_is_no_error() -> None:
    site = site_with_module()
    shell_of(site.role("client")).replies["echo"] = no_answer("echo")
    KernelFault(role="client", what="panic").inject(site)
    KernelFault(role="client", what="spin").heal(site)


def test_a_host_that_answers_nothing_before_the_fault_is_an_error() -> None:
    site = site_with_module()
    shell_of(site.role("client")).replies["insmod"] = no_answer("insmod")
    with pytest.raises(ShellError):
        put(KernelFault(role="client", what="panic"), site)


def test_a_host_without_the_module_is_told_how_to_get_it() -> None:
    with pytest.raises(UsageError, match=r"host 's1' has no module harness-fault; add it to its modules"):
        KernelFault(role="server", what="null").prepare(site_with_module())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"what": "fire"}, r"no fault 'fire'; there are: spin, .*panic"),
        ({"what": "spin", "cpu": -1}, r"spin: cpu and seconds are 0 or more"),
        ({"what": "spin", "seconds": -0.5}, r"spin: cpu and seconds are 0 or more"),
        ({"what": "null", "seconds": 3.0}, r"null: nothing undoes it"),
        ({"what": "panic", "heal_after_s": 3.0}, r"panic: nothing undoes it"),
    ],
)
def test_what_the_module_does_not_know_is_refused_at_once(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KernelFault(role="client", **fields)  # type: ignore[arg-type]


def test_the_module_knows_every_fault_by_that_name() -> None:
    text = (vm_images() / "modules/harness-fault/harness_fault.c").read_text()
    table = text[text.index("faults[] = {") :].partition("};")[0]
    assert re.findall(r'\{ "(\w+)"', table) == [*LASTING, *INSTANT]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_who_suffers_what(fault: Fault) -> None:
    assert fault.describe().startswith("client")


def test_sysrq_crashes_through_the_agent_and_waits_for_no_answer() -> None:
    site = site_with_module()
    agent_of(site.role("client")).replies["sysrq"] = no_answer("sysrq")
    SysrqCrash(role="client").inject(site)
    assert agent_of(site.role("client")).asked == [("sysrq", {"key": "c"})]


def test_an_agent_that_cannot_write_to_sysrq_is_an_error() -> None:
    site = site_with_module()
    agent_of(site.role("client")).replies["sysrq"] = ShellError(host="c1", command="sysrq", problem="no such file")
    with pytest.raises(ShellError):
        SysrqCrash(role="client").inject(site)
