"""Checks of this machine for `harness doctor`: what works, what is missing, and the command that fixes it.

Everything that can be tried is tried: the embedded libvirt driver is opened, a user namespace is made, a kernel is
booted with each accelerator.
"""

from __future__ import annotations

import getpass
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.doctor.environment import KVM_DEVICE, Environment
from harness.model.errors import HarnessError, HostEnvironmentError
from harness.model.observe import Progress, Silent
from harness.model.settings import EMBEDDED, Settings
from harness.model.topology import GIB

if TYPE_CHECKING:
    from harness.guests.accelerator import ProbeResult

OLDEST_PYTHON = (3, 11)
MODULES = (
    *("click", "cryptography", "fabric", "jinja2", "junitparser", "libvirt", "libvirt_qemu"),
    *("matplotlib", "paramiko", "psutil", "pydantic", "pytest", "rich", "xdist"),
)
LIBVIRT_USER = "libvirt-qemu"
ADD_LIBVIRT_USER = (
    f"useradd --system --user-group --no-create-home --home-dir /var/lib/libvirt --shell /usr/sbin/nologin "
    f"{LIBVIRT_USER}"
)
SLOWER = "guests run without it, 10 to 20 times slower"

# Bytes for a first build in the cache, for later runs there, for guests' overlays, and for a run's results.
FIRST_BUILD, LATER_BUILDS, OVERLAYS, RESULTS = 4 * GIB, GIB // 2, GIB, GIB // 4
# Below the first, trials wait for each other; below the second, not even one pair of guests gets its lease.
COMFORTABLE_MEMORY, LEAST_MEMORY = 3 * GIB, GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of this machine; `remedy` fixes it. Trials run even if a check that is not `required` fails."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program, its Debian package, and its purpose; `version` are the arguments that print its version."""

    program: str
    package: str
    purpose: str
    version: tuple[str, ...] = ("--version",)


TOOLS = (
    Tool(program="qemu-system-x86_64", package="qemu-system-x86", purpose="runs the guests"),
    Tool(program="qemu-img", package="qemu-utils", purpose="makes the guests' disks"),
    Tool(program="vde_switch", package="vde2", purpose="connects guests"),
    Tool(program="mmdebstrap", package="mmdebstrap", purpose="builds the root file system"),
    Tool(program="fakeroot", package="fakeroot", purpose="builds the root file system"),
    Tool(program="mke2fs", package="e2fsprogs", purpose="makes file systems", version=("-V",)),
    Tool(program="depmod", package="kmod", purpose="reduces a kernel's modules"),
    Tool(program="setpriv", package="util-linux", purpose="ends tools with the harness"),
    Tool(program="gcc", package="gcc libc6-dev", purpose="compiles the guests' init and module variants"),
    Tool(program="make", package="make", purpose="compiles module variants"),
    Tool(program="patch", package="patch", purpose="makes module variants"),
    Tool(program="strip", package="binutils", purpose="makes module variants"),
    Tool(program="dpkg-deb", package="dpkg", purpose="unpacks kernels"),
    Tool(program="apt-get", package="apt", purpose="downloads kernels and their source"),
    Tool(program="xz", package="xz-utils", purpose="unpacks kernel modules and source"),
)


def check(
    settings: Settings, *, quick: bool, environment: Environment | None = None, progress: Progress | None = None
) -> list[Check]:
    """Everything that trials need of this machine; with `quick`, no guest is booted and nothing downloaded.

    Otherwise this takes up to a minute, and the first time the download of a kernel, reported to `progress`. Leaves
    nothing running.
    """
    here = environment or Environment()
    return [
        *_python(here),
        *(_tool(here, tool) for tool in TOOLS),
        _static_libc(here),
        *_libvirt(here, settings),
        _packages(here, settings),
        *_namespaces(here),
        *_folders(here, settings),
        _memory(here),
        *_accelerators(here, settings, quick, progress or Silent()),
    ]


