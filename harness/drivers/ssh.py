"""Commands on a host, over SSH with Fabric, with deadlines that hold whatever the host does.

Paramiko alone would wait: `open_session` up to 3600 s, `recv_exit_status` without any bound, a key exchange for ever if
the host stops in the middle of it. So every operation runs on a thread of its own. When the deadline passes, the socket
is closed under that thread and the caller goes on.
"""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import shlex
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fabric
import paramiko

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, ShellError

# Errors of a connection come as exceptions; without a log handler, paramiko would print them as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

T = TypeVar("T")
CONNECT_S = 3600.0  # the caller's deadline ends it much earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress:
    """The address and user to log in with: `name` is a host name or an IP address.

    Only the host key `host_key` is accepted (`ssh-ed25519 AAAA…`).
    """

    host: str
    name: str
    port: int = 22
    user: str = "root"
    key_file: Path
    host_key: str


def quote(command: str, arguments: tuple[object, ...]) -> str:
    """`command % arguments`, every argument quoted for a shell."""
    return command % tuple(shlex.quote(str(argument)) for argument in arguments) if arguments else command


class FabricShell:
    """One SSH connection to a host, opened when it is first needed, and again after it broke."""

    def __init__(self, address: SshAddress) -> None:
        self.address = address
        self._connection: Any = None
        self._lock = threading.Lock()

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        """See `Shell.run`."""
        text = quote(command, arguments)

        def work(connection: Any) -> Completed:
            result = connection.run(text, hide=True, warn=True, in_stream=False)
            return Completed(command=text, exit_code=result.exited, stdout=result.stdout, stderr=result.stderr)

        completed = self._within(deadline, text, work)
        if check and completed.exit_code != 0:
            raise ShellError(
                host=self.address.host,
                command=text,
                problem=f"exit code {completed.exit_code}",
                output=completed.stderr or completed.stdout,
            )
        return completed

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        """See `Shell.put`."""
        data = source.read_bytes() if isinstance(source, Path) else source

        def work(connection: Any) -> None:
            client: paramiko.SSHClient = connection.client
            # Through a command and not SFTP: one process fewer on a host that may have no memory to spare.
            quoted = shlex.quote(target)
            channel_in, out, _ = client.exec_command(f"umask 077; cat >{quoted} && chmod {mode:o} {quoted}")
            with channel_in:
                channel_in.write(data)
            if out.channel.recv_exit_status() != 0:
                raise ShellError(host=self.address.host, command=f"write {target}", problem="failed")

        self._within(deadline, f"write {target}", work)

    def close(self) -> None:
        """See `Shell.close`."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _cut(connection)

    def _within(self, deadline: Deadline, what: str, work: Callable[[Any], T]) -> T:
        """Do `work` with an open connection on a thread; close the connection under it when the deadline passes."""
        outcome: list[T] = []
        failure: list[BaseException] = []
        connection = self._take_connection()

        def body() -> None:
            try:
                if not connection.is_connected:
                    connection.open()
                outcome.append(work(connection))
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=body, name=f"ssh {self.address.host}", daemon=True)
        thread.start()
        thread.join(deadline.remaining)
        still_running = thread.is_alive()  # checked first: once the thread has ended, one of the two lists is filled
        if outcome:
            self._give_back(connection)
            return outcome[0]
        _cut(connection)
        if still_running:
            raise DeadlineExceeded(host=self.address.host, command=what, problem="no answer in time")
        raise self._explain(what, failure[0])

    def _take_connection(self) -> Any:
        with self._lock:
            connection, self._connection = self._connection, None
        return connection if connection is not None else self._new_connection()

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if self._connection is None:
                self._connection = connection
                return
        _cut(connection)

    def _new_connection(self) -> Any:
        address = self.address
        connection = fabric.Connection(
            host=address.name,
            port=address.port,
            user=address.user,
            config=fabric.Config(overrides={"load_ssh_configs": False}),
            connect_timeout=int(CONNECT_S),
            connect_kwargs={
                "key_filename": str(address.key_file),
                "look_for_keys": False,
                "allow_agent": False,
                "banner_timeout": CONNECT_S,
                "auth_timeout": CONNECT_S,
                "channel_timeout": CONNECT_S,
            },
        )
        kind, text = address.host_key.split()[:2]
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
        name = address.name if address.port == 22 else f"[{address.name}]:{address.port}"
        connection.client.get_host_keys().add(name, kind, key)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        return connection

    def _explain(self, what: str, error: BaseException) -> ShellError:
        host = self.address.host
        if isinstance(error, ShellError):
            return error
        if isinstance(error, paramiko.AuthenticationException):
            problem = f"SSH refused the key {self.address.key_file}"
        elif isinstance(error, paramiko.BadHostKeyException):
            problem = "SSH shows another host key than the one that was pinned"
        elif isinstance(error, (paramiko.SSHException, socket.error, EOFError)):
            problem = f"SSH: {error or type(error).__name__}"
        else:
            problem = f"{type(error).__name__}: {error}"
        explained = ShellError(host=host, command=what, problem=problem)
        explained.__cause__ = error
        return explained


def _cut(connection: Any) -> None:
    """Close the socket first: an orderly close would wait for a host that may be dead."""
    transport = getattr(connection, "transport", None)
    with contextlib.suppress(Exception):
        if transport is not None and transport.sock is not None:
            transport.sock.close()
    with contextlib.suppress(Exception):
        connection.client.close()


def read_key(path: Path) -> str:
    """The public half of an OpenSSH private key file, as `ssh-ed25519 AAAA…`."""
    key = paramiko.Ed25519Key(file_obj=io.StringIO(path.read_text()))
    return f"{key.get_name()} {key.get_base64()}"
