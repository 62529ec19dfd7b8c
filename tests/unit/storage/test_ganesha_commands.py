"""nfs-ganesha: its configuration, how it is launched and protected, and how it goes again."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from fakes import make_site, no_answer, shell_of

from harness.model.errors import DeadlineExceeded, ShellError, UsageError
from harness.storage.ganesha import RUN, GaneshaDisk
from harness.storage.nfs_files import FOLDER
from harness.storage.nfs_mount import MOUNT


def test_the_server_is_configured_before_it_is_launched_and_waited_for() -> None:
    site = make_site()
    probe = GaneshaDisk(lease_s=12, grace_s=15).set_up(site)
    server = shell_of(site.role("server"))
    config = server.files[f"{RUN}/conf"].decode()
    assert f"Path = {FOLDER};" in config and "Lease_Lifetime = 12;" in config and "Grace_Period = 15;" in config
    assert config.count("{") == config.count("}")
    start = server.commands[-1]
    assert "launcher.pyz" in start and "'sport = :2049'" in start and start.endswith("exit 1")
    mount, _ = shell_of(site.role("client")).commands
    assert f"vers=4.2,hard,timeo=50,retrans=2 10.77.0.2:{FOLDER} {MOUNT}" in mount
    assert probe.host == "c1"


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, ""), ({"io_flusher": True}, " io_flusher"), ({"io_flusher": True, "locked": True}, " io_flusher locked")],
)
def test_the_launcher_is_told_how_to_protect_the_server(options: dict[str, Any], words: str) -> None:
    site = make_site()
    GaneshaDisk(**options).set_up(site)
    start = shell_of(site.role("server")).commands[-1]
    assert re.search(rf"launcher\.pyz \S+ \S+ {RUN}/pid{words} >", start)
    assert all(word in GaneshaDisk(**options).describe().lower().replace(" ", "_") for word in words.split())


def test_a_server_that_does_not_listen_is_no_storage() -> None:
    site = make_site()
    shell_of(site.role("server")).answer("launcher.pyz", exit_code=1)
    with pytest.raises(ShellError):
        GaneshaDisk().set_up(site)
    assert not shell_of(site.role("client")).commands


def test_tear_down_ends_the_server_although_the_client_does_not_answer() -> None:
    site = make_site()
    shell_of(site.role("client")).replies["umount"] = no_answer("umount")
    with pytest.raises(DeadlineExceeded):
        GaneshaDisk().tear_down(site)
    stop, folder = shell_of(site.role("server")).commands
    assert stop.startswith(f"kill $(cat {RUN}/pid)") and "kill -KILL" in stop
    assert f"rm -rf {FOLDER}" in folder


@pytest.mark.parametrize("wrong", [{"lease_s": 0}, {"grace_s": 181}, {"version": "3"}, {"bytes_per_s": 1}])
def test_what_would_be_refused_later_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GaneshaDisk(**wrong)


def test_the_bound_is_lease_and_grace_and_the_clients_retries() -> None:
    assert GaneshaDisk(lease_s=20, grace_s=40).bound_s == 70.0
    assert GaneshaDisk(lease_s=20, grace_s=0).bound_s == 30.0


def test_every_command_is_whole() -> None:
    site = make_site()
    disk = GaneshaDisk(locked=True)
    disk.set_up(site)
    disk.tear_down(site)
    for role in ("client", "server"):
        for command in shell_of(site.role(role)).commands:
            subprocess.run(["sh", "-n", "-c", command], check=True)
