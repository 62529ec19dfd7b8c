"""The payloads of events: one frozen class for each kind, with the names that a history file has.

`host` says whether an event of that kind is about one host. The classes say what their fields mean.

| kind | host | payload |
| --- | --- | --- |
| trial | – | `TrialFacts`: what the trial is made of |
| host | yes | `HostRecord`: what is known of a host, once it is up |
| phase | – | `Phase`: one begins or ends |
| rung | yes | `RungSample`: whether a rung of the ladder answered |
| progress | yes | `WorkloadProgress`: what the workload has done |
| baseline | yes | `Baseline`: what the storage does before the load |
| vmstat | yes | `Counters`: those of /proc/vmstat and of the storage that moved |
| heartbeat | yes | `Heartbeat`: a line of the agent's arrived |
| console | yes | `harness.model.finding.Finding`: what the kernel reported |
| fault | – | `FaultStep`: a fault was injected or healed |
| fence | yes | `Fence`: the host loses its power on purpose |
| measure | – | `harness.model.measure.Measure`: a figure that the trial was asked for |
| opinion | – | `WatchOpinion`: what the watch thinks now |
| recovery | yes | `RecoveryStep`: what holding or killing the workload brought |
| evidence | yes | `EvidencePiece`: what was collected |
| infra | maybe | `InfraFailure`: the harness or its infrastructure failed |
| limit | – | `LoadLimit`: the time of the load is over |
| lag | – | `Lag`: the harness itself did not run |
| note | maybe | `Note`: anything else |
"""

from harness.model.events.payload import Kind, Payload, Rung
from harness.model.events.samples import Baseline, Counters, Heartbeat, RungSample, WorkloadProgress
from harness.model.events.steps import (
    EvidencePiece,
    FaultStep,
    Fence,
    HostRecord,
    InfraFailure,
    Lag,
    LoadLimit,
    Note,
    Phase,
    RecoveryStep,
    TrialFacts,
    WatchOpinion,
)

__all__ = [
    "Baseline",
    "Counters",
    "EvidencePiece",
    "FaultStep",
    "Fence",
    "Heartbeat",
    "HostRecord",
    "InfraFailure",
    "Kind",
    "Lag",
    "LoadLimit",
    "Note",
    "Payload",
    "Phase",
    "RecoveryStep",
    "Rung",
    "RungSample",
    "TrialFacts",
    "WatchOpinion",
    "WorkloadProgress",
]
