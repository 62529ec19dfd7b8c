"""NFS with fail-over: two nodes, a shared disk, and a service address that moves between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.drivers.protocols import Power
from harness.model.measure import Measure
from harness.model.power import PowerState
from harness.model.storage_protocols import NFS, StorageProtocol
from harness.model.topology import Topology
from harness.site.capabilities import Capabilities
from harness.site.needs import Needs, together
from harness.site.target import Site, Target
from harness.storage.base import ServedBy, StorageProbe, serves, take_down
from harness.storage.cluster.scripted import Scripted
from harness.storage.cluster.service import EXPORT, MARKS, Driver, Service
from harness.storage.mount import Mount, written_through
from harness.storage.nfs_mount import CLIENT_MODULES, MOUNT, RETRANS, TIMEO_S, UNMOUNT, check_times, hard_mount


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverNfs:
    """An NFS 4.2 service of two `nodes`, mounted hard by `client` and by the nodes. A load writes below `folder`.

    The file system (ext4) and nfsd's record of its clients lie on a disk that both nodes share. When the first node
    dies, `driver` makes the second node mount the disk, export it and take the service address. From then on the second
    node is its own client.

    `sync=False` exports with "async": the server acknowledges writes that are only in its memory. `scope=""` makes each
    node use its own name as server scope, so no client reclaims anything. With `server_mounts` the first node mounts
    what it serves, as the second node does. nfsd then records the first node as a client, and after a take-over waits
    for it in vain.
    """

    client: str = "client"
    nodes: tuple[str, str] = ("first", "second")
    lease_s: int = 10
    grace_s: int = 10
    sync: bool = True
    scope: str = "harness-cluster"
    server_mounts: bool = True
    driver: Driver = field(default_factory=Scripted)

    def __post_init__(self) -> None:
        """Raises UsageError for times that nfsd would refuse."""
        check_times("NFS", self.lease_s, self.grace_s)

    @property
    def folder(self) -> str:
        """The folder on the mount that a load writes to."""
        return self._mount.path

    @property
    def service(self) -> Service:
        """The service that moves between the nodes."""
        return Service(
            nodes=self.nodes,
            lease_s=self.lease_s,
            grace_s=self.grace_s,
            sync=self.sync,
            scope=self.scope,
        )

    def describe(self) -> str:
        """See `Storage.describe`."""
        how = f"{'sync' if self.sync else 'async'}, lease {self.lease_s} s, grace {self.grace_s} s"
        return f"NFS 4.2 on {' and '.join(self.nodes)} ({how}), {self.driver.describe()}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NFS

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`; each node may serve itself in the course of a trial."""
        mounting = self.nodes if self.server_mounts else self.nodes[1:]
        return serves(topology, self.nodes, (self.client, *mounting))

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("nfsd", "rpc.mountd", "nfsdcld", *self.driver.critical_tasks)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: take-over + lease + grace + `timeo` × `retrans`, as for `NfsDisk`."""
        return self.driver.takeover_s + self.lease_s + self.grace_s + TIMEO_S * RETRANS

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        mounts = dict.fromkeys((self.client, *self.nodes), CLIENT_MODULES[False])
        return together(mounts, dict.fromkeys(self.nodes, (*NFS.server_modules, "CONFIG_NFSD_V4")))

    def requires(self) -> Capabilities:
        """See `Requiring.requires`: a cluster that fences powers its nodes off."""
        return dict.fromkeys(self.nodes, (Power,)) if self.driver.fences else {}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError if the nodes share no disk or no link."""
        service = self.service
        service.prepare(site)
        self.driver.start(site, service)
        for role in (self.client, *self.nodes) if self.server_mounts else (self.client, self.nodes[1]):
            self._mount.attach(site, site.role(role), f"{service.address(site).ip}:{EXPORT}")
        client = site.role(self.client)
        client.shell.run(f"mkdir -p {self.folder}", deadline=site.deadline(20))
        probe = self._mount.probe(site, client)
        service.watch(site, site.role(self.nodes[1]))
        return probe

    @property
    def _mount(self) -> Mount:
        return hard_mount("4.2")

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return written_through(site, site.role(self.client), f"{MOUNT}/baseline")

    def from_disk(self, site: Site) -> tuple[Target, str]:
        """Take the service down and mount its disk read-only; returns the node, and the load's folder there.

        Requests that clients still wait for then fail.
        """
        self._unmount(site)
        nodes = self._living(site, self.nodes)
        for node in nodes:
            self.driver.stop(site, node)
        for node in nodes:  # never on two nodes at a time
            self.service.order(site, node, "drop", 40)
        self.service.order(site, nodes[-1], "reread", 40)
        return nodes[-1], f"{EXPORT}/load"

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: the duration of each step of the take-over, and of the grace period."""
        node = site.role(self.nodes[1])
        marks = node.shell.run("cat %s", MARKS, deadline=site.deadline(10), check=False).stdout
        kernel = node.shell.run("dmesg | grep -i 'nfsd:' | tail -n 20", deadline=site.deadline(10), check=False).stdout
        (evidence / "takeover.txt").write_text(f"{marks}\n{kernel}")
        if self.driver.log:
            log = node.shell.run("tail -c 200000 %s", self.driver.log, deadline=site.deadline(10), check=False).stdout
            (evidence / "cluster-log.txt").write_text(log)
        return steps(marks)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; requests that still wait for the service fail."""
        steps = (partial(self._let_go, site, role) for role in self.nodes)
        take_down(site.topology.name, partial(self._unmount, site), *steps)

    def _let_go(self, site: Site, role: str) -> None:
        for node in self._living(site, (role,)):
            self.driver.stop(site, node)
            self.service.clear(site, node)

    def _unmount(self, site: Site) -> None:
        client = site.role(self.client)
        client.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has a file open there
        for target in self._living(site, (self.client, *self.nodes)):
            target.shell.run(UNMOUNT, deadline=site.deadline(20), check=False)

    def _living(self, site: Site, roles: Sequence[str]) -> list[Target]:
        targets = [site.role(role) for role in roles]
        return [target for target in targets if target.power.state(deadline=site.deadline(5)) is PowerState.ON]


def steps(marks: str) -> list[Measure]:
    """Durations between the marks, lines of "<what> <uptime>", that a take-over leaves; missing marks are skipped."""
    times = {what: float(when) for what, when in (line.split() for line in marks.splitlines())}
    pairs = (
        ("take-over: asked to fence until it was dead", "asked", "fenced"),
        ("take-over: order to mount", "begun", "mounted"),
        ("take-over: fenced to mount", "fenced", "mounted"),
        ("take-over: mount to server", "mounted", "serving"),
        ("take-over: server to address", "serving", "address"),
        ("grace period", "serving", "grace-over"),
    )
    return [
        Measure(name=name, value=round(times[end] - times[begin], 2), unit="s")
        for name, begin, end in pairs
        if begin in times and end in times
    ]
