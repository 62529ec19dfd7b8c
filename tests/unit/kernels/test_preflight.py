"""What a kernel lacks is found before it boots, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.kernels.kernels import Kernel
from harness.kernels.preflight import EVERY_GUEST, SYMBOLS, check_kernel
from harness.model.errors import UsageError
from harness.model.observe import Silent

# A kernel in which all that every guest needs is built in.
OPTIONS = {name: "y" for name in EVERY_GUEST if name.startswith("CONFIG_")}
DRIVERS = {f"CONFIG_{SYMBOLS[name]}": "y" for name in EVERY_GUEST if not name.startswith("CONFIG_")}
COMPLETE = OPTIONS | DRIVERS


def kernel(root: Path, config: dict[str, str], *, loadable: str = "", built_in: str = "", of_all: str = "") -> Kernel:
    """A kernel with modules in guests, modules built in, and modules that guests do not get, by their names."""
    (root / "config").write_text("# A comment\n" + "".join(f"{name}={value}\n" for name, value in config.items()))
    listings = {"modules.dep": loadable, "modules.builtin": built_in, "modules.order": f"{loadable} {of_all}"}
    for name, names in listings.items():
        end = ":" if name == "modules.dep" else ""
        (root / name).write_text("".join(f"kernel/drivers/{module}.ko{end}\n" for module in names.split()))
    return Kernel(
        name="./linux", release="6.18.0", version="6.18.0", vmlinuz=root, modules_dir=root, modules_image=root,
        initrd=root, config=root / "config", digest="x",
    )  # fmt: skip


class Heard:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, what: str, done: float | None = None) -> None:
        self.steps.append(what)


def problem_of(found: Kernel, *needs: str) -> str:
    with pytest.raises(UsageError) as error:
        check_kernel(found, {"alone": needs}, Silent())
    return str(error.value)


def test_a_kernel_with_everything_built_in_is_fine(tmp_path: Path) -> None:
    check_kernel(kernel(tmp_path, COMPLETE | {"CONFIG_BLK_DEV_NBD": "y"}), {"alone": ("nbd",)}, Silent())


def test_drivers_may_be_modules_and_are_known_by_either_spelling(tmp_path: Path) -> None:
    found = kernel(tmp_path, OPTIONS, loadable="virtio_blk virtio_net ext4 dm-delay", built_in="virtio_pci loop")
    check_kernel(found, {"alone": ("dm_delay", "loop")}, Silent())


def test_all_that_is_missing_is_told_at_once_with_its_symbols_and_the_way_out(tmp_path: Path) -> None:
    config = {name: value for name, value in COMPLETE.items() if "HUNG_TASK" not in name and "SERIAL" not in name}
    problem = problem_of(kernel(tmp_path, config), "nbd", "CONFIG_SWAP")
    assert problem == (
        "kernel ./linux lacks what is needed: "
        "SERIAL_8250_CONSOLE (serial console): CONFIG_SERIAL_8250_CONSOLE is not set; "
        "DETECT_HUNG_TASK (hung-task detector): CONFIG_DETECT_HUNG_TASK is not set; "
        "nbd (this case, on alone): CONFIG_BLK_DEV_NBD is not set; "
        "SWAP (this case, on alone): CONFIG_SWAP is not set; "
        "build it after: scripts/config -e SERIAL_8250_CONSOLE -e DETECT_HUNG_TASK -e BLK_DEV_NBD -e SWAP"
    )


def test_what_we_leave_out_of_guests_is_told_from_what_the_kernel_has_not(tmp_path: Path) -> None:
    problem = problem_of(kernel(tmp_path, COMPLETE, of_all="drbd"), "drbd")
    assert "the kernel has drbd.ko, and we leave it out of guests: add it to vm-images/modules.toml" in problem
    assert "scripts/config" not in problem


def test_a_module_that_was_configured_and_not_installed_is_said_to_be(tmp_path: Path) -> None:
    problem = problem_of(kernel(tmp_path, COMPLETE | {"CONFIG_BLK_DEV_NBD": "m"}), "nbd")
    assert "CONFIG_BLK_DEV_NBD=m, but nbd.ko is not among its modules" in problem


def test_each_host_that_needs_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nbd \(this case, on front, back\)"):
        check_kernel(kernel(tmp_path, COMPLETE), {"front": ("nbd",), "back": ("nbd",), "third": ()}, Silent())


def test_without_a_configuration_options_are_not_held_against_a_kernel_and_drivers_are(tmp_path: Path) -> None:
    found, heard = kernel(tmp_path, {}, loadable="virtio_blk virtio_net virtio_pci ext4"), Heard()
    check_kernel(found, {}, heard)
    assert any("not looked for: CONFIG_BLK_DEV_INITRD" in step for step in heard.steps)
    assert "nbd (this case, on alone): CONFIG_BLK_DEV_NBD is not set" in problem_of(found, "nbd")


def test_a_boot_image_alone_is_refused(tmp_path: Path) -> None:
    problem = problem_of(kernel(tmp_path, {}))
    assert "neither modules nor a configuration were found for it; give its modules with --modules" in problem
