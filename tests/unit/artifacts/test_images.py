"""Image recipes are checked before anything is built, and a bad image is refused with the way out."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.artifacts import images
from harness.artifacts.cache import Cache
from harness.artifacts.images import ImageRecipe, build_image, check_image
from harness.artifacts.mirror import Sources
from harness.artifacts.recipes import read_recipe, vm_images
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings

RECIPE = 'system = "debian:12"\nsize_mib = 256\npackages = ["python3"]\nfolders = ["/usr/lib/modules"]\n'
RECIPE += 'remove = ["/etc/ssh/ssh_host_*"]\n[files."/etc/x"]\ntext = "hello"\nmode = 0o600\n'


def settings(root: Path) -> Settings:
    return Settings(state=root / "state", cache=root / "cache", results=root / "results")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_recipe_of_the_repository_is_valid_and_keeps_no_secret() -> None:
    recipe = read_recipe(vm_images() / "debian12.toml", ImageRecipe)
    assert {"openssh-server", "python3", "nbd-client", "nbd-server", "kmod"} <= set(recipe.packages)
    assert "/etc/ssh/ssh_host_*" in recipe.remove
    sshd = recipe.files["/etc/ssh/sshd_config"].text
    assert "HostKey /run/harness/ssh_host_ed25519_key" in sshd
    assert "UsePAM no" in sshd
    assert "/usr/lib/modules" in recipe.folders


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("system = ", "not TOML"),
        (RECIPE.replace("packages", "pakages", 1), "packages: Field required"),
        ("extra = 1\n" + RECIPE, "extra: Extra inputs are not permitted; the keys are: system, size_mib"),
        (RECIPE.replace('"python3"', '"python3; rm -rf /"'), r"packages.0: String should match"),
        (RECIPE.replace('"/etc/ssh/ssh_host_*"', '"/etc/$(reboot)"'), r"remove.0: String should match"),
        (RECIPE.replace('"/usr/lib/modules"', '"usr"'), r"folders.0: String should match"),
        (RECIPE.replace("256", "1"), "size_mib: Input should be greater than or equal to 256"),
        (RECIPE.replace("debian:12", "debian:7"), "no distribution 'debian:7'"),
    ],
)
def test_a_bad_recipe_names_the_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        build_image(settings(tmp_path), write(tmp_path / "r.toml", text), Silent())
    assert not (tmp_path / "cache").exists()


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml: cannot be read: No such file"):
        build_image(settings(tmp_path), tmp_path / "none.toml", Silent())


class FakeTools:
    """Stands for mmdebstrap, fakeroot and qemu-img: leaves the files that they would."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.overlay: dict[str, tuple[int, bytes]] = {}

    def __call__(self, argv: Sequence[str], **options: Any) -> None:
        self.commands.append(list(argv))
        if argv[0] == "mmdebstrap":
            self._bootstrap(argv, options["on_line"])
        elif argv[0] == "qemu-img":
            Path(argv[-1]).write_bytes(b"QFI\xfb" + b"image")
        else:
            (options["log"].parent / "root.ext4").write_bytes(b"ext4")

    def _bootstrap(self, argv: Sequence[str], on_line: Callable[[str], None]) -> None:
        archive = next(Path(word) for word in argv if word.endswith("root.tar"))
        with tarfile.open(archive.parent / "overlay.tar") as overlay:
            for member in overlay:
                data = overlay.extractfile(member)
                self.overlay[member.name] = (member.mode, data.read() if data else b"")
        listing = archive.parent / "listing"
        listing.write_text("python3 3.11 amd64\n")
        with tarfile.open(archive, "w") as root:
            root.add(listing, f".{images.PACKAGES_IN_IMAGE}")
        listing.unlink()
        on_line("I: downloading packages with apt...")
        on_line("I: unheard of: really")
        on_line("W: a warning")


class Steps:
    def __init__(self) -> None:
        self.said: list[tuple[str, float | None]] = []

    def step(self, what: str, done: float | None = None) -> None:
        self.said.append((what, done))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    fake = FakeTools()
    sources = Sources(codename="bookworm", lines=("deb http://m.example bookworm main",), options=("Acquire::x=y",))
    monkeypatch.setattr(images, "run_tool", fake)
    monkeypatch.setattr(images, "find_sources", lambda mirror, codename: sources)
    return fake


def test_an_image_is_built_once_and_found_again(tmp_path: Path, tools: FakeTools) -> None:
    recipe, steps = write(tmp_path / "r.toml", RECIPE), Steps()
    image = build_image(settings(tmp_path), recipe, steps)
    assert build_image(settings(tmp_path), recipe, Silent()) == image
    assert [command[0] for command in tools.commands] == ["mmdebstrap", "fakeroot", "qemu-img"]
    assert image.packages.read_text() == "python3 3.11 amd64\n"
    assert image.path.stat().st_mode & 0o777 == 0o444
    assert {path.name for path in image.path.parent.iterdir()} == {"base.qcow2", "packages.txt", "manifest.json"}
    assert ("image: downloading packages with apt", 0.1) in steps.said
    assert ("image: unheard of", None) in steps.said
    shares = [done for _, done in steps.said if done is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_change_of_the_recipe_or_refresh_builds_anew(tmp_path: Path, tools: FakeTools) -> None:
    recipe = write(tmp_path / "r.toml", RECIPE)
    first = build_image(settings(tmp_path), recipe, Silent())
    refreshed = build_image(settings(tmp_path), recipe, Silent(), refresh=True)
    write(recipe, RECIPE.replace("hello", "bye"))
    changed = build_image(settings(tmp_path), recipe, Silent())
    assert len({first.path, refreshed.path, changed.path}) == 3
    assert first.path.exists()


def test_what_the_recipe_says_reaches_mmdebstrap(tmp_path: Path, tools: FakeTools) -> None:
    build_image(settings(tmp_path), write(tmp_path / "r.toml", RECIPE), Silent())
    command = tools.commands[0]
    assert "--include=python3" in command
    assert "--aptopt=Acquire::x=y" in command
    assert '--customize-hook=rm -rf "$1"/etc/ssh/ssh_host_*' in command
    assert command[-1] == "deb http://m.example bookworm main"
    assert tools.overlay == {"./usr/lib/modules": (0o755, b""), "./etc/x": (0o600, b"hello")}


def test_images_are_checked_before_use(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match=r"cannot be read: No such file.*harness prepare"):
        check_image(tmp_path / "none.qcow2")
    with pytest.raises(UsageError, match=r"other.qcow2 is no qcow2 image"):
        check_image(write(tmp_path / "other.qcow2", "x"))
    entry = Cache(tmp_path).get_or_build("image", b"key", lambda folder: _write_image(folder))
    check_image(entry / "base.qcow2")
    with (entry / "base.qcow2").open("ab") as file:
        file.write(b"more")
    with pytest.raises(HostEnvironmentError, match=r"image damaged: .*base.qcow2.*--refresh"):
        check_image(entry / "base.qcow2")


def _write_image(folder: Path) -> None:
    (folder / "base.qcow2").write_bytes(b"QFI\xfb whole")
