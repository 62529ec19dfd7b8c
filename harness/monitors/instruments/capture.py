"""A packet capture beside the load, in a ring of files that has the packets around the stop of a transfer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.measure import Measure
from harness.model.topology import Topology
from harness.site.needs import Needs
from harness.site.target import Site

FOLDER = "/run/harness/capture"  # a ramfs: no disk, no writeback
# Does nothing when called again.
END = f"[ ! -e {FOLDER}/pid ] || {{ kill $(cat {FOLDER}/pid); rm {FOLDER}/pid; }}"
START_S, FETCH_S = 10.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """tcpdump on `host`, on its card of `link`, into a ring of `files` files of `megabytes` million bytes each.

    It captures the first `snap` bytes of every packet: headers, no data. The ring lies in the host's memory. The files
    go into the evidence, if the host can still be read over SSH.
    """

    host: str = "client"
    link: str = "cluster"
    files: int = 2
    megabytes: int = 2
    snap: int = 96

    def __post_init__(self) -> None:
        """Raises UsageError for a ring that is too small."""
        if self.files < 2 or self.megabytes < 1 or self.snap < 1:
            raise UsageError("Capture: a ring has 2 files or more, of 1 million bytes or more, and packets some bytes")

    def describe(self) -> str:
        """See `Instrument.describe`."""
        return f"packets of {self.link} on {self.host}: the last {self.files * self.megabytes} MB of headers"

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.host: ("af_packet",)}

    def prepare(self, site: Site) -> None:
        """See `Instrument.prepare`; raises UsageError if the host is not on the link."""
        target = site.role(self.host)
        target.interface(self.link)
        target.shell.run("mkdir -p %s && rm -f %s/ring*", FOLDER, FOLDER, deadline=site.deadline(START_S))

    def launch(self, site: Site) -> None:
        """See `Instrument.launch`."""
        target = site.role(self.host)
        card = target.interface(self.link)
        ring = f"-C {self.megabytes} -W {self.files} -w {FOLDER}/ring"
        # -U: write each packet to the file at once; -Z root: keep the right to write there.
        target.shell.run(
            f"setsid tcpdump -i {card.name} -s {self.snap} -B 1024 -n -U -Z root {ring} "
            f">{FOLDER}/log 2>&1 </dev/null & echo $! >{FOLDER}/pid",
            deadline=site.deadline(START_S),
        )

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; ends the capture."""
        target = site.role(self.host)
        end = f"{END}; ls {FOLDER}; tail -n 3 {FOLDER}/log"
        reported = target.shell.run(end, deadline=site.deadline(START_S), check=False).stdout
        rings = sorted(name for name in reported.split() if name.startswith("ring"))
        size = 0
        for name in rings:
            data = target.shell.run(f"base64 {FOLDER}/{name}", deadline=site.deadline(FETCH_S)).stdout
            raw = base64.b64decode(data)
            size += len(raw)
            (evidence / f"{target.name}-{name}.pcap").write_bytes(raw)
        return (Measure(name="packets captured", value=round(size / 1024), unit="kB"),)

    def end(self, site: Site) -> None:
        """See `Instrument.end`."""
        site.role(self.host).shell.run(END, deadline=site.deadline(START_S), check=False)
