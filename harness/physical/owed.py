"""Obligations of a run for owned hosts: a reservation to give back, and changes that a boot undoes.

Each carries all that another process needs to find the host again, so that the inventory may change in the meantime.
Secrets are references (`model.owned_host.Secret`), so none is written down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.model.obligation import Obligation
from harness.model.owned_host import OwnedHost

PROVIDER = "physical"
RESERVATION, CHANGES = "reservation", "changes"
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """What a run owes for one host; `kernel` is the release of its owner's kernel, `before` a survey of the host."""

    host: str
    token: str
    owned: OwnedHost
    kernel: str = ""
    before: str = ""

    def as_obligation(self, run: Path, kind: str) -> Obligation:
        """The obligation of the run at `run`."""
        fields = {
            "host": self.host,
            "token": self.token,
            "owned": json.dumps(self.owned.to_dict()),
            "kernel": self.kernel,
            "before": self.before,
        }
        return Obligation(run=run, provider=PROVIDER, kind=kind, fields=fields)

    @classmethod
    def of(cls, obligation: Obligation) -> Debt:
        """The debt of an obligation."""
        fields = obligation.fields
        return cls(
            host=fields["host"],
            token=fields["token"],
            owned=OwnedHost.from_dict(json.loads(fields["owned"])),
            kernel=fields["kernel"],
            before=fields["before"],
        )
