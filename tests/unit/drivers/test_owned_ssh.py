"""Commands over SSH on a host that somebody owns, against paramiko's server: sudo, jump hosts, keys, hostile words.

The server runs each command with sh on this machine; a script stands in for sudo.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from harness.drivers import ssh
from harness.drivers.ssh import FabricShell, SshAddress, fetch_host_key, fingerprint
from harness.guests.keys import keys_of
from harness.model.clock import Deadline
from harness.model.errors import InfraError, ShellError, UsageError

GOOD_SUDO = '#!/bin/sh\n[ "$1 $2" = "-n --" ] || exit 9\nshift 2\nAS_ROOT=yes exec "$@"\n'
ASKS = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"
RSA = paramiko.RSAKey.generate(2048)
ECDSA = paramiko.ECDSAKey.generate()


def pin(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


class Login(paramiko.ServerInterface):
    """Lets the one key in, runs commands, and forwards connections."""

    def __init__(self, server: SshServer) -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.server.users.append(username)
        known = key.get_base64() in self.server.client_keys
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: Any) -> int:
        self.server.forwarded.append(destination)
        self.server.destination = destination
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        # Later: paramiko accepts the request when this has returned, and a closed channel would come before that.
        threading.Timer(0.1, self.server.execute, (channel, command)).start()
        return True


class SshServer:
    """A server on 127.0.0.1 with any host keys."""

    def __init__(self, client_key: str, *host_keys: paramiko.PKey, path: str = "/usr/bin:/bin") -> None:
        self.client_keys, self.host_keys, self.path = client_key, host_keys, path
        self.users: list[str] = []
        self.forwarded: list[Any] = []
        self.destination: Any = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                transport = paramiko.Transport(self._socket.accept()[0])
                self._transports.append(transport)
                for key in self.host_keys:
                    transport.add_server_key(key)
                threading.Thread(target=self._one, args=(transport,), daemon=True).start()

    def _one(self, transport: paramiko.Transport) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=Login(self))
            while transport.is_active():
                channel = transport.accept(0.2)
                if channel is not None and self.destination is not None:
                    threading.Thread(target=self._forward, args=(channel, self.destination), daemon=True).start()

    def _forward(self, channel: paramiko.Channel, destination: Any) -> None:
        far = socket.create_connection(destination)

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := far.recv(65536):
                    channel.sendall(data)
            channel.close()

        threading.Thread(target=back, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := channel.recv(65536):
                far.sendall(data)
        far.close()

    def execute(self, channel: paramiko.Channel, command: bytes) -> None:
        process = subprocess.Popen(
            ["sh", "-c", command.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": self.path},
        )
        data = b""
        if b"cat >" in command:
            with contextlib.suppress(OSError):
                while part := channel.recv(65536):
                    data += part
        out, err = process.communicate(data)
        with contextlib.suppress(OSError):
            channel.sendall(out)
            channel.sendall_stderr(err)
            channel.send_exit_status(process.returncode)
            channel.close()

    def close(self) -> None:
        self._socket.close()
        for transport in self._transports:
            transport.close()


class Lab:
    """A client's key, and servers that accept it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_file = keys_of(folder).client_file
        self.client_key = ssh.read_key(self.key_file).split()[1]
        self.servers: list[SshServer] = []

    def server(self, *host_keys: paramiko.PKey, sudo: str = GOOD_SUDO) -> SshServer:
        programs = self.folder / f"bin{len(self.servers)}"
        programs.mkdir()
        (programs / "sudo").write_text(sudo)
        (programs / "sudo").chmod(0o755)
        self.servers.append(SshServer(self.client_key, *(host_keys or (ECDSA,)), path=f"{programs}:/usr/bin:/bin"))
        return self.servers[-1]

    def shell(self, port: int | None, **more: Any) -> FabricShell:
        values = {"name": "127.0.0.1", "user": "owner", "key_file": self.key_file, "host_key": pin(ECDSA), **more}
        return FabricShell(SshAddress(host="ib1", port=port, **values))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for server in made.servers:
        server.close()


def nobodys(port: int | None, **more: Any) -> SshAddress:
    """An address whose host key is not known yet."""
    return SshAddress(host="ib1", **{"name": "127.0.0.1", "port": port, "key_file": None, "host_key": "", **more})


def soon() -> Deadline:
    return Deadline.after(60.0)


def test_a_user_runs_every_command_as_root(lab: Lab, tmp_path: Path) -> None:
    shell = lab.shell(lab.server().port)
    done = shell.run("echo %s; echo $AS_ROOT; exit 3", 'it\'s "here"', deadline=soon(), check=False)
    assert (done.stdout, done.exit_code) == ('it\'s "here"\nyes\n', 3)
    shell.put(b"\x00data\n", str(tmp_path / "a file"), deadline=soon(), mode=0o600)
    assert (tmp_path / "a file").read_bytes() == b"\x00data\n"
    shell.close()
    as_root = lab.shell(lab.servers[0].port, user="root")
    assert as_root.run("echo $AS_ROOT-", deadline=soon()).stdout == "-\n"
    as_root.close()


def test_sudo_that_asks_for_a_password(lab: Lab) -> None:
    shell = lab.shell(lab.server(sudo=ASKS).port)
    for work in (lambda: shell.run("true", deadline=soon()), lambda: shell.put(b"x", "/tmp/x", deadline=soon())):
        with pytest.raises(
            ShellError, match=r"sudo: a password is required; .*owner ALL=\(ALL\) NOPASSWD: ALL"
        ) as caught:
            work()
        assert "\n" not in str(caught.value)
    shell.close()