def _python(here: Environment) -> Iterator[Check]:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    yield Check(
        name="Python",
        ok=here.python >= OLDEST_PYTHON,
        detail=f"{platform.python_version()}, {sys.executable}",
        remedy=f"make PYTHON=python{oldest} setup",
    )
    absent = [name for name in MODULES if not here.has_module(name)]
    detail = f"not found: {', '.join(absent)}" if absent else f"all {len(MODULES)} found"
    yield Check(name="Python modules", ok=not absent, detail=detail, remedy="make setup")


def _tool(here: Environment, tool: Tool) -> Check:
    path = here.which(tool.program)
    remedy = f"apt-get install {tool.package}"
    if path is None:
        return Check(name=tool.program, ok=False, detail=f"not installed; {tool.purpose}", remedy=remedy)
    status, text = here.output(path, *tool.version)
    if status in (126, 127):  # it exists but cannot be started: another architecture, a missing library
        return Check(name=tool.program, ok=False, detail=f"{path} does not start: {_first(text)}", remedy=remedy)
    return Check(name=tool.program, ok=True, detail=f"{_first(text) or path}", remedy=remedy)


def _static_libc(here: Environment) -> Check:
    # gcc prints the bare name if it has no such file.
    _, text = here.output(here.which("gcc") or "gcc", "-print-file-name=libc.a")
    found = _first(text).startswith("/")
    detail = _first(text) if found else "no libc.a; the guests' init is linked with it"
    return Check(name="static C library", ok=found, detail=detail, remedy="apt-get install libc6-dev")


def _libvirt(here: Environment, settings: Settings) -> Iterator[Check]:
    if settings.uri != EMBEDDED:
        yield _connection(here, f"libvirt at {settings.uri}", settings.uri, settings.state)
        return
    if here.is_root:
        known = here.has_user(LIBVIRT_USER)
        detail = "there" if known else "no such user; as root, libvirt's QEMU driver looks it up in any case"
        yield Check(name=f"user {LIBVIRT_USER}", ok=known, detail=detail, remedy=ADD_LIBVIRT_USER)
    yield _connection(here, "libvirt, embedded", EMBEDDED, settings.state)


def _connection(here: Environment, name: str, uri: str, state: Path) -> Check:
    remedy = "apt-get install libvirt-daemon libvirt-daemon-driver-qemu" if uri == EMBEDDED else "leave --uri out"
    if not here.has_module("libvirt"):
        return Check(name=name, ok=False, detail="not tried without the Python module libvirt", remedy="make setup")
    try:
        version = here.open_libvirt(uri, state)
    except HarnessError as error:
        return _refused(name, error, remedy)
    return Check(name=name, ok=True, detail=f"opens, version {version}")


def _packages(here: Environment, settings: Settings) -> Check:
    try:
        sources = here.find_sources(settings.mirror)
    except HarnessError as error:
        return _refused("package source", error)
    where = sources.lines[0].split("] ")[-1].removeprefix("deb ")
    return Check(name="package source", ok=True, detail=f"{where} (not contacted)")


def _namespaces(here: Environment) -> Iterator[Check]:
    """What mmdebstrap needs of a user who is not root: a user namespace with many users in it."""
    if here.is_root:
        return
    status, text = here.output("unshare", "--user", "true")
    if status == 0:  # with more options, unshare of util-linux 2.38 waits for ever where even this much is forbidden
        status, text = here.output("unshare", "--user", "--map-root-user", "--map-auto", "true")
    user = getpass.getuser()
    remedy = (
        f"sudo apt-get install uidmap; sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}; "
        "sudo sysctl kernel.unprivileged_userns_clone=1"
    )
    detail = "one with many users can be made" if status == 0 else f"{_first(text)}; only root can build the image"
    yield Check(name="user namespaces", ok=status == 0, detail=detail, remedy=remedy)


