"""Power sources of labs that have a service for it: commands, filled in from the inventory."""

from __future__ import annotations

import shlex
from dataclasses import replace
from urllib.parse import urlencode

from harness.drivers.bmc.command import CommandPower
from harness.model.owned_host import PowerSpec


def pdudaemon_power(spec: PowerSpec, host: str) -> CommandPower:
    """An outlet behind pdudaemon's HTTP listener: GET /power/control/{on,off}?hostname=PDU&port=N.

    It answers 200 to what is only queued, or failed, and knows no state, so the inventory must say how to ask for that.
    """
    unit, _, port = spec.outlet.partition("/")
    base = f"{spec.address.rstrip('/')}/power/control"

    def get(action: str) -> str:
        url = f"{base}/{action}?{urlencode({'hostname': unit, 'port': port})}"
        return f"curl --silent --show-error --fail --max-time 20 {shlex.quote(url)}"

    return CommandPower(replace(spec, on=get("on"), off=get("off"), cycle=""), host)


def labgrid_power(spec: PowerSpec, host: str) -> CommandPower:
    """A place of labgrid, by its client; the place must be acquired by this user."""
    coordinator = f"-x {shlex.quote(spec.address)} " if spec.address else ""
    client = f"labgrid-client {coordinator}-p {shlex.quote(spec.outlet)} power"
    status = f'answer=$({client} get) && echo "${{answer##* is }}"'  # a pipe would hide that it failed
    return CommandPower(
        replace(spec, on=f"{client} on", off=f"{client} off", status=spec.status or status, cycle=""), host
    )
