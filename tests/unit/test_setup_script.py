"""scripts/setup.sh on machines made of stubs: nothing is installed, every command that it would run is noted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
REAL_TOOLS = (
    *("cat", "chmod", "cut", "dirname", "env", "flock", "grep", "mkdir", "sed", "sh", "sha256sum", "sleep", "tail"),
    *("tr", "true"),
)

# A stub notes its call; what it answers is in files beside it, so that a test can change it.
STUB = """#!/bin/sh
printf '%s\\n' "{name} $*" >>"$MACHINE/calls"
[ ! -f "$MACHINE/{name}.output" ] || cat "$MACHINE/{name}.output"
[ ! -f "$MACHINE/{name}.status" ] || exit "$(cat "$MACHINE/{name}.status")"
"""
APT_GET = """#!/bin/sh
printf '%s\\n' "apt-get $*" >>"$MACHINE/calls"
case "$*" in
update) [ ! -f "$MACHINE/update-fails" ] || { echo "E: a source is broken"; exit 100; } ;;
*--simulate*) [ ! -f "$MACHINE/unknown-packages" ] || { echo "E: Unable to locate package"; exit 100; } ;;
*) [ ! -f "$MACHINE/install-fails" ] || { echo "E: dpkg was interrupted"; exit 100; } ;;
esac
"""
ID = """#!/bin/sh
case "$1" in -un) echo tester ;; *) cat "$MACHINE/uid" ;; esac
"""
SUDO = """#!/bin/sh
[ -f "$MACHINE/sudo-works" ] || exit 1
shift
exec "$@"
"""
# `-` is the script's own look at the interpreter; -m venv makes a folder with a copy of the stub; -m pip installs.
PYTHON = """#!/bin/sh
case "$*" in
-) [ -f "$MACHINE/python-problem" ] && cat "$MACHINE/python-problem" || exit 0 ;;
"-m venv"*)
    printf '%s\\n' "python $*" >>"$MACHINE/calls"
    for folder; do :; done
    mkdir -p "$folder/bin"
    cat "$0" >"$folder/bin/python"
    chmod +x "$folder/bin/python"
    echo "#!$PWD/$folder/bin/python" >"$folder/bin/pip"
    ;;
"-m pip"*)
    printf '%s\\n' "pip ${3:-}" >>"$MACHINE/calls"
    [ ! -f "$MACHINE/pip-fails" ] || { echo "ERROR: no network"; exit 1; }
    echo "#!/bin/sh" >.venv/bin/harness
    chmod +x .venv/bin/harness
    ;;
esac
"""


class Box:
    """A folder with a checkout's few files, and a machine of stubs around it."""

    def __init__(self, folder: Path) -> None:
        self.machine = folder / "machine"
        self.tree = folder / "tree"
        self.bin = self.machine / "bin"
        self.bin.mkdir(parents=True)
        (self.tree / "scripts").mkdir(parents=True)
        shutil.copy(TOP / "scripts/setup.sh", self.tree / "scripts")
        shutil.copy(TOP / "pyproject.toml", self.tree)
        for tool in REAL_TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        for name in ("dpkg-query", "getent", "useradd", "apt-cache"):
            self.stub(name, STUB.format(name=name))
        for name, text in {"apt-get": APT_GET, "id": ID, "sudo": SUDO, "python3": PYTHON}.items():
            self.stub(name, text)
        self.tell("uid", "0")
        self.install(*packages())

    def stub(self, name: str, text: str) -> None:
        """Put a program on the machine."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def tell(self, name: str, text: str = "") -> None:
        """Let the stubs know something."""
        (self.machine / name).write_text(text)

    def install(self, *names: str) -> None:
        """Have these packages, and no others, installed."""
        self.tell("dpkg-query.output", "".join(f"{name} installed\n" for name in names))

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script as a user would, from elsewhere."""
        self.tell("calls")
        return subprocess.run(
            ["sh", str(self.tree / "scripts/setup.sh")],
            env={"PATH": str(self.bin), "MACHINE": str(self.machine), **environ},
            cwd=self.machine,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """What the last run called, without mere looking."""
        lines = (self.machine / "calls").read_text().splitlines()
        return [line for line in lines if not line.startswith(("dpkg-query", "getent"))]


def packages() -> list[str]:
    """Every package that the script names, but for those of the system's Python."""
    text = (TOP / "scripts/setup.sh").read_text()
    return " ".join(re.findall(r'^PACKAGES="(?:\$PACKAGES )?([^"]*)"', text, re.MULTILINE)).split()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_second_run_does_nothing(box: Box) -> None:
    first = box.run()
    assert first.returncode == 0, first.stderr
    assert box.calls == ["python -m venv --clear .venv", "pip install"]
    assert "[4/4]" in first.stdout
    second = box.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "setup: all there\n", "")
    assert box.calls == []


def test_without_any_standard_input(box: Box) -> None:
    command = f"sh {box.tree}/scripts/setup.sh <&-"
    environ = {"PATH": str(box.bin), "MACHINE": str(box.machine)}
    assert subprocess.run(["sh", "-c", command], env=environ, capture_output=True, check=False).returncode == 0


def test_changed_requirements_are_installed_into_the_same_environment(box: Box) -> None:
    box.run()
    project = box.tree / "pyproject.toml"
    project.write_text(project.read_text() + "\n# changed\n")
    assert box.run().returncode == 0
    assert box.calls == ["python -m venv .venv", "pip install"]


