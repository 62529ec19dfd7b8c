"""Commands on a host, over SSH with Fabric, with deadlines that hold whatever the host does.

Paramiko alone would wait: `open_session` up to 3600 s, `recv_exit_status` without any bound, a key exchange for ever if
the host stops in the middle of it. So every operation runs on a thread of its own. When the deadline passes, the socket
is closed under that thread and the caller goes on.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
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
from harness.model.errors import DeadlineExceeded, InfraError, ShellError, UsageError

# Errors of a connection come as exceptions; without a log handler, paramiko would print them as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

T = TypeVar("T")
# Not every line of sudo: it also warns, such as of a host name that does not resolve, and runs the command.
SUDO_REFUSES = (
    *("sudo: a password is required", "sudo: a terminal is required", "sudo: sorry, you must have a tty"),
    *("is not in the sudoers file", "is not allowed to ", "sudo: not found", "sudo: command not found"),
)
CONNECT_S = 3600.0  # the caller's deadline ends it much earlier
LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress:
    """The address and user to log in with: `name` is a host name, an IP address, or a Host of the file `config`.

    Only the host key `host_key` is accepted (`ssh-ed25519 AAAA…`). A user who is not root runs every command through
    `sudo -n`. Without `key_file`, the keys are those that ssh(1) would try. `config` is an ssh_config(5): it completes
    what is None here, and `jump` (`user@host:port`) goes before its ProxyJump. The key of a jump host is the one in
    ~/.ssh/known_hosts.
    """

    host: str
    name: str
    port: int | None = 22
    user: str | None = "root"
    key_file: Path | None
    host_key: str
    config: Path | None = None
    jump: str = ""


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
            result = connection.run(as_root(text, connection.user), hide=True, warn=True, in_stream=False)
            self._check_sudo(connection.user, text, result.exited, result.stderr)
            return Completed(command=text, exit_code=result.exited, stdout=result.stdout, stderr=result.stderr)

        completed = self._within(deadline, text, work)
        if check and completed.exit_code != 0:
            raise ShellError(
                host=self.address.host,
                command=text,
                problem=f"exit code {completed.exit_code}",
                output=printable(completed.stderr or completed.stdout),
            )
        return completed

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        """See `Shell.put`."""
        data = source.read_bytes() if isinstance(source, Path) else source

        def work(connection: Any) -> None:
            client: paramiko.SSHClient = connection.client
            # Through a command and not SFTP: one process fewer on a host that may have no memory to spare.
            quoted = shlex.quote(target)
            writing = as_root(f"umask 077; cat >{quoted} && chmod {mode:o} {quoted}", connection.user)
            channel_in, out, errors = client.exec_command(writing)
            with contextlib.suppress(OSError), channel_in:  # it may have ended already, and then says why
                channel_in.write(data)
            status = out.channel.recv_exit_status()
            if status != 0:
                self._check_sudo(connection.user, f"write {target}", status, errors.read().decode("utf-8", "replace"))
                raise ShellError(host=self.address.host, command=f"write {target}", problem="failed")

        self._within(deadline, f"write {target}", work)

    def start(self, command: str, *arguments: object, deadline: Deadline) -> paramiko.Channel:
        """Start a command that goes on, as root; its input and output are the channel's.

        The channel has a connection of its own, which lives as long as the channel.
        """
        text = quote(command, arguments)

        def work(connection: Any) -> paramiko.Channel:
            channel: paramiko.Channel = connection.transport.open_session()
            channel.exec_command(as_root(text, connection.user))
            channel.keeps = connection  # type: ignore[attr-defined]
            return channel

        return self._on_connection(self._new_connection(), deadline, text, work)

    def _check_sudo(self, user: str, what: str, status: int, stderr: str) -> None:
        """Raise ShellError if it was sudo that refused, and not the command that failed."""
        problem = sudo_problem(user, status, stderr) if user != "root" else ""
        if problem:
            raise ShellError(host=self.address.host, command=what, problem=problem)

    def close(self) -> None:
        """See `Shell.close`."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _cut(connection)

    def _within(self, deadline: Deadline, what: str, work: Callable[[Any], T]) -> T:
        """Do `work` with the kept connection, or a new one."""
        connection = self._take_connection()
        done = self._on_connection(connection, deadline, what, work)
        self._give_back(connection)
        return done

    def _on_connection(self, connection: Any, deadline: Deadline, what: str, work: Callable[[Any], T]) -> T:
        """Do `work` on a thread, the connection open; close the connection under it when the deadline passes."""
        reached: list[str] = []  # what failed if it was not the login

        def body() -> T:
            if not connection.is_connected:
                connection.open()
            reached.append(what)
            return work(connection)

        late = DeadlineExceeded(host=self.address.host, command=what, problem="no answer in time")
        try:
            return _in_time(body, lambda: _cut(connection), deadline, late)
        except ShellError:
            raise
        except Exception as error:
            problem = printable(_problem(self.address, error), ends=" ")
            failed = reached[0] if reached else LOGIN
            raise ShellError(host=self.address.host, command=failed, problem=problem) from error

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
        kind, key = pinned_key(self.address.host_key)
        connection = _connection_of(self.address, disabled_algorithms={"keys": _other_kinds(self.address.host_key)})
        name = connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"
        connection.client.get_host_keys().add(name, kind, key)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        return connection


