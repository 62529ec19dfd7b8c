"""What a history says of each host, and that whoever reads it finds that again."""

from __future__ import annotations

import pytest
from fakes import FakeClock, Log, agent_of, make_target, make_topology

from harness.drivers.protocols import Pausable, Power
from harness.model.history import Event
from harness.trial.run import host_record


@pytest.mark.parametrize("proof", [True, False])
def test_what_is_known_of_a_host_is_in_the_history(proof: bool) -> None:
    target = make_target(make_topology(), "c1", offers=frozenset({Power, Pausable}))
    agent_of(target).transport.silence_is_proof = proof
    log = Log(FakeClock())
    log.recorder.emit(host_record(target), target.name)
    event = Event.from_json(log.events[0].to_json())
    assert event.data["capabilities"] == ["Pausable", "Power"] and event.data["transport"] == "fake"
    assert event.data["facts"]["interfaces"]["lan"] == {
        "name": "eth1",
        "address": "10.77.0.1/24",
        "driver": "virtio_net",
        "device": "",
        "port": 0,
        "rate": "",
        "mode": "",
    }
    assert event.data["facts"]["disks"]["root"]["path"] == "/dev/vda"
    seen = log.watch.hosts["c1"]
    assert (seen.silence_is_proof, seen.power_source) == (proof, "fake")
