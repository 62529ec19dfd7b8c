"""`harness doctor` on machines that lack this or that, without asking the machine that runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.artifacts.mirror import Sources
from harness.doctor.doctor import TOOLS, Check, Tool, check
from harness.doctor.environment import Environment
from harness.guests.accelerator import ProbeResult
from harness.kernels.kernels import Kernel
from harness.model.errors import HarnessError, HostEnvironmentError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import GIB

SETTINGS = Settings(state=Path("/s"), cache=Path("/c"), results=Path("/r"))


class FakeMachine(Environment):
    """A machine that has everything, but for what a test takes from it."""

    python = (3, 11)
    root = True
    images = True
    memory = 8 * GIB
    kvm = ""

    def __init__(self) -> None:
        self.lacking: set[str] = set()
        self.outputs: dict[str, tuple[int, str]] = {"gcc": (0, "/usr/lib/libc.a\n")}
        self.errors: dict[str, HarnessError] = {}
        self.free = {Path("/s"): (1, 9 * GIB), Path("/c"): (1, 9 * GIB), Path("/r"): (1, 9 * GIB)}
        self.boots = {"kvm": True, "tcg": True}
        self.probed: list[str] = []
        self.opened: list[str] = []

    @property
    def is_root(self) -> bool:
        return self.root

    def which(self, program: str) -> str | None:
        return None if program in self.lacking else f"/usr/bin/{program}"

    def has_module(self, name: str) -> bool:
        return name not in self.lacking

    def output(self, *argv: str) -> tuple[int, str]:
        return self.outputs.get(Path(argv[0]).name, (0, f"{argv[0]} 1.2\nmore"))

    def has_user(self, name: str) -> bool:
        return name not in self.lacking

    def open_libvirt(self, uri: str, state: Path) -> str:
        self.opened.append(uri)
        self._perhaps_raise("libvirt")
        return "9.0.0"

    def find_sources(self, mirror: str | None) -> Sources:
        self._perhaps_raise("sources")
        return Sources(codename="bookworm", lines=("deb [signed-by=/k] http://mirror.example/debian bookworm main",))

    def check_state(self, state: Path) -> None:
        self._perhaps_raise("state")

    def free_space(self, folder: Path) -> tuple[int, int]:
        return self.free[folder]

    def is_writable(self, folder: Path) -> bool:
        return str(folder) not in self.lacking

    def has_images(self, cache: Path) -> bool:
        return self.images

    def available_memory(self) -> int:
        return self.memory

    def kvm_problem(self) -> str:
        return self.kvm

    def fetch_kernel(self, settings: Settings, progress: Progress) -> Kernel:
        self._perhaps_raise("kernel")
        nowhere = Path("/nowhere")
        return Kernel(
            name="debian:12",
            release="6.1",
            version="6.1",
            vmlinuz=nowhere,
            modules_dir=nowhere,
            modules_image=nowhere,
            initrd=nowhere,
            config=nowhere,
            digest="",
        )

    def probe(self, accelerator: str, kernel: Kernel, state: Path) -> ProbeResult:
        self.probed.append(accelerator)
        works = self.boots[accelerator]
        return ProbeResult(accelerator, works, 15.0, "a kernel printed its first line" if works else "nothing")

    def _perhaps_raise(self, what: str) -> None:
        if what in self.errors:
            raise self.errors[what]


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def diagnose(machine: FakeMachine, settings: Settings = SETTINGS, *, quick: bool = False) -> list[Check]:
    return check(settings, quick=quick, environment=machine)


def named(checks: list[Check], name: str) -> Check:
    (found,) = (each for each in checks if each.name == name)
    return found


def bad(checks: list[Check]) -> set[str]:
    return {each.name for each in checks if not each.ok}


def test_a_machine_that_has_everything(machine: FakeMachine) -> None:
    checks = diagnose(machine)
    assert bad(checks) == set()
    assert "mirror.example/debian bookworm" in named(checks, "package source").detail
    assert named(checks, "qemu-img").detail == "/usr/bin/qemu-img 1.2"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.program)
def test_a_program_that_is_missing_comes_with_its_package(machine: FakeMachine, tool: Tool) -> None:
    machine.lacking = {tool.program}
    found = named(diagnose(machine), tool.program)
    assert (found.ok, found.required, found.remedy) == (False, True, f"apt-get install {tool.package}")


def test_a_program_that_does_not_start_is_missing(machine: FakeMachine) -> None:
    machine.outputs["qemu-img"] = (127, "error while loading shared libraries: liburing.so.2")
    assert "liburing" in named(diagnose(machine), "qemu-img").detail
    assert bad(diagnose(machine)) == {"qemu-img"}


def test_gcc_without_a_static_library_is_told(machine: FakeMachine) -> None:
    machine.outputs["gcc"] = (0, "libc.a\n")
    assert named(diagnose(machine), "static C library").remedy == "apt-get install libc6-dev"


def test_old_python(machine: FakeMachine) -> None:
    machine.python = (3, 10)
    assert bad(diagnose(machine)) == {"Python"}


def test_missing_modules_are_named(machine: FakeMachine) -> None:
    machine.lacking = {"fabric", "libvirt"}
    checks = diagnose(machine)
    assert bad(checks) == {"Python modules", "libvirt, embedded"}
    assert named(checks, "Python modules").detail == "not found: fabric, libvirt"
    assert machine.opened == []


def test_the_user_that_libvirt_looks_up_matters_to_root_only(machine: FakeMachine) -> None:
    machine.lacking = {"libvirt-qemu"}
    assert "useradd" in named(diagnose(machine), "user libvirt-qemu").remedy
    machine.root = False
    assert bad(diagnose(machine)) == set()


def test_libvirt_that_does_not_open(machine: FakeMachine) -> None:
    machine.errors["libvirt"] = HostEnvironmentError("libvirt at x does not answer: no driver", remedy="see elsewhere")
    found = named(diagnose(machine), "libvirt, embedded")
    assert not found.ok
    assert "no driver" in found.detail
    assert "libvirt-daemon-driver-qemu" in found.remedy


def test_another_uri_takes_the_place_of_the_embedded_driver(machine: FakeMachine) -> None:
    settings = Settings(state=Path("/s"), cache=Path("/c"), results=Path("/r"), uri="qemu:///system")
    machine.lacking = {"libvirt-qemu"}
    checks = diagnose(machine, settings)
    assert bad(checks) == set()
    assert machine.opened == ["qemu:///system"]


def test_no_package_source(machine: FakeMachine) -> None:
    machine.errors["sources"] = HostEnvironmentError("no Debian source", remedy="set --harness-mirror")
    found = named(diagnose(machine), "package source")
    assert (found.ok, found.detail, found.remedy) == (False, "no Debian source", "set --harness-mirror")


def test_user_namespaces_are_for_users_without_privileges(machine: FakeMachine) -> None:
    machine.outputs["unshare"] = (1, "unshare: failed to find subuid for user\n")
    assert "user namespaces" not in {each.name for each in diagnose(machine)}
    machine.root = False
    found = named(diagnose(machine), "user namespaces")
    assert not found.ok
    assert "subuid" in found.detail


def test_folders_on_one_disk_are_weighed_together(machine: FakeMachine) -> None:
    machine.images = False
    machine.free = dict.fromkeys(machine.free, (1, 5 * GIB))
    found = named(diagnose(machine), "disk space")
    assert not found.ok
    assert found.detail.startswith("5.0 GiB free, 5.2 GiB wanted in /c, /s, /r")
    machine.images = True
    assert named(diagnose(machine), "disk space").ok


def test_folders_on_several_disks_are_weighed_each(machine: FakeMachine) -> None:
    machine.free = {Path("/c"): (1, 9 * GIB), Path("/s"): (2, GIB // 2), Path("/r"): (1, 9 * GIB)}
    short = [each for each in diagnose(machine) if not each.ok]
    assert [each.detail for each in short] == ["0.5 GiB free, 1.0 GiB wanted in /s"]


def test_a_folder_that_cannot_be_written(machine: FakeMachine) -> None:
    machine.lacking = {"/c"}
    assert named(diagnose(machine), "disk").detail == "/c cannot be written"


def test_a_state_folder_with_too_long_a_path(machine: FakeMachine) -> None:
    machine.errors["state"] = HostEnvironmentError("has 90 bytes", remedy="choose a shorter one")
    assert named(diagnose(machine), "state folder").remedy == "choose a shorter one"


@pytest.mark.parametrize(("memory", "ok", "required"), [(3, True, False), (2, False, False), (0, False, True)])
def test_little_memory_slows_and_none_stops(machine: FakeMachine, memory: int, ok: bool, required: bool) -> None:
    machine.memory = memory * GIB
    found = named(diagnose(machine), "memory")
    assert (found.ok, found.required) == (ok, required)


def test_kvm_that_opens_and_boots_nothing_is_a_fact_and_no_obstacle(machine: FakeMachine) -> None:
    machine.boots["kvm"] = False
    checks = diagnose(machine)
    kvm = named(checks, "accelerator kvm")
    assert (kvm.ok, kvm.required) == (False, False)
    assert "/dev/kvm opens, but no kernel boots with it (tried for 15 s)" in kvm.detail
    assert "10 to 20 times slower" in kvm.detail
    assert named(checks, "accelerator tcg").ok


def test_a_kvm_device_that_is_not_there_is_not_tried(machine: FakeMachine) -> None:
    machine.kvm = "there is no /dev/kvm"
    found = named(diagnose(machine), "accelerator kvm")
    assert machine.probed == ["tcg"]
    assert found.detail.startswith("there is no /dev/kvm: ")


def test_no_accelerator_at_all_is_an_obstacle(machine: FakeMachine) -> None:
    machine.boots = {"kvm": False, "tcg": False}
    required = {each.name for each in diagnose(machine) if not each.ok and each.required}
    assert required == {"accelerator kvm", "accelerator tcg"}


@pytest.mark.parametrize("asked", ["kvm", "tcg"])
def test_the_accelerator_that_was_asked_for_has_to_work(machine: FakeMachine, asked: str) -> None:
    machine.boots[asked] = False
    settings = Settings(state=Path("/s"), cache=Path("/c"), results=Path("/r"), accelerator=asked)
    found = named(diagnose(machine, settings), f"accelerator {asked}")
    assert (found.ok, found.required) == (False, True)


def test_quick_boots_nothing_and_says_so(machine: FakeMachine) -> None:
    machine.errors["kernel"] = HostEnvironmentError("must not be asked for")
    found = named(diagnose(machine, quick=True), "accelerator")
    assert found.ok
    assert "not tried" in found.detail
    assert machine.probed == []


def test_a_kernel_that_cannot_be_had(machine: FakeMachine) -> None:
    machine.errors["kernel"] = HostEnvironmentError("the archive does not answer", remedy="check the network")
    found = named(diagnose(machine), "accelerator")
    assert (found.ok, found.required, found.remedy) == (False, True, "check the network")


def test_this_machine_is_looked_at_without_harm(tmp_path: Path) -> None:
    here = Environment()
    assert here.output("no-such-program")[0] == 127
    assert here.output("echo", "word") == (0, "word\n")
    assert here.free_space(tmp_path / "not" / "there")[0] == tmp_path.stat().st_dev
    assert here.is_writable(tmp_path / "not" / "there")
    assert not here.has_images(tmp_path)
    assert not here.has_user("no-such-user")
    assert list(tmp_path.iterdir()) == []
