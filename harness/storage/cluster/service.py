"""The clustered service, a file system and its NFS export behind an address, as a script on both nodes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.model.errors import UsageError
from harness.site.facts import SHARED
from harness.site.target import Site, Target
from harness.storage.base import MKFS
from harness.storage.nfs import PIPES, THREADS

FOLDER = "/run/harness/cluster"
NODE = f"{FOLDER}/node"
WATCH = Path(__file__).parent.parent / "guest" / "takeover_watch.py"
MARKS = "/dev/shm/harness-takeover"  # "<what> <uptime in seconds>" a line
DISK_ROOT = "/srv/harness-cluster"
EXPORT = f"{DISK_ROOT}/export"
STATE = f"{DISK_ROOT}/state"  # laid over /var/lib/nfs
FSID = 1

# One script for every driver. `start`, `stop` and `status` are those of an init script of the NFS server; the agent
# ocf:heartbeat:nfsserver calls them. `take` and `drop` move the whole service. Steps already done are skipped.
SCRIPT = """\
#!/bin/sh
disk={disk}
mark() {{ echo "$1 $(cut -d' ' -f1 /proc/uptime)" >>{marks}; }}
is_mount() {{ mountpoint -q "$1"; }}
start() {{
  modprobe nfsd && mkdir -p {pipes} /var/lib/nfs/nfsdcld || return 1
  is_mount {pipes} || mount -t rpc_pipefs none {pipes} || return 1
  is_mount /proc/fs/nfsd || mount -t nfsd none /proc/fs/nfsd || return 1
  echo {lease} >/proc/fs/nfsd/nfsv4leasetime && echo {grace} >/proc/fs/nfsd/nfsv4gracetime || return 1
  pgrep -x nfsdcld >/dev/null || nfsdcld || return 1
  pgrep -x rpc.mountd >/dev/null || rpc.mountd -N 2 -N 3 || return 1
  rpc.nfsd -N 3 {threads}
}}
stop() {{
  rpc.nfsd 0
  pkill -x rpc.mountd
  pkill -x nfsdcld
  for i in $(seq 50); do pgrep -x nfsdcld >/dev/null || pgrep -x rpc.mountd >/dev/null || break; sleep 0.1; done
  is_mount /proc/fs/nfsd && umount -l /proc/fs/nfsd
  is_mount {pipes} && umount -l {pipes}
  return 0
}}
status() {{ [ "$(cat /proc/fs/nfsd/threads 2>/dev/null || echo 0)" -gt 0 ] || return 3; }}
take() {{
  is_mount {root} || mount $disk {root} || return 1
  is_mount /var/lib/nfs || mount --bind {state} /var/lib/nfs || return 1
  {named} $0 start || return 1
  exportfs -i -o {options} '*:{export}' || return 1
  ip address add {address}/{prefix} dev {card} || return 1
  /usr/libexec/heartbeat/send_arp -i 200 -r 5 -p {folder}/arp.pid {card} {address} auto not_used not_used
}}
drop() {{
  ip address del {address}/{prefix} dev {card} 2>/dev/null
  exportfs -u '*:{export}' 2>/dev/null
  stop
  is_mount /var/lib/nfs && umount -l /var/lib/nfs
  for i in $(seq 50); do is_mount {root} || break; umount {root} 2>/dev/null || sleep 0.2; done
  ! is_mount {root}
}}
# What the disk itself has: nothing of it is in a cache any more.
reread() {{ blockdev --flushbufs $disk && mount -o ro $disk {root}; }}
make() {{
  {mkfs} $disk && mount $disk {root} && \\
  mkdir -p {export} {state} && cp -a /var/lib/nfs/. {state}/ && umount {root}
}}
[ "$1" = take ] && mark begun
$1
"""


class Driver(Protocol):
    """Decides on which node the service runs."""

    def describe(self) -> str:
        """The driver in a few words."""

    @property
    def takeover_s(self) -> float:
        """Seconds within which the service has moved after a node died."""

    @property
    def fences(self) -> bool:
        """Whether it has failed nodes powered off."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that the driver depends on."""

    @property
    def log(self) -> str:
        """The path of its log on each node, "" if it has none."""

    def start(self, site: Site, service: Service) -> None:
        """Bring the service up on the first node; raises InfraError if that fails."""

    def stop(self, site: Site, node: Target) -> None:
        """Stop controlling the service on a node: from now on nothing moves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service that moves between `nodes` (roles): a file system on their shared disk, its export, and an address.

    /var/lib/nfs, with the list of clients that may reclaim, lies on that disk. `scope` is the server scope of both
    nodes, "" for each node's own name.
    """

    nodes: tuple[str, str]
    lease_s: int
    grace_s: int
    sync: bool
    scope: str

    @property
    def options(self) -> str:
        """The export options."""
        return f"rw,{'sync' if self.sync else 'async'},no_root_squash,no_subtree_check,fsid={FSID}"

    def card(self, site: Site, node: Target) -> str:
        """The network card of a node that faces the clients."""
        return node.interface(self.link(site)).name

    def link(self, site: Site) -> str:
        """The name of the link that both nodes are on; raises UsageError if there is none."""
        nodes = {site.role(role).name for role in self.nodes}
        for link in site.topology.links:
            if nodes <= set(link.hosts):
                return link.name
        raise UsageError(f"topology {site.topology.name!r}: no link between {' and '.join(self.nodes)}; add one")

    def address(self, site: Site) -> ipaddress.IPv4Interface:
        """The service's own address: the last host address of the link."""
        link = self.link(site)
        subnet = next(segment.subnet for segment in site.topology.links if segment.name == link)
        network = ipaddress.IPv4Network(subnet)
        return ipaddress.IPv4Interface((network[-2], network.prefixlen))

    def prepare(self, site: Site) -> None:
        """Put the script on both nodes and make a new file system; raises UsageError if the nodes share no disk."""
        shared = site.topology.shared_disk
        names = {site.role(role).name for role in self.nodes}
        if shared is None or not names <= set(shared.hosts):
            raise UsageError(
                f"topology {site.topology.name!r}: {' and '.join(self.nodes)} share no disk; give it a shared_disk"
            )
        for role in self.nodes:
            node = site.role(role)
            # Load modules now, not during a take-over.
            make = "rm -rf %s %s && mkdir -p %s %s && modprobe nfsd && modprobe nfsv4"
            node.shell.run(make, FOLDER, MARKS, FOLDER, DISK_ROOT, deadline=site.deadline(20))
            node.shell.put(self.script(site, node).encode(), NODE, deadline=site.deadline(10), mode=0o755)
            node.shell.put(WATCH, f"{FOLDER}/{WATCH.name}", deadline=site.deadline(10))
        self.order(site, site.role(self.nodes[0]), "make", 30)

    def script(self, site: Site, node: Target) -> str:
        """The content of the script NODE on `node`."""
        address = self.address(site)
        return SCRIPT.format(
            disk=node.disk(SHARED).path,
            marks=MARKS,
            mkfs=MKFS,
            pipes=PIPES,
            lease=self.lease_s,
            grace=self.grace_s,
            threads=THREADS,
            state=STATE,
            root=DISK_ROOT,
            # At its start nfsd takes the host name as server scope, and a client reclaims nothing from a server of
            # another scope (RFC 8881, 8.4.2.1). The resource agents set the name likewise, since their issue 1644.
            named=f"unshare -u sh -c 'hostname {self.scope}; exec \"$@\"' sh" if self.scope else "",
            options=self.options,
            export=EXPORT,
            address=address.ip,
            prefix=address.network.prefixlen,
            card=self.card(site, node),
            folder=FOLDER,
        )

    def order(self, site: Site, node: Target, verb: str, seconds: float) -> None:
        """Run one verb of the script on a node."""
        node.shell.run(f"{NODE} %s", verb, deadline=site.deadline(seconds))

    def clear(self, site: Site, node: Target) -> None:
        """Take the service down on a node and remove its files there."""
        node.shell.run("! test -x %s || %s drop", NODE, NODE, deadline=site.deadline(40))
        clear = "pkill -f ^python3.*%s; rm -rf %s %s; rmdir %s"
        node.shell.run(clear, WATCH.name, FOLDER, MARKS, DISK_ROOT, deadline=site.deadline(10), check=False)

    def watch(self, site: Site, node: Target) -> None:
        """Start a script on the node that notes in MARKS when each part of the service arrives there."""
        words = ("python3", "-I", "-S", f"{FOLDER}/{WATCH.name}", MARKS, DISK_ROOT, self.address(site).ip)
        command = "rm -f %s; setsid" + " %s" * len(words) + " >/dev/null 2>&1 </dev/null &"
        node.shell.run(command, MARKS, *words, deadline=site.deadline(10))