def test_an_environment_that_was_moved_is_made_again(box: Box, tmp_path: Path) -> None:
    box.run()
    box.tree = box.tree.rename(tmp_path / "elsewhere")
    assert box.run().returncode == 0
    assert box.calls[0] == "python -m venv --clear .venv"


def test_another_interpreter_makes_another_environment(box: Box) -> None:
    box.run()
    box.stub("python9", PYTHON)
    assert "making it with " + str(box.bin / "python9") in box.run(PYTHON="python9").stdout
    assert box.calls[0] == "python -m venv --clear .venv"
    assert box.run(PYTHON="python9").stdout == "setup: all there\n"
    assert box.run().stdout == "setup: all there\n"


def test_only_missing_packages_are_installed(box: Box) -> None:
    box.install(*(name for name in packages() if name not in ("vde2", "fakeroot")))
    assert box.run().returncode == 0
    update, simulate, install = (line for line in box.calls if line.startswith("apt-get"))
    assert update == "apt-get update"
    assert simulate.endswith("vde2 fakeroot")
    assert "--yes --no-install-recommends" in install
    assert install.endswith("vde2 fakeroot")


def test_a_package_that_was_removed_but_not_purged_is_missing(box: Box) -> None:
    listing = (box.machine / "dpkg-query.output").read_text()
    box.tell("dpkg-query.output", listing.replace("vde2 installed", "vde2 config-files"))
    assert "installing vde2\n" in box.run().stdout


def test_a_broken_source_of_somebody_else_does_not_matter(box: Box) -> None:
    box.install(*packages()[1:])
    box.tell("update-fails")
    done = box.run()
    assert done.returncode == 0
    assert "complained about a package source" in done.stdout
    assert "E: a source is broken" in (box.tree / "build/setup.log").read_text()


def test_packages_that_cannot_be_found(box: Box) -> None:
    box.install()
    box.tell("unknown-packages")
    done = box.run()
    assert done.returncode == 2
    assert "E: Unable to locate package" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("the whole log is build/setup.log")


def test_an_installation_that_fails(box: Box) -> None:
    box.install()
    box.tell("install-fails")
    done = box.run()
    assert done.returncode == 2
    assert "dpkg was interrupted" in done.stderr


def test_neither_root_nor_sudo_gets_the_command_to_run(box: Box) -> None:
    box.tell("uid", "1000")
    box.install(*packages()[2:])
    done = box.run()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "tester is not root" in line
    assert line.endswith("sudo apt-get install --no-install-recommends " + " ".join(packages()[:2]))
    assert box.calls == []


def test_a_user_with_sudo(box: Box) -> None:
    box.tell("uid", "1000")
    box.tell("sudo-works")
    box.install()
    assert box.run().returncode == 0
    assert any("--yes" in line for line in box.calls)


def test_a_user_who_lacks_nothing_needs_no_sudo(box: Box) -> None:
    box.tell("uid", "1000")
    box.tell("getent.status", "2")
    assert box.run().returncode == 0
    assert box.calls == ["python -m venv --clear .venv", "pip install"]


def test_root_adds_the_user_that_libvirt_looks_up(box: Box) -> None:
    box.tell("getent.status", "2")
    assert box.run().returncode == 0
    assert box.calls[0].startswith("useradd --system --user-group --no-create-home")
    assert box.calls[0].endswith("libvirt-qemu")


def test_an_interpreter_that_will_not_do(box: Box) -> None:
    box.tell("python-problem", "is Python 3.9, and 3.11 or newer is needed")
    done = box.run()
    assert (done.returncode, box.calls) == (2, [])
    assert done.stderr == f"setup: {box.bin}/python3 is Python 3.9, and 3.11 or newer is needed\n"


def test_an_interpreter_that_is_not_there(box: Box) -> None:
    done = box.run(PYTHON="python77")
    assert done.returncode == 2
    assert done.stderr.startswith("setup: there is no python77; ")


def test_pip_that_fails_is_tried_again_next_time(box: Box) -> None:
    box.tell("pip-fails")
    done = box.run()
    assert done.returncode == 2
    assert "ERROR: no network" in done.stderr
    (box.machine / "pip-fails").unlink()
    assert box.run().returncode == 0
    assert "pip install" in box.calls


def test_a_system_without_apt(box: Box) -> None:
    (box.bin / "apt-get").unlink()
    done = box.run()
    assert done.returncode == 2
    assert "SKIP_PACKAGES=1" in done.stderr
    assert box.run(SKIP_PACKAGES="1").returncode == 0


def test_the_running_interpreter_passes_the_scripts_own_look_at_it() -> None:
    text = (TOP / "scripts/setup.sh").read_text()
    look = text.partition("<<'END'")[2].partition("\n")[2].partition("\nEND\n")[0]
    done = subprocess.run([sys.executable, "-"], input=look, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    # Headers may be missing where the tests run; then it says with what to mend it.
    assert done.stdout == "" or "install python" in done.stdout


def test_every_script_parses() -> None:
    scripts = [*sorted((TOP / "scripts").glob("*.sh")), TOP / ".ci/run"]
    assert len(scripts) >= 4
    for script in scripts:
        assert os.access(script, os.X_OK), script
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0, script
