"""The event router: passes console bytes and agent records of all hosts to their readers."""

from __future__ import annotations

from typing import Any

from harness.model.clock import Clock
from harness.model.topology import Topology
from harness.monitors.consoles import ConsoleReader
from harness.monitors.evidence import ConsoleTap
from harness.monitors.ladder import AgentRungs
from harness.monitors.recorder import Recorder
from harness.verdicts.console import Scanner


class EventRouter:
    """The listener of a trial: reads and taps consoles, and turns agent records into events."""

    def __init__(self, topology: Topology, recorder: Recorder, clock: Clock) -> None:
        names = [host.name for host in topology.hosts]
        self.readers = {name: ConsoleReader(name, recorder, Scanner()) for name in names}
        self.taps = {name: ConsoleTap(clock) for name in names}
        self.agents = {name: AgentRungs(name, recorder, clock) for name in names}

    def on_console(self, host: str, data: bytes) -> None:
        """See `Listener.on_console`."""
        self.taps[host].listen(data)
        self.readers[host].listen(data)

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `Listener.on_record`."""
        self.agents[host].on_record(record)

    @property
    def crashing(self) -> bool:
        """Whether the console of any host has begun to report a crash."""
        return any(reader.crashing for reader in self.readers.values())

    def close(self) -> None:
        """Finish the console reports that have begun."""
        for reader in self.readers.values():
            reader.close()