def _in_time(work: Callable[[], T], cut: Callable[[], None], deadline: Deadline, late: Exception) -> T:
    """Do `work` on a thread of its own; raises what it raises, or `late` at the deadline. `cut` ends it then."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="ssh", daemon=True)
    thread.start()
    thread.join(deadline.remaining)
    still_running = thread.is_alive()  # checked first: once the thread has ended, one of the two lists is filled
    if outcome:
        return outcome[0]
    cut()
    raise late if still_running else failure[0]


def _connection_of(address: SshAddress, **more: Any) -> Any:
    """A connection that is not open yet, with `more` arguments for paramiko; its jump hosts are checked."""
    own_keys = address.key_file is None
    config = _config_of(address)
    connection = fabric.Connection(
        host=address.name,
        port=address.port,
        user=address.user,
        config=config,
        gateway=fabric.Connection(address.jump, config=config.clone()) if address.jump else None,
        connect_timeout=int(CONNECT_S),
        connect_kwargs={
            **({} if own_keys else {"key_filename": str(address.key_file)}),
            "look_for_keys": own_keys,
            "allow_agent": own_keys,
            "banner_timeout": CONNECT_S,
            "auth_timeout": CONNECT_S,
            "channel_timeout": CONNECT_S,
            **more,
        },
    )
    for gateway in _gateways(connection):
        gateway.client.load_system_host_keys()
        gateway.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return connection


def _problem(address: SshAddress, error: Exception) -> str:
    if isinstance(error, paramiko.BadHostKeyException):
        return (
            f"SSH shows another host key than the one that was pinned: {fingerprint(error.key)}, not "
            f"{fingerprint(error.expected_key)}; if its owner changed it, write the new one into the inventory"
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        kind = (address.host_key.split() or ["any"])[0]
        return f"SSH: nothing in common; is there a host key of the pinned kind {kind}? {error}"
    if isinstance(error, paramiko.AuthenticationException):
        key = address.key_file
        return f"SSH refused the key {key}" if key else "SSH refused every key of the ssh agent and of ~/.ssh"
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        reasons = {getattr(one, "strerror", None) or str(one) for one in error.errors.values()}
        return "SSH: " + ", ".join(sorted(reasons))
    if isinstance(error, (paramiko.SSHException, socket.error, EOFError)):
        return f"SSH: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}"
    return f"{type(error).__name__}: {error}"


def as_root(command: str, user: str) -> str:
    """The command as root runs it; in sudo's own words, English ones."""
    return command if user == "root" else f"LC_ALL=C sudo -n -- sh -c {shlex.quote(command)}"


