"""Requests in flight at a host's block devices, as a sentence and as evidence."""

from __future__ import annotations

from harness.diagnosis.graph.hang_model import Case
from harness.model.diagnosis import Cited

__all__ = ["cite_devices", "devices_say"]


def devices_say(case: Case) -> tuple[str, str]:
    """A sentence for an explanation, and the place of waiting I/O that follows from it; empty if not known."""
    devices = case.facts.devices
    busy = [device for device in devices if device.in_flight]
    mapped = ", ".join(device.name for device in devices if device.name.startswith("dm-"))
    if busy:
        return " In flight: " + ", ".join(f"{device.in_flight} at {device.name}" for device in busy) + ".", ""
    if not mapped or case.context.returned:
        return "", ""
    return (
        " No request is in flight at any device that was looked at: the I/O is held back above them, as device-mapper "
        f"does while a device ({mapped}) is suspended.",
        f"{mapped}, which may be suspended",
    )


def cite_devices(case: Case) -> list[Cited]:
    """The counts as evidence."""
    return [
        Cited(source=device.source, line=1, text=f"{device.name}: {device.in_flight} in flight")
        for device in case.facts.devices
    ]
