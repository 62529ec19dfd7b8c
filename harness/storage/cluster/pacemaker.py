"""A Pacemaker cluster: Corosync tracks membership, Pacemaker moves the service with its stock resource agents.

Guests have no systemd and no cluster shell, so the daemons are started directly, after the configuration was written
into Pacemaker's own file. Fencing is real: the fence agent asks the harness, which powers the node off and confirms
(harness/faults/failover.py). Nothing is taken over before that.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.model.errors import InfraError
from harness.site.addressing import address_of
from harness.site.facts import SHARED
from harness.storage.cluster.service import DISK_ROOT, EXPORT, FOLDER, FSID, NODE, STATE, Service
from harness.storage.nfs import PIPES

if TYPE_CHECKING:
    from harness.site.target import Site, Target

AGENT = "/usr/sbin/fence_harness"
AGENT_FILE = Path(__file__).parent.parent / "guest" / "fence_harness.sh"
CONFIG = f"{FOLDER}/corosync.conf"
CIB = "/var/lib/pacemaker/cib/cib.xml"
LOG = "/var/log/pacemaker/pacemaker.log"
DAEMONS = ("attrd", "based", "controld", "execd", "fenced", "schedulerd")
COMM = 15  # characters of a task's name that the kernel keeps
START_S = 30.0
POLL_S = 1.0
_TEMPLATES = Environment(
    loader=PackageLoader("harness.storage.cluster", "."), autoescape=True, undefined=StrictUndefined
)

# two_node: a single remaining node has the quorum, but neither starts before it has seen the other (wait_for_all).
COROSYNC = """\
totem {{
  version: 2
  cluster_name: harness
  transport: udpu
  token: {token}
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
}}
logging {{
  to_logfile: yes
  logfile: {folder}/corosync.log
  to_syslog: no
  to_stderr: no
}}
"""
NODE_ENTRY = """\
  node {{
    ring0_addr: {}
    name: {}
    nodeid: {}
  }}
"""
# The Filesystem agent checks for fuser (psmisc), which guests lack; with force_unmount=safe it does not use it.
START = """\
mkdir -p /run/resource-agents /var/log/pacemaker && chown hacluster:haclient /var/log/pacemaker && \
rm -rf /var/lib/pacemaker/cib/* && mv {folder}/cib.xml {cib} && chown hacluster:haclient {cib} && chmod 600 {cib} && \
corosync -c {config} && (FUSER=true setsid pacemakerd >{folder}/pacemakerd.log 2>&1 </dev/null &)"""
# SIGKILL: a cluster that shuts down in order would first stop the service, and wait for anything that hangs.
STOP = f"""\
pkill -9 -x pacemakerd; pkill -9 -f ^/usr/lib/pacemaker/pacemaker-; pkill -9 -x corosync; \
rm -rf /var/lib/pacemaker/cib/* {AGENT}; true"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacemaker:
    """Corosync and Pacemaker on both nodes. A node that is silent for `token_ms` counts as dead."""

    token_ms: int = 5000
    takeover_s: float = 60.0

    def describe(self) -> str:
        """See `Driver.describe`."""
        return f"moved by Pacemaker, token {self.token_ms} ms"

    @property
    def fences(self) -> bool:
        """See `Driver.fences`."""
        return True

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Driver.critical_tasks`."""
        return ("corosync", "pacemakerd", *(f"pacemaker-{daemon}"[:COMM] for daemon in DAEMONS))

    @property
    def log(self) -> str:
        """See `Driver.log`."""
        return LOG

    def start(self, site: Site, service: Service) -> None:
        """See `Driver.start`."""
        for role in service.nodes:
            self._start_node(site, service, site.role(role))
        first = site.role(service.nodes[0])
        deadline = site.deadline(START_S)
        while not self._has_service(site, service, first):
            if deadline.passed:
                log = first.shell.run(f"tail -n 40 {LOG}", deadline=site.deadline(10), check=False).stdout
                raise InfraError(f"{first.name}: the cluster did not start the service:\n{log}")
            time.sleep(POLL_S)

    def _start_node(self, site: Site, service: Service, node: Target) -> None:
        node.shell.put(AGENT_FILE, AGENT, deadline=site.deadline(10), mode=0o755)
        node.shell.put(self.corosync(site, service).encode(), CONFIG, deadline=site.deadline(10))
        node.shell.put(self.cib(site, service).encode(), f"{FOLDER}/cib.xml", deadline=site.deadline(10))
        start = START.format(folder=FOLDER, cib=CIB, config=CONFIG)
        node.shell.run(start, deadline=site.deadline(30))

    def corosync(self, site: Site, service: Service) -> str:
        """The configuration of Corosync."""
        link = service.link(site)
        names = [site.role(role).name for role in service.nodes]
        addresses = [address_of(site.topology, link, name) for name in names]
        nodes = "".join(NODE_ENTRY.format(*entry) for entry in zip(addresses, names, itertools.count(1), strict=False))
        return COROSYNC.format(token=self.token_ms, nodes=nodes, folder=FOLDER)

    def cib(self, site: Site, service: Service) -> str:
        """The configuration of Pacemaker: the service as a group of stock agents, and fencing."""
        address = service.address(site)
        return _TEMPLATES.get_template("cib.xml.j2").render(
            nodes=[site.role(role).name for role in service.nodes],
            service=service,
            script=NODE,
            root=DISK_ROOT,
            export=EXPORT,
            state=STATE,
            pipes=PIPES,
            fsid=FSID,
            address=str(address.ip),
            prefix=address.network.prefixlen,
            card=service.card(site, site.role(service.nodes[0])),
            disk=site.role(service.nodes[0]).disk(SHARED).path,
        )

    def _has_service(self, site: Site, service: Service, node: Target) -> bool:
        command = "ip -4 address show | grep -qF ' %s/' && cat /proc/fs/nfsd/threads"
        done = node.shell.run(command % service.address(site).ip, deadline=site.deadline(10), check=False)
        return done.exit_code == 0 and done.stdout.strip() not in ("", "0")

    def stop(self, site: Site, node: Target) -> None:
        """See `Driver.stop`."""
        node.shell.run(STOP, deadline=site.deadline(20), check=False)