def sudo_problem(user: str, status: int, stderr: str) -> str:
    """Why sudo refused to run a command, and the way out; "" if it did not."""
    refusals = [line for line in stderr.splitlines() if any(words in line for words in SUDO_REFUSES)]
    if status not in (1, 127) or not refusals:
        return ""
    return f"{printable(refusals[0])}; in sudoers(5) is wanted: `{printable(user)} ALL=(ALL) NOPASSWD: ALL`"


def printable(text: str, *, ends: str = "\n") -> str:
    """Text of a host without control characters, which a terminal would obey; `ends` replaces the end of a line."""
    lines = [
        "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line) for line in text.splitlines()
    ]
    return ends.join(lines)


def fingerprint(key: paramiko.PKey) -> str:
    """`SHA256:…`, as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def pinned_key(text: str) -> tuple[str, paramiko.PKey]:
    """The kind and the key of `ssh-ed25519 AAAA…`; raises UsageError."""
    try:
        kind, data = text.split()[:2]
        return kind, paramiko.PKey.from_type_string(kind, base64.b64decode(data, validate=True))
    except Exception as error:
        raise UsageError(f"{text[:40]!r} is no host key; ssh-keyscan shows those of a host") from error


def fetch_host_key(address: SshAddress, *, deadline: Deadline) -> tuple[str, str]:
    """The host key that a server shows, as `ssh-ed25519 AAAA…`, and its fingerprint; `address.host_key` says nothing.

    Nothing proves yet that it is the right one. Raises InfraError.
    """
    connection = _connection_of(address)
    opened: list[paramiko.Transport] = []

    def work() -> paramiko.PKey:
        place = (connection.host, int(connection.port))
        left = max(0.1, deadline.remaining)
        through = connection.open_gateway() if connection.gateway else socket.create_connection(place, timeout=left)
        opened.append(paramiko.Transport(through))
        opened[0].banner_timeout = max(0.1, deadline.remaining)
        opened[0].start_client(timeout=max(0.1, deadline.remaining))
        return opened[0].get_remote_server_key()

    def cut() -> None:
        for transport in opened:
            transport.sock.close()  # first, as in _cut
            transport.close()
        _cut(connection)

    where = f"{address.name}: no host key"
    try:
        key = _in_time(work, cut, deadline, InfraError(f"{where}: no answer in time"))
    except InfraError:
        raise
    except Exception as error:
        raise InfraError(printable(f"{where}: {_problem(address, error)}", ends=" ")) from error
    cut()
    return f"{key.get_name()} {key.get_base64()}", fingerprint(key)


def _config_of(address: SshAddress) -> Any:
    """Fabric's configuration: it reads no other file than the one of the address."""
    if address.config is None or not address.config.exists():
        return fabric.Config(overrides={"load_ssh_configs": False})
    return fabric.Config(runtime_ssh_path=str(address.config))


def _other_kinds(host_key: str) -> list[str]:
    """The kinds of host key that are not the pinned one: a server with several would else choose."""
    kind = host_key.split()[0]
    wanted = ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
    return [known for known in paramiko.Transport._preferred_keys if known not in wanted]  # type: ignore[attr-defined]


def _gateways(connection: Any) -> list[Any]:
    """The jump hosts on the way, the nearest to the host first."""
    found = []
    gateway = connection.gateway
    while isinstance(gateway, fabric.Connection):
        found.append(gateway)
        gateway = gateway.gateway
    return found


def _cut(connection: Any) -> None:
    """Close the socket first: an orderly close would wait for a host that may be dead."""
    for hop in (*_gateways(connection)[::-1], connection):
        transport = getattr(hop, "transport", None)
        with contextlib.suppress(Exception):
            if transport is not None and transport.sock is not None:
                transport.sock.close()
        with contextlib.suppress(Exception):
            hop.client.close()


def read_key(path: Path) -> str:
    """The public half of an OpenSSH private key file, as `ssh-ed25519 AAAA…`."""
    key = paramiko.Ed25519Key(file_obj=io.StringIO(path.read_text()))
    return f"{key.get_name()} {key.get_base64()}"
