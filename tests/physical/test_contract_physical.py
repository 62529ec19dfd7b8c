"""The target contract, kept by hosts that somebody owns."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from target_contract import BringUp, TargetContract

from harness.drivers.protocols import NmiInjector
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.observe import Silent
from harness.model.options import resolve
from harness.providers import provider_of, read_inventory
from harness.site.provider import Deaf, HostNeeds
from harness.site.target import Site, Target
from tests.testbed.rack import inventory

pytestmark = pytest.mark.physical
TOPOLOGY = os.environ.get("HARNESS_CONTRACT_TOPOLOGY", "third")


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    given = {"state": tempfile.mkdtemp(prefix="hp-", dir="/tmp"), "results": str(folder / "results")}
    settings = resolve(given, flag="--", environ=os.environ, ini={}, cwd=folder, root=folder).settings
    topology = read_inventory(inventory()).topology(TOPOLOGY)
    provider = provider_of(settings, topology)
    provided = provider.provide(
        topology,
        provider.prepare(topology, HostNeeds(), Silent()),
        purpose="a contract",
        listener=Deaf(),
        console_path=lambda name: folder / f"{name}.console",
        notes=Silent(),
        on_wait=lambda _: None,
        on_begin=lambda: None,
    )
    with provided as found:
        yield found


class TestPhysical(TargetContract):
    """A host behind IPMI, with serial over LAN and an agent over SSH; or what the environment names."""

    @pytest.fixture(scope="class")
    @classmethod
    def bring_up(cls, tmp_path_factory: pytest.TempPathFactory) -> BringUp:
        def bring_up() -> AbstractContextManager[Site]:
            return site(tmp_path_factory.mktemp("c"))

        return bring_up

    def test_it_outlives_an_nmi(self, target: Target) -> None:
        """Many BMCs refuse one, as ipmi_sim does: in one line, and the host goes on."""
        try:
            target.need(NmiInjector).inject_nmi()
        except InfraError as error:
            assert "\n" not in str(error)
        assert target.shell.run("true", deadline=Deadline.after(60.0)).exit_code == 0
