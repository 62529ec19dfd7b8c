"""NBD servers: nbd-server and nbdkit."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import NBD
from harness.site.target import Site
from harness.storage.folder import IMAGE as FILE
from harness.storage.folder import Folder

EXPORT = "swap"
PORT = NBD.port  # the default of both servers
FOLDER = "/srv/harness-nbd"
IMAGE = f"{FOLDER}/{FILE}"
PID_FILE = "/run/harness-nbd.pid"
CONFIG = f"""\
[generic]
user = root
group = root
port = {PORT}
[{EXPORT}]
exportname = {IMAGE}
"""
PROGRAMS = ("nbd-server", "nbdkit")
NBD_SERVER = f"printf %%s %s >{FOLDER}/nbd.conf && nbd-server -C {FOLDER}/nbd.conf -p {PID_FILE}"
OPTIONS = f"--port {PORT} --pidfile {PID_FILE} file {IMAGE}"
NBDKIT = f"nbdkit {OPTIONS}"
# In the foreground: by default nbdkit locks itself and then forks, and a child of fork(2) inherits no locks (1.32;
# mlock(2)). Locked, it takes 200 MB: its zeroed data alone are 192 MB (1.32), and unlocked it touches almost none.
NBDKIT_LOCKED = f"(setsid nbdkit --swap --foreground {OPTIONS} >/dev/null 2>&1 </dev/null &)"
# Both listen first; nbd-server then computes Diffie-Hellman parameters (3.24; tens of seconds under emulation).
GREETED = f"import socket; assert socket.create_connection(('127.0.0.1', {PORT})).recv(8) == b'NBDMAGIC'"
WAIT = (
    f"for i in $(seq 50); do ss -Hltn 'sport = :{PORT}' | grep -q . && break; sleep 0.1; done; "
    f'python3 -I -S -c "{GREETED}"'
)
# A fault may have left it stopped.
STOP = f"kill $(cat {PID_FILE}); pkill -CONT -x {{program}}; rm -f {PID_FILE}; true"


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServer:
    """The server program, "nbd-server" or "nbdkit". `locked` is nbdkit's `--swap`: it locks itself in memory."""

    program: str = "nbd-server"
    locked: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown program, or one that cannot lock itself."""
        if self.program not in PROGRAMS:
            raise UsageError(f"NBD: no server {self.program!r}; there are: {', '.join(PROGRAMS)}")
        if self.locked and self.program != "nbdkit":
            raise UsageError(f'NBD: {self.program} does not lock itself in memory; use program="nbdkit"')

    def describe(self) -> str:
        """The program in a few words."""
        return f"{self.program}, locked in memory" if self.locked else self.program

    def start(self, site: Site, client_role: str, server_role: str, size: int) -> None:
        """Serve `size` bytes, kept where `Folder` describes but never on a scratch disk.

        Raises InfraError if the server does not answer.
        """
        server = site.role(server_role)
        _folder(server_role).make_image(site, client_role, size)
        if self.program == "nbdkit":
            server.shell.run(NBDKIT_LOCKED if self.locked else NBDKIT, deadline=site.deadline(10))
        else:
            server.shell.run(NBD_SERVER, CONFIG, deadline=site.deadline(10))
        if server.shell.run(WAIT, deadline=site.deadline(20), check=False).exit_code != 0:
            raise InfraError(f"{server.name}: {self.program} does not listen on port {PORT}")

    def stop(self, site: Site, server_role: str) -> None:
        """End the server and remove its data."""
        command = STOP.format(program=self.program)
        site.role(server_role).shell.run(command, deadline=site.deadline(10), check=False)
        _folder(server_role).tear_down(site)


def _folder(server_role: str) -> Folder:
    return Folder(path=FOLDER, server=server_role, scratch=False)
