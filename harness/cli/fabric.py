"""`harness fabric`: the InfiniBand fabric that a host sees, by itself or against a golden one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from harness.cli.options import harness_options, resolve_options
from harness.fabric.golden import Difference, Golden, compare, health
from harness.fabric.view import Fabric
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.topology import Host
from harness.results.text import plain_line

AS_IT_SHOULD_BE, DIFFERENT = 0, 1
LOOK_S = 300.0  # of a large fabric, ibqueryerrors asks each port
# A fabric in which these are wrong is no example for later.
NOT_GOLDEN = ("manager", "down", "state")


@click.command()
@click.argument("name", metavar="HOST")
@click.option("--golden", type=click.Path(path_type=Path), help="compare with this recorded fabric")
@click.option("--record", type=click.Path(path_type=Path), help="record the fabric as golden in this file")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@harness_options("inventory")
def fabric(name: str, golden: Path | None, record: Path | None, as_json: bool, **given: str | None) -> int:
    """Show what is wrong with the InfiniBand fabric that HOST sees: by itself, or against a golden one.

    Exit code 1 if anything is.
    """
    from harness.providers import read_inventory

    options = resolve_options(given)
    if options.inventory is None:
        raise UsageError("name an inventory: harness fabric ib1 --inventory rack.toml")
    if golden is not None and record is not None:
        raise UsageError("--golden and --record: name one of them; to renew a golden fabric, look at it and record it")
    host = read_inventory(options.inventory).host(name)
    if host.owned is None:
        raise UsageError(f"{name}: a guest; fabric looks at hosts that somebody owns")
    wanted = read_golden(golden) if golden is not None else None
    seen = _look(host)
    found = compare(wanted, seen) if wanted is not None else health(seen)
    if record is not None:
        _record(record, seen, found)
    if as_json:
        values = {"host": name, "fabric": seen.to_dict(), "differences": [asdict(one) for one in found]}
        click.echo(json.dumps(values))
    else:
        _show(name, seen, found, golden)
    return DIFFERENT if found and record is None else AS_IT_SHOULD_BE


def _look(host: Host) -> Fabric:
    from harness.drivers.ssh import FabricShell
    from harness.physical.channels import address_of
    from harness.physical.fabric import look
    from harness.physical.offers import owned

    shell = FabricShell(address_of(host.name, owned(host)))
    try:
        return look(shell, host.name, deadline=Deadline.after(LOOK_S))
    finally:
        shell.close()


def read_golden(path: Path) -> Golden:
    """The golden fabric in a file that `--golden` names; raises UsageError."""
    try:
        return Golden.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise UsageError(f"--golden {path}: {problem}; make it with `harness fabric HOST --record {path}`") from error


def _record(path: Path, seen: Fabric, found: Sequence[Difference]) -> None:
    if bad := next((one for one in found if one.kind in NOT_GOLDEN), None):
        raise UsageError(f"--record {path}: not recorded, since {bad.text}")
    try:
        path.write_text(Golden(fabric=seen).to_json(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--record {path}: {error.strerror}; name another file") from error


def _show(name: str, seen: Fabric, found: Sequence[Difference], golden: Path | None) -> None:
    manager = seen.manager
    by = f"subnet manager at LID {manager.lid}, {manager.state}" if manager is not None else "no subnet manager"
    click.echo(plain_line(f"{name}: {seen}; {by}", limit=500))
    for one in found:
        click.echo(plain_line(f"{one.kind}: {one.text}", limit=500))
    if not found:
        click.echo(f"as {golden}" if golden is not None else "nothing is wrong")