def _folders(here: Environment, settings: Settings) -> Iterator[Check]:
    try:
        here.check_state(settings.state)
        yield Check(name="state folder", ok=True, detail=f"{settings.state}, short enough for sockets")
    except HarnessError as error:
        yield _refused("state folder", error)
    build = LATER_BUILDS if here.has_images(settings.cache) else FIRST_BUILD
    needs = {settings.cache: build, settings.state: OVERLAYS, settings.results: RESULTS}
    for folder in needs:
        if not here.is_writable(folder):
            yield Check(name="disk", ok=False, detail=f"{folder} cannot be written", remedy=_elsewhere())
    yield from _space(here, needs)


def _space(here: Environment, needs: dict[Path, int]) -> Iterator[Check]:
    """One check per file system: the space that all folders on it need together."""
    disks: dict[int, list[Path]] = {}
    free: dict[int, int] = {}
    for folder in needs:
        disk, free_bytes = here.free_space(folder)
        disks.setdefault(disk, []).append(folder)
        free[disk] = free_bytes
    for disk, folders in disks.items():
        need = sum(needs[folder] for folder in folders)
        detail = f"{_gib(free[disk])} free, {_gib(need)} wanted in {', '.join(map(str, folders))}"
        yield Check(name="disk space", ok=free[disk] >= need, detail=detail, remedy=f"free some, or {_elsewhere()}")


def _memory(here: Environment) -> Check:
    available = here.available_memory()
    return Check(
        name="memory",
        ok=available >= COMFORTABLE_MEMORY,
        detail=f"{_gib(available)} available; below {_gib(COMFORTABLE_MEMORY)}, trials wait for one another",
        remedy="end what uses it",
        required=available < LEAST_MEMORY,
    )


def _accelerators(here: Environment, settings: Settings, quick: bool, progress: Progress) -> Iterator[Check]:
    if quick:
        yield Check(name="accelerator", ok=True, detail="not tried, only booting a guest tells", required=False)
        return
    try:
        kernel = here.fetch_kernel(settings, progress)
        progress.step("booting a kernel with each accelerator")
        tcg = here.probe("tcg", kernel, settings.state)
        problem = here.kvm_problem()
        kvm = None if problem else here.probe("kvm", kernel, settings.state)
    except HarnessError as error:
        yield _refused("accelerator", error)
        return
    kvm_works = kvm is not None and kvm.works
    asked = settings.accelerator
    yield Check(
        name="accelerator kvm",
        ok=kvm_works,
        detail=_kvm_detail(problem, kvm),
        remedy=_kvm_remedy(problem),
        required=asked == "kvm" or not tcg.works,
    )
    yield Check(
        name="accelerator tcg",
        ok=tcg.works,
        detail=f"software emulation: {tcg.detail}",
        remedy="apt-get install --reinstall qemu-system-x86",
        required=asked == "tcg" or not kvm_works,
    )


def _kvm_detail(problem: str, kvm: ProbeResult | None) -> str:
    if kvm is None:
        return f"{problem}: {SLOWER}"
    if kvm.works:
        return kvm.detail
    return f"{KVM_DEVICE} opens, but no kernel boots with it (tried for {kvm.seconds:.0f} s): {SLOWER}"


def _kvm_remedy(problem: str) -> str:
    if "not open" in problem:
        return f"sudo usermod -aG kvm {getpass.getuser()}, and log in again"
    if problem:
        return "turn on virtualization in the firmware or nesting in the hypervisor above; load kvm_intel or kvm_amd"
    return "that is up to the hypervisor above this machine, or to its firmware"


def _refused(name: str, error: HarnessError, remedy: str = "") -> Check:
    if isinstance(error, HostEnvironmentError):
        return Check(name=name, ok=False, detail=error.problem, remedy=remedy or error.remedy)
    return Check(name=name, ok=False, detail=str(error), remedy=remedy)


def _elsewhere() -> str:
    return "choose another folder with --cache, --state or --results"


def _first(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
