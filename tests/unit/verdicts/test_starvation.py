"""What guests' processors wanted of this machine and did not get."""

from __future__ import annotations

from harness.model.history import Event, Kind
from harness.verdicts.starvation import starvation

SECOND = 1_000_000_000


def beats(*grants: tuple[float, float]) -> list[Event]:
    """One sample a second of a host with an idle processor, and one that ran and waited as `grants` say (seconds)."""
    ran = waited = 0
    events = [Event(0.0, Kind.RUNG, "c1", {"rung": "vcpu", "processors": [[0, 0], [0, 0]]})]
    for number, (more, delay) in enumerate(grants, 1):
        ran, waited = ran + int(more * SECOND), waited + int(delay * SECOND)
        events.append(Event(float(number), Kind.RUNG, "c1", {"rung": "vcpu", "processors": [[0, 0], [ran, waited]]}))
    return events


def figures(events: list[Event]) -> dict[str, object]:
    return {measure.name: measure.value for measure in starvation(events)}


def test_the_worst_processor_counts() -> None:
    assert figures(beats((0.75, 0.25), (0.25, 0.75)))["processor time withheld"] == 50


def test_a_processor_that_waits_and_does_not_run_gets_nothing() -> None:
    found = figures(beats((0.9, 0.1), (0.0, 1.0), (0.01, 0.99), (0.9, 0.1), (0.0, 1.0)))
    assert found["longest without a processor"] == 2.0


def test_an_idle_processor_and_a_busy_one_lack_nothing() -> None:
    assert figures(beats((0.0, 0.0), (1.0, 0.0))) == {"processor time withheld": 0, "longest without a processor": 0.0}


def test_a_hypervisor_that_does_not_say_gives_no_figure() -> None:
    assert figures([Event(0.0, Kind.RUNG, "c1", {"rung": "vcpu", "detail": "running"})]) == {}
