"""A memory hog beside the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.guest.board import RUN
from harness.guest.progress import PAGE
from harness.model.errors import DeadlineExceeded, ShellError, UsageError
from harness.model.measure import Measure
from harness.monitors.instrument import ask, end_script
from harness.monitors.instruments.guest.hog import SIZE
from harness.site.target import Site
from harness.site.zipapp import pack

SCRIPT = Path(__file__).parent / "guest" / "hog.py"
FOLDER = "/run/harness/hog"
STATE = "/dev/shm/harness-hog"
KINDS = ("anonymous", "shmem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hog:
    """Holds `share` of the memory of `host` and touches each of its pages again and again.

    `kind` is "anonymous" or "shmem". Without swap that memory is simply gone; with swap the kernel swaps it out and in.
    The hog is launched just before the load, and begins to fill its memory `after_s` seconds later. If the OOM killer
    kills it, the trial goes on, and its measures show that nothing was held.
    """

    share: float
    host: str = "client"
    kind: str = "anonymous"
    after_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown kind of memory, or a share of 0 or less."""
        if self.kind not in KINDS:
            raise UsageError(f"hog: no memory {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.share <= 0:
            raise UsageError(f"hog: {self.share:g} × memory; it is more than 0")

    def describe(self) -> str:
        """See `Instrument.describe`."""
        return f"a hog on {self.host}: {self.share:g} × memory, {self.kind}"

    def prepare(self, site: Site) -> None:
        """See `Instrument.prepare`."""
        target = site.role(self.host)
        make = "mkdir -p %s && printf %%s %s >%s && truncate -s %s %s"
        target.shell.run(make, FOLDER, RUN.decode(), STATE, len(RUN) + SIZE, STATE, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/hog.pyz", deadline=site.deadline(10))
        ask(site, self.host, "open", paths=[STATE])
        ask(site, self.host, "open", paths=[STATE], write=True)

    def launch(self, site: Site) -> None:
        """See `Instrument.launch`."""
        target = site.role(self.host)
        size = int(target.facts.memory * self.share) // PAGE * PAGE
        arguments = (f"{FOLDER}/hog.pyz", STATE, size, self.kind, self.after_s)
        target.shell.run(
            "setsid python3 -I -S" + " %s" * len(arguments) + " >%s 2>&1 </dev/null &",
            *arguments,
            f"{FOLDER}/log",
            deadline=site.deadline(10),
        )

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""
        words = ask(site, self.host, "read", path=STATE).removeprefix(RUN.decode()).replace("\0", " ").split()
        pid, filled, rounds = (int(word) for word in words or (0, 0, 0))
        alive = bool(pid) and self._is_there(site, pid)
        return [
            Measure(name="held by the hog", value=filled // 1024 if alive else 0, unit="kB"),
            Measure(name="rounds of the hog", value=rounds),
        ]

    def end(self, site: Site) -> None:
        """See `Instrument.end`; swap cannot be switched off while the hog's memory is on it."""
        end_script(site, self.host, STATE, "-x hog")

    def _is_there(self, site: Site, pid: int) -> bool:
        try:
            return ask(site, self.host, "read", path=f"/proc/{pid}/comm").strip() == "hog"
        except DeadlineExceeded:
            raise
        except ShellError:  # no such file
            return False
