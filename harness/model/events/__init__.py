"""The payloads of events: one frozen class for each kind, with the names that a history file has.

The column `host` says whether an event of that kind is about one host. The classes describe their fields.

| kind | host | payload |
| --- | --- | --- |
| trial | – | `TrialFacts`: facts of the trial |
| host | yes | `HostRecord`: facts of a host, once it is up |
| phase | – | `Phase`: a phase begins or ends |
| rung | yes | `RungSample`: whether a rung of the ladder answered |
| progress | yes | `WorkloadProgress`: operations and bytes of the workload so far |
| baseline | yes | `Baseline`: speed of the storage before the load |
| vmstat | yes | `Counters`: counters of /proc/vmstat and of the storage that changed |
| heartbeat | yes | `Heartbeat`: a heartbeat line of the agent arrived |
| console | yes | `harness.model.finding.Finding`: a report of the kernel |
| fault | – | `FaultStep`: a fault was injected or healed |
| fence | yes | `Fence`: the harness cuts the host's power on purpose |
| measure | – | `harness.model.measure.Measure`: a figure that was requested of the trial |
| opinion | – | `WatchOpinion`: the watch's current opinion |
| recovery | yes | `RecoveryStep`: the outcome of holding or killing the workload |
| evidence | yes | `EvidencePiece`: a piece of evidence was collected, or not |
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
