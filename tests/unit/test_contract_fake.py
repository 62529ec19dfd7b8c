"""The target contract, kept by the fakes: whoever is tested with them is tested with what a host does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes import FakeShell, agent_of, make_site, make_topology
from target_contract import BringUp, TargetContract

from harness.drivers.libvirt.guest import OFFERS
from harness.drivers.protocols import Power
from harness.model.errors import ShellError
from harness.site.target import Site


@contextmanager
def fake_site(offers: frozenset[type]) -> Iterator[Site]:
    """Fakes whose shells and agents answer what the contract asks them."""
    site = make_site(make_topology(), offers=offers)
    for target in site.targets.values():
        for shell in (target.shell, target.probe_shell):
            assert isinstance(shell, FakeShell)
            shell.answer("echo", "a  b\n")
            shell.answer("exit 3", exit_code=3)
        problem = ShellError(host=target.name, command="agent: no such verb", problem="no such verb")
        agent_of(target).replies["no such verb"] = problem
    yield site


class TestFakeThatOffersAll(TargetContract):
    """As a guest does."""

    @pytest.fixture(scope="class")
    @classmethod
    def bring_up(cls) -> BringUp:
        return lambda: fake_site(OFFERS)


class TestFakeThatOffersLittle(TargetContract):
    """As a host that somebody owns."""

    @pytest.fixture(scope="class")
    @classmethod
    def bring_up(cls) -> BringUp:
        return lambda: fake_site(frozenset({Power}))
