"""Needs: modules and options that the parts of a plan need of the kernels that they run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from harness.model.topology import Topology

# By role: names of modules ("nbd"), which may also be built in, and options ("CONFIG_SWAP").
Needs = Mapping[str, tuple[str, ...]]


@runtime_checkable
class Needing(Protocol):
    """A part of a plan that not every kernel can carry out."""

    def needs(self, topology: Topology) -> Needs:
        """The modules and options that it needs in the kernels of the topology's roles."""


def needs_of(part: object, topology: Topology) -> Needs:
    """The needs of `part`; none if it does not declare any."""
    return part.needs(topology) if isinstance(part, Needing) else {}


@runtime_checkable
class OnScratch(Protocol):
    """A storage that may lie on the scratch disks of hosts."""

    @property
    def scratch_roles(self) -> frozenset[str]:
        """The roles whose hosts must have a scratch disk."""


def scratch_roles(part: object) -> frozenset[str]:
    """The roles whose hosts must have a scratch disk for `part`."""
    return part.scratch_roles if isinstance(part, OnScratch) else frozenset()


def together(*several: Needs) -> Needs:
    """Several needs as one, without duplicates."""
    roles = dict.fromkeys(role for needs in several for role in needs)
    return {role: tuple(dict.fromkeys(name for needs in several for name in needs.get(role, ()))) for role in roles}