def test_a_command_that_fails_is_not_taken_for_sudo(lab: Lab) -> None:
    warns = GOOD_SUDO.replace("shift", "echo 'sudo: unable to resolve host m3: Name or service not known' >&2\nshift")
    shell = lab.shell(lab.server(sudo=warns).port)
    with pytest.raises(ShellError, match="exit code 1") as caught:
        shell.run("printf 'no \\033[2Jway\\007\\n' >&2; exit 1", deadline=soon())
    assert "\x1b" not in str(caught.value) and "\x07" not in str(caught.value) and "way" in str(caught.value)
    shell.close()


@pytest.mark.parametrize("key", [RSA, ECDSA], ids=["rsa", "ecdsa"])
def test_the_pinned_key_is_asked_for_where_a_server_has_several(lab: Lab, key: paramiko.PKey) -> None:
    shell = lab.shell(lab.server(RSA, ECDSA).port, host_key=pin(key))
    assert shell.run("echo hello", deadline=soon()).stdout == "hello\n"
    shell.close()


def test_a_host_key_that_changed(lab: Lab) -> None:
    other = paramiko.ECDSAKey.generate()
    port = lab.server(other).port
    with pytest.raises(ShellError, match="another host key") as caught:
        lab.shell(port).run("true", deadline=soon())
    assert fingerprint(other) in str(caught.value) and fingerprint(ECDSA) in str(caught.value)
    with pytest.raises(ShellError, match="pinned kind ssh-rsa"):
        lab.shell(port, host_key=pin(RSA)).run("true", deadline=soon())
    with pytest.raises(UsageError, match="no host key"):
        lab.shell(port, host_key="ssh-ed25519 AAAA").run("true", deadline=soon())


def test_the_host_key_of_a_server_is_fetched(lab: Lab) -> None:
    found = fetch_host_key(nobodys(lab.server().port), deadline=soon())
    assert found == (pin(ECDSA), fingerprint(ECDSA))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(InfraError, match=r"^127\.0\.0\.1: no host key: SSH: Connection refused$"):
        fetch_host_key(nobodys(port), deadline=soon())


def test_a_key_that_is_refused_and_nobody_there(lab: Lab, tmp_path: Path) -> None:
    port = lab.server().port
    lab.servers[0].client_keys = "none"
    with pytest.raises(ShellError, match="SSH refused the key"):
        lab.shell(port).run("true", deadline=soon())
    lab.servers[0].close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(ShellError, match="SSH: Connection refused"):
        lab.shell(free).run("true", deadline=soon())


def test_a_hostile_banner_never_reaches_the_terminal(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hostile:

        def serve() -> None:
            for _ in range(2):
                peer, _ = hostile.accept()
                peer.sendall(b"\x1b]0;owned\x07\x1b[2J\r\n" * 200)
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = hostile.getsockname()[1]
        with pytest.raises(ShellError) as caught:
            lab.shell(port).run("true", deadline=soon())
        with pytest.raises(InfraError) as fetched:
            fetch_host_key(nobodys(port), deadline=soon())
        thread.join()
    for text in (str(caught.value), str(fetched.value)):
        assert all(char.isprintable() for char in text), repr(text)


def test_the_owners_ssh_config_and_a_jump_host(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, jump = lab.server(), lab.server(RSA)
    config = tmp_path / "config"
    hop = f"Host hop\n HostName 127.0.0.1\n Port {jump.port}\n User jumper\n IdentityFile {lab.key_file}\n"
    config.write_text(
        f"Host ib1\n HostName 127.0.0.1\n Port {server.port}\n User fromconfig\n IdentityFile {lab.key_file}\n{hop}"
    )
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    plain = {"name": "ib1", "user": None, "key_file": None, "config": config}
    shell = lab.shell(None, **plain)
    assert shell.run("echo $AS_ROOT", deadline=soon()).stdout == "yes\n" and server.users[-1] == "fromconfig"
    shell.close()
    with pytest.raises(ShellError, match="not found in known_hosts"):
        lab.shell(None, **plain, jump="hop").run("true", deadline=soon())
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{jump.port} {pin(RSA)}\n")
    shell = lab.shell(None, **plain, jump="hop")
    assert shell.run("echo over", deadline=soon()).stdout == "over\n"
    assert jump.users[-1] == "jumper" and jump.forwarded == [("127.0.0.1", server.port)]
    shell.close()
    jump.forwarded.clear()
    through = nobodys(None, name="ib1", config=config, jump="hop")
    assert fetch_host_key(through, deadline=soon()) == (pin(ECDSA), fingerprint(ECDSA))
    assert jump.forwarded == [("127.0.0.1", server.port)]


def test_a_server_without_an_answer_gives_no_host_key_and_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(InfraError, match=r"127\.0\.0\.1: no host key: ") as caught:
            fetch_host_key(nobodys(port), deadline=Deadline.after(0.3))
    assert "\n" not in str(caught.value)


def test_a_command_that_goes_on_has_a_channel(lab: Lab) -> None:
    shell = lab.shell(lab.server().port)
    channel = shell.start("echo $AS_ROOT; echo %s", "a b", deadline=soon())
    channel.settimeout(30.0)
    said = b""
    while data := channel.recv(100):
        said += data
    assert said == b"yes\na b\n"
    channel.close()
    shell.close()
