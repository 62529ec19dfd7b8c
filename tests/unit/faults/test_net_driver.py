"""The driver that allocates, the mode of IPoIB, caches dropped again and again: what hosts are told, and tell."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import agent_of, make_site, make_topology, shell_of

from harness.artifacts.recipes import vm_images
from harness.faults.base import Fault, Prepared
from harness.faults.net_driver import COUNTERS, GFP, PARAMETERS, AllocatingDriver, IpoibMode
from harness.faults.workarounds import CachesDroppedEvery
from harness.model.errors import InfraError, ShellError, UsageError
from harness.model.measure import Measure
from harness.site.measuring import Measuring
from harness.site.target import Site

DRIVER = AllocatingDriver(role="client", link="lan", gfp="noio", every=32, ring_kib=128)
SOURCE = vm_images() / "modules/harness-net/harness_net.c"


def site_with_module() -> Site:
    topology = make_topology()
    client, server = topology.hosts
    return make_site(replace(topology, hosts=(replace(client, modules=("harness-net",)), server)))


def test_the_address_moves_to_the_driver_once_it_is_loaded() -> None:
    site = site_with_module()
    DRIVER.prepare(site)
    DRIVER.inject(site)
    (command,) = shell_of(site.role("client")).commands
    load, delete, add, up = command.split(" && ")
    assert load == (
        "insmod /run/harness/modules/harness_net.ko this_host_is_disposable=1 lower=eth1 gfp=noio every=32 ring_kib=128"
    )
    assert delete == "ip address delete 10.77.0.1/24 dev eth1"
    assert (add, up) == ("ip address add 10.77.0.1/24 dev harness0", "ip link set harness0 up")
    assert not shell_of(site.role("server")).commands


def test_its_counters_are_open_before_there_is_pressure() -> None:
    site = site_with_module()
    DRIVER.inject(site)
    ((verb, arguments),) = agent_of(site.role("client")).asked
    assert verb == "open" and arguments == {"paths": [f"{PARAMETERS}/{name}" for name in COUNTERS]}


def test_the_address_moves_back_and_nothing_is_undone_that_was_not_done() -> None:
    site = site_with_module()
    DRIVER.heal(site)
    (command,) = shell_of(site.role("client")).commands
    assert command.startswith("if test -d /sys/module/harness_net; then ip link set harness0 down && rmmod harness_net")
    assert "ip address replace 10.77.0.1/24 dev eth1; fi" in command


def test_a_module_that_refuses_to_load_is_an_error() -> None:
    site = site_with_module()
    shell_of(site.role("client")).answer("insmod", exit_code=1)
    with pytest.raises(ShellError, match="insmod"):
        DRIVER.inject(site)


def test_a_host_without_the_module_or_the_link_is_told_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"host 'c1' has no module harness-net; add it to its modules"):
        DRIVER.prepare(make_site())
    with pytest.raises(UsageError, match=r"host 'c1' has no link 'cluster'; its links are: lan"):
        AllocatingDriver(role="client").prepare(site_with_module())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gfp": "atomic"}, "no gfp 'atomic'; there are: kernel, noio, memalloc_noio"),
        ({"every": 0}, "`every` is 1 or more"),
        ({"ring_kib": 3}, "`ring_kib` 4 or more"),
    ],
)
def test_what_the_module_would_refuse_is_refused_at_once(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AllocatingDriver(role="client", **fields)  # type: ignore[arg-type]


def test_the_module_has_every_parameter_and_way_of_allocating_by_that_name() -> None:
    text = SOURCE.read_text()
    assert set(re.findall(r"module_param(?:_cb)?\((\w+),", text)) >= {"lower", "gfp", "every", "ring_kib", *COUNTERS}
    assert set(re.findall(r'strcmp\(gfp, "(\w+)"\)', text)) == set(GFP)


def test_the_module_wants_leave_before_it_does_anything() -> None:
    text = SOURCE.read_text()
    begin = text[text.index("static int __init harness_net_init") :]
    assert begin.index("if (!disposable)") < begin.index("dev_get_by_name") < begin.index("start(below)")


def counters(site: Site, values: dict[str, str]) -> None:
    agent = agent_of(site.role("client"))

    def read(arguments: dict[str, object]) -> None:
        agent.replies["read"] = values[str(arguments["path"]).rsplit("/", 1)[1]]

    agent.on["read"] = read


def test_a_ring_that_is_still_being_allocated_is_the_longest(tmp_path: Path) -> None:
    site = site_with_module()
    counters(site, {"rings": "20\n", "failures": "1\n", "longest_ms": "40\n", "allocating_ms": "34500\n"})
    assert isinstance(DRIVER, Measuring)
    found = {measure.name: measure.value for measure in DRIVER.measures(site, tmp_path)}
    assert found == {
        "rings allocated to send": 20,
        "rings without memory": 1,
        "longest allocation to send": 34.5,
        "allocation to send under way": 34.5,
    }


def test_a_counter_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    site = site_with_module()
    counters(site, dict.fromkeys(COUNTERS, ""))
    with pytest.raises(InfraError, match="c1: harness_net says '' for rings"):
        DRIVER.measures(site, tmp_path)


def test_ipoib_changes_its_mode_and_changes_it_back() -> None:
    site, mode = make_site(), IpoibMode(role="client", link="lan", mode="connected")
    mode.prepare(site)
    mode.inject(site)
    mode.heal(site)
    assert shell_of(site.role("client")).commands == [
        "cp /sys/class/net/eth1/mode /run/harness/ipoib-mode-eth1",
        "echo connected >/sys/class/net/eth1/mode",
        "cat /run/harness/ipoib-mode-eth1 >/sys/class/net/eth1/mode",
    ]


def test_a_card_without_a_mode_is_not_ipoib() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("/mode", exit_code=1)
    with pytest.raises(InfraError, match="c1: eth1 has no mode; it is not IPoIB"):
        IpoibMode(role="client", link="lan", mode="datagram").prepare(site)


def test_the_driver_of_the_adapter_is_in_the_result(tmp_path: Path) -> None:
    site = make_site()
    shell_of(site.role("client")).answer("device/driver", "ib_mthca\n")
    found = IpoibMode(role="client", link="lan", mode="datagram").measures(site, tmp_path)
    assert [(measure.name, measure.value) for measure in found] == [
        ("driver of the adapter", "ib_mthca"),
        ("mode of IPoIB", "datagram"),
    ]


def test_ipoib_has_two_modes() -> None:
    with pytest.raises(UsageError, match="no mode 'fast'; there are: connected, datagram"):
        IpoibMode(role="client", mode="fast")


def test_caches_are_dropped_by_a_process_of_the_host_until_it_is_ended() -> None:
    site, often = make_site(), CachesDroppedEvery(role="client", seconds=20, value=1)
    often.inject(site)
    often.heal(site)
    begin, end = shell_of(site.role("client")).commands
    assert "while sleep 20; do echo 1 >/proc/sys/vm/drop_caches; done" in begin and "setsid" in begin
    assert "kill -- -$(cat /run/harness/mitigation/pid)" in end


@pytest.mark.parametrize(("seconds", "value"), [(0, 3), (5, 4)])
def test_caches_that_cannot_be_dropped_like_that_are_refused(seconds: float, value: int) -> None:
    with pytest.raises(UsageError, match="CachesDroppedEvery"):
        CachesDroppedEvery(role="client", seconds=seconds, value=value)


@pytest.mark.parametrize(
    "fault", [DRIVER, IpoibMode(role="client", mode="datagram"), CachesDroppedEvery(role="client", seconds=5)]
)
def test_each_says_who_suffers_what(fault: Fault) -> None:
    assert "client" in fault.describe()
    assert isinstance(fault, Prepared) != isinstance(fault, CachesDroppedEvery)


@pytest.mark.parametrize(("stalls", "rings", "missing"), [(101, 101, []), (0, 900, ["allocation stalls: 0"])])
def test_who_survived_without_pressure_has_proven_nothing(stalls: int, rings: int, missing: list[str]) -> None:
    figures = {"allocation stalls": stalls, "rings allocated to send": rings}
    measures = {name: Measure(name=name, value=value) for name, value in figures.items()}
    assert AllocatingDriver(role="client").unproven(measures) == missing
