"""Administrators' workarounds against transfers that stop."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import UsageError
from harness.site.target import Site

FOLDER = "/run/harness/mitigation"
ORDER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CachesDroppedEvery:
    """The host that plays `role` drops clean caches every `seconds`, like a line in crontab; a tuning.

    `value`: 1 page cache, 2 slab, 3 both. A process of the host drops them, so it may hang with the host.
    """

    role: str
    seconds: float
    value: int = 3
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for an interval of 0 s or less, or an unknown value."""
        if self.seconds <= 0 or self.value not in (1, 2, 3):
            raise UsageError(
                f"CachesDroppedEvery: {self.seconds:g} s, value {self.value}; it is over 0 s, and 1, 2 or 3"
            )

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} drops caches ({self.value}) every {self.seconds:g} s"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        loop = f"while sleep {self.seconds:g}; do echo {self.value} >/proc/sys/vm/drop_caches; done"
        site.role(self.role).shell.run(
            f"mkdir -p {FOLDER} && {{ setsid sh -c %s >/dev/null 2>&1 </dev/null & echo $! >{FOLDER}/pid; }}",
            loop,
            deadline=site.deadline(ORDER_S),
        )

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; also works after an injection that failed."""
        end = f"test ! -s {FOLDER}/pid || kill -- -$(cat {FOLDER}/pid); rm -rf {FOLDER}"
        site.role(self.role).shell.run(end, deadline=site.deadline(ORDER_S))
