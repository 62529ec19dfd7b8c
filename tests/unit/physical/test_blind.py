"""What drives a host that somebody owns knows nothing of what the machines of the test bed are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("harness/physical", "harness/drivers/bmc", "harness/drivers/consoles", "harness/drivers/secrets.py")
IMPORTS = ("libvirt", "libvirt_qemu", "harness.guests", "tests")
WORDS = re.compile(r"qemu|\bqmp\b|libvirt|virsh|hostfwd|testbed|slirp", re.IGNORECASE)


def peeks(source: str) -> Iterator[str]:
    """What a module knows of the machines under the doubles, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        for name in imported(node):
            if any(name == module or name.startswith(f"{module}.") for module in IMPORTS):
                yield f"{getattr(node, 'lineno', 0)}: import of {name}"
    for number, line in enumerate(source.splitlines(), start=1):
        if found := WORDS.search(line):
            yield f"{number}: {found[0]}"


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports, or that a call of import_module names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        return [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return []


def modules() -> list[Path]:
    """The modules that must be blind."""
    paths = [ROOT / place for place in PLACES]
    return sorted(path for place in paths for path in ([place] if place.is_file() else place.rglob("*.py")))


def test_there_are_modules_to_look_at() -> None:
    for place in PLACES:
        assert any(path.is_relative_to(ROOT / place) for path in modules()), place


def test_drivers_of_owned_hosts_know_nothing_of_what_the_doubles_are() -> None:
    assert [f"{path.relative_to(ROOT)}:{what}" for path in modules() for what in peeks(path.read_text())] == []


@pytest.mark.parametrize(
    "line",
    [
        "import libvirt",
        "from harness.guests import guest",
        "from harness import guests",
        "from tests.testbed.places import double",
        'importlib.import_module("harness.guests.guest")',
        'run(["pkill", "qemu-system-x86_64"])',
        'connect("/home/somebody/testbed/m1/qmp")',
        'subprocess.run(["virsh", "reset", name])',
    ],
)
def test_a_module_that_peeks_is_found(line: str) -> None:
    assert list(peeks(f"from __future__ import annotations\n{line}\n"))


def test_a_module_that_does_not_peek_is_not_found() -> None:
    assert list(peeks('import socket\nfrom harness.drivers.ssh import Login\nconnect("/run/bmc.sock")\n')) == []
