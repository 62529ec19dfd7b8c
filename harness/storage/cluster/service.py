"""The service itself, one file system and its NFS export behind an address, as a script that both nodes have."""

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

# One script for every driver: `start`, `stop` and `status` are what an init script of the NFS server has, and what the
# agent ocf:heartbeat:nfsserver calls; `take` and `drop` are for the whole service. What is done already is left alone.
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
    """What decides on which node the service runs."""

    def describe(self) -> str:
        """What it is, in a few words."""

    @property
    def takeover_s(self) -> float:
        """Seconds within which it has moved the service, once a node has died."""

    @property
    def fences(self) -> bool:
        """Whether it has a node that it gave up powered off."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it depends on."""

    @property
    def log(self) -> str:
        """A file on each node in which it says what it does, "" if it has none."""

    def start(self, site: Site, service: Service) -> None:
        """Have the service on the first node; raises InfraError if it does not get there."""

    def stop(self, site: Site, node: Target) -> None:
        """Let go of the service: from now on nobody moves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What moves between `nodes` (roles): a file system on their shared disk, its export, and an address.

    /var/lib/nfs, with the clients that may reclaim, lies on that disk. `scope` is the server scope that both nodes show
    their clients, "" for each node's own name.
    """

    nodes: tuple[str, str]
    lease_s: int
    grace_s: int
    sync: bool
    scope: str

    @property
    def options(self) -> str:
        """How it is exported."""
        return f"rw,{'sync' if self.sync else 'async'},no_root_squash,no_subtree_check,fsid={FSID}"

    def card(self, site: Site, node: Target) -> str:
        """The network card of a node that faces the clients."""
        return node.interface(self.link(site)).name

    def link(self, site: Site) -> str:
        """The segment that both nodes are on."""
        nodes = {site.role(role).name for role in self.nodes}
        for link in site.topology.links:
            if nodes <= set(link.hosts):
                return link.name
        raise UsageError(f"topology {site.topology.name!r}: no link between {' and '.join(self.nodes)}; add one")

    def address(self, site: Site) -> ipaddress.IPv4Interface:
        """The service's own address: the last of the segment."""
        link = self.link(site)
        subnet = next(segment.subnet for segment in site.topology.links if segment.name == link)
        network = ipaddress.IPv4Network(subnet)
        return ipaddress.IPv4Interface((network[-2], network.prefixlen))

    def prepare(self, site: Site) -> None:
        """The script on both nodes, and a fresh file system; raises UsageError where the nodes share no disk."""
        shared = site.topology.shared_disk
        names = {site.role(role).name for role in self.nodes}
        if shared is None or not names <= set(shared.hosts):
            raise UsageError(
                f"topology {site.topology.name!r}: {' and '.join(self.nodes)} share no disk; give it a shared_disk"
            )
        for role in self.nodes:
            node = site.role(role)
            # Loaded now: a take-over is no time to look for modules.
            make = "rm -rf %s %s && mkdir -p %s %s && modprobe nfsd && modprobe nfsv4"
            node.shell.run(make, FOLDER, MARKS, FOLDER, DISK_ROOT, deadline=site.deadline(20))
            node.shell.put(self.script(site, node).encode(), NODE, deadline=site.deadline(10), mode=0o755)
            node.shell.put(WATCH, f"{FOLDER}/{WATCH.name}", deadline=site.deadline(10))
        self.order(site, site.role(self.nodes[0]), "make", 30)

    def script(self, site: Site, node: Target) -> str:
        """What `node` has as NODE."""
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
            # nfsd takes the name of the host for its scope when it starts, and a client reclaims nothing from a server
            # of another scope (RFC 8881, 8.4.2.1); so do the resource agents, since their issue 1644.
            named=f"unshare -u sh -c 'hostname {self.scope}; exec \"$@\"' sh" if self.scope else "",
            options=self.options,
            export=EXPORT,
            address=address.ip,
            prefix=address.network.prefixlen,
            card=self.card(site, node),
            folder=FOLDER,
        )

    def order(self, site: Site, node: Target, verb: str, seconds: float) -> None:
        """Have a node do one thing of the script."""
        node.shell.run(f"{NODE} %s", verb, deadline=site.deadline(seconds))

    def clear(self, site: Site, node: Target) -> None:
        """Take the service down on a node, and leave nothing of it there."""
        node.shell.run("! test -x %s || %s drop", NODE, NODE, deadline=site.deadline(40))
        clear = "pkill -f ^python3.*%s; rm -rf %s %s; rmdir %s"
        node.shell.run(clear, WATCH.name, FOLDER, MARKS, DISK_ROOT, deadline=site.deadline(10), check=False)

    def watch(self, site: Site, node: Target) -> None:
        """From now on the node notes when each part of the service has arrived there (MARKS)."""
        words = ("python3", "-I", "-S", f"{FOLDER}/{WATCH.name}", MARKS, DISK_ROOT, self.address(site).ip)
        command = "rm -f %s; setsid" + " %s" * len(words) + " >/dev/null 2>&1 </dev/null &"
        node.shell.run(command, MARKS, *words, deadline=site.deadline(10))
