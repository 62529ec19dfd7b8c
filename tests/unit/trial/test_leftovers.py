"""What a trial leaves behind: compared, cleared away where that is safe, and said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakes import FakeClock, Log, hypervisor_of, make_site, shell_of

from harness.model.history import Kind
from harness.model.power import PowerState
from harness.site.target import Site
from harness.trial.leftovers import LOOK, UNLOAD, Leftovers, changes

BEFORE = "mount / ext4\nmodule ext4\nsetting vm.swappiness 60\nprocess sh\nprocess true\n"
# Lines of /proc/modules: name, size, users, and who of them is a module.
NFSD = """\
nfsd 700416 0 - Live 0x0
auth_rpcgss 159744 1 nfsd, Live 0x0
nfs_acl 16384 1 nfsd, Live 0x0
lockd 131072 1 nfsd, Live 0x0
grace 16384 2 nfsd,lockd, Live 0x0
sunrpc 692224 4 nfsd,auth_rpcgss,nfs_acl,lockd, Live 0x0
"""
LIO = """\
target_core_user 61440 0 - Live 0x0
target_core_file 28672 0 - Live 0x0
iscsi_target_mod 356352 0 - Live 0x0
target_core_mod 458752 3 target_core_user,target_core_file,iscsi_target_mod, Live 0x0
uio 20480 1 target_core_user, Live 0x0
crc64_rocksoft_generic 16384 1 - Live 0x0
crc64_rocksoft 20480 1 target_core_mod, Live 0x0
crc64 20480 2 crc64_rocksoft_generic,crc64_rocksoft, Live 0x0
"""
# Each is in use for a moment after its last user has gone.
SLOW = """\
slow0 16384 0 - Live 0x0
slow1 16384 1 slow0, Live 0x0
slow2 16384 1 slow1, Live 0x0
"""
BUSY = "busy_for_ever 16384 1 - Live 0x0\n"
# What is not in use goes, and then uses no other. `crc64_rocksoft` lets go of what it asked for by name, as it goes.
RMMOD = """\
rmmod() { grep -q "^$1 [0-9]* 0 " MODULES || return 1
case $1 in slow*) echo >>MODULES.$1; [ $(wc -l <MODULES.$1) -gt 5 ] || return 1;; esac
awk -v gone="$1" '$1 == gone {next} gone == "crc64_rocksoft" && $1 == "crc64_rocksoft_generic" {$3--}
sub(gone ",", "", $4) {$3--} {print}' MODULES >MODULES.new; mv MODULES.new MODULES; }
sleep() { :; }
"""


@pytest.fixture
def site() -> Site:
    site = make_site()
    for target in site.targets.values():
        shell_of(target).answer("/proc/mounts", BEFORE)
    return site


def notes(site: Site, after: str, *, host: str = "c1") -> list[str]:
    log = Log(FakeClock(0.0))
    leftovers = Leftovers(log.recorder)
    leftovers.look(site)
    shell_of(site.targets[host]).answer("/proc/mounts", after)
    leftovers.compare(site)
    return [f"{event.host}: {event.data['text']}" for event in log.of(Kind.NOTE)]


def test_a_host_that_is_as_it_was_is_not_spoken_of(site: Site) -> None:
    assert notes(site, BEFORE.replace("process true\n", "")) == []
    assert not [command for command in shell_of(site.targets["c1"]).commands if "rmmod" in command]


def test_what_is_left_behind_and_what_is_not_as_it_was(site: Site) -> None:
    after = BEFORE.replace("swappiness 60", "swappiness 0") + "mount /mnt nfs4\nprocess nfsdcld\n"
    assert notes(site, after) == [
        "c1: left behind: mount /mnt nfs4, process nfsdcld, setting vm.swappiness 0",
        "c1: not put back: setting vm.swappiness 60",
    ]


def test_modules_that_are_new_are_unloaded(site: Site) -> None:
    assert notes(site, BEFORE + "module nfsd\nmodule lockd\n") == ["c1: left behind: module lockd, module nfsd"]
    (command,) = (command for command in shell_of(site.targets["c1"]).commands if "rmmod" in command)
    assert 'case " lockd nfsd " in' in command


def unloaded(folder: Path, listed: str, new: str) -> list[str]:
    """Names of the modules that are left of those `listed`, as /proc/modules has them, where `new` ones are to go."""
    modules = folder / "modules"
    modules.write_text(listed)
    script = RMMOD.replace("MODULES", str(modules)) + UNLOAD.replace("/proc/modules", str(modules))
    subprocess.run(["sh", "-c", script.replace("NEW", " ".join(names(new)))], check=True, timeout=60)
    return names(modules.read_text())


def names(listed: str) -> list[str]:
    return [line.split()[0] for line in listed.splitlines()]


@pytest.mark.parametrize("chain", [NFSD, LIO], ids=["nfsd", "lio"])
def test_a_chain_of_modules_goes_to_its_end_and_what_was_there_stays(tmp_path: Path, chain: str) -> None:
    there = "ext4 983040 1 - Live 0x0\nidle 16384 0 - Live 0x0\n"
    assert unloaded(tmp_path, chain + there, chain) == ["ext4", "idle"]


def test_what_others_that_stay_need_stays_with_them(tmp_path: Path) -> None:
    user = "nfs 16384 1 - Live 0x0\n"
    listed = user + NFSD.replace("sunrpc 692224 4 ", "sunrpc 692224 5 nfs,")
    assert unloaded(tmp_path, listed, NFSD) == ["nfs", "sunrpc"]


def test_a_module_that_is_in_use_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    assert unloaded(tmp_path, SLOW + BUSY, SLOW + BUSY) == ["busy_for_ever"], "which it gives up at last"


def test_a_host_that_is_gone_is_not_asked(site: Site) -> None:
    hypervisor_of(site.targets["s1"]).power = PowerState.GONE
    asked = len(shell_of(site.targets["s1"]).commands)
    assert notes(site, BEFORE, host="c1") == []
    assert len(shell_of(site.targets["s1"]).commands) == asked + 1, "only before the trial"


def test_the_look_itself_is_steady_on_a_real_system() -> None:
    def look() -> set[str]:
        done = subprocess.run(["sh", "-c", LOOK], capture_output=True, text=True, check=False)
        return {line for line in done.stdout.splitlines() if not line.startswith("process ")}

    first = look()
    assert any(line.startswith("mount /") for line in first) and any(line.startswith("setting vm.") for line in first)
    assert changes(first, look()) == {}
