"""Whether what was laid over a kernel's module is what runs there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes import make_site, shell_of

from harness.model.errors import InfraError
from harness.site.provider import PreparedHost
from harness.site.target import Site
from harness.trial.module_check import check_modules

ABC = {"nbd": "ABC"}


def check(site: Site, *hosts: str, modules: Mapping[str, str] = ABC) -> None:
    check_modules(site, {host: PreparedHost(kernel="6.1", modules=modules, facts={}) for host in hosts})


def site_with(**shown: str) -> Site:
    """A site whose hosts show these source versions of nbd, or that it is absent."""
    site = make_site()
    for host, answer in shown.items():
        shell_of(site.targets[host]).answer("/sys/module/nbd", answer)
    return site


def test_the_module_that_was_laid_there_runs() -> None:
    check(site_with(c1="ABC\n"), "c1")


def test_a_stock_module_in_its_place_is_no_trial_at_all() -> None:
    with pytest.raises(InfraError, match="c1: module nbd runs from source DEF, not ABC"):
        check(site_with(c1="DEF\n"), "c1")
    with pytest.raises(InfraError, match="c1: module nbd runs from source without a version, not ABC"):
        check(site_with(c1=""), "c1")


def test_a_host_need_not_load_what_another_does() -> None:
    check(site_with(c1="ABC\n", s1="absent\n"), "c1", "s1")


def test_replaced_modules_that_nobody_loads_are_told() -> None:
    with pytest.raises(InfraError, match=r"no replaced module is loaded \(nbd on c1, nbd on s1\)"):
        check(site_with(c1="absent\n", s1="absent\n"), "c1", "s1")


def test_a_module_that_does_not_say_its_source_is_believed() -> None:
    check(site_with(c1=""), "c1", modules={"nbd": ""})


def test_without_replaced_modules_nobody_is_asked() -> None:
    site = make_site()
    check(site, "c1", modules={})
    assert not shell_of(site.targets["c1"]).commands
