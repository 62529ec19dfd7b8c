"""Scripts for hosts under test, each packed with its imports from this package into one archive that Python runs."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

PACKAGE = Path(__file__).resolve().parent.parent
START = "import sys\n\nfrom {module} import main\n\nsys.exit(main())\n"


@cache
def pack(script: Path) -> bytes:
    """An archive that `python3 -I -S` runs in place of a script: it calls `main` of the module `script`."""
    name = ".".join(script.resolve().relative_to(PACKAGE.parent).with_suffix("").parts)
    modules = dict(_needed(name))
    files = {f"{module.replace('.', '/')}.py": source for module, source in modules.items()}
    folders = {parent for path in files for parent in PurePosixPath(path).parents if parent.name}
    files |= {f"{folder}/__init__.py": b"" for folder in folders}
    files["__main__.py"] = START.format(module=name).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path), files[path])  # without a time stamp: the same bytes every time
    return data.getvalue()


def _needed(name: str) -> Iterator[tuple[str, bytes]]:
    """Names and sources of a module and of all its direct and indirect imports from this package."""
    seen, ahead = {name}, [name]
    while ahead:
        module = ahead.pop()
        source = _file(module).read_bytes()
        yield module, source
        new = {imported for imported in _imports(source) if _file(imported).is_file()} - seen
        seen |= new
        ahead += sorted(new)


def _imports(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path:
    return PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
