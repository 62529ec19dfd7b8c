"""The plan of one trial: storage, workload, faults and policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.faults.base import Fault
from harness.model.topology import Topology
from harness.monitors.instrument import Instrument
from harness.storage.base import Storage
from harness.verdicts.policy import Policy
from harness.workloads.base import Workload

SURVIVES = "survives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One experiment: `name` is unique in its run, `expected` is "survives" or a word that `reproduces` takes.

    `tunings` are faults injected before the storage is set up and healed after it is taken down, whatever their times.
    `instruments` run beside the workload; `about` is a description for the report.
    """

    name: str
    topology: Topology
    storage: Storage
    workload: Workload
    faults: tuple[Fault, ...] = ()
    tunings: tuple[Fault, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    about: str = ""
    expected: str = SURVIVES
    policy: Policy = field(default_factory=Policy)

    @property
    def parts(self) -> tuple[object, ...]:
        """All parts of the plan."""
        return (self.storage, self.workload, *self.faults, *self.tunings, *self.instruments)
