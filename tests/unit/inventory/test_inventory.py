from __future__ import annotations

import ipaddress
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.inventory import cross_checks, schema
from harness.inventory.diagnostics import failure
from harness.inventory.inventory import Inventory, load_inventory, require_role
from harness.model.errors import InventoryError, UsageError
from harness.model.topology import GIB, MIB, Host, Link, SharedDisk

REPOSITORY = Path(__file__).parents[3]

GOOD = """
[[host]]
name = "small"
memory = "256 MiB"
cpus = 2
disk = "3 GiB"
scratch = "512 MiB"
kernel = "debian:13"
cmdline = "panic=-1 slub_debug=F"
ssh_port = 2222
modules = ["nbd-no-memalloc", "built/nfsd.ko"]

[[host]]
name = "storage"
memory = "1.5 GiB"

[[topology]]
name = "nbd-remote"
description = "two guests"
roles = { client = "small", server = "storage" }
links = [ { name = "cluster", hosts = ["small", "storage"], subnet = "10.77.0.0/24" } ]

[[topology]]
name = "single"
roles = { client = "small", server = "small" }
"""


def limits(machine_memory: int) -> cross_checks.Limits:
    reserved = {ipaddress.IPv4Network("10.0.2.0/24"): "the guests' management network"}
    return cross_checks.Limits(machine_memory=machine_memory, reserved=reserved)


def load(folder: Path, text: str, *, machine_memory: int = 4 * GIB) -> Inventory:
    (folder / "built").mkdir(exist_ok=True)
    (folder / "built" / "nfsd.ko").touch()
    path = folder / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return load_inventory(path, limits=limits(machine_memory))


def lines(folder: Path, text: str, *, machine_memory: int = 4 * GIB) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(folder, text, machine_memory=machine_memory)
    found = str(caught.value).split("\n")
    assert len(found) > 1 or isinstance(caught.value, InventoryError)
    assert all(line.startswith(f"{folder / 'lab.toml'}: ") for line in found)
    return [line.removeprefix(f"{folder / 'lab.toml'}: ") for line in found]


def test_a_good_inventory(tmp_path: Path) -> None:
    inventory = load(tmp_path, GOOD)
    assert list(inventory.topologies) == ["nbd-remote", "single"]
    remote = inventory.topology("nbd-remote")
    assert remote.roles == {"client": "small", "server": "storage"}
    assert remote.hosts[0] == Host(
        name="small",
        memory=256 * MIB,
        cpus=2,
        disk=3 * GIB,
        scratch=512 * MIB,
        kernel="debian:13",
        cmdline="panic=-1 slub_debug=F",
        ssh_port=2222,
        modules=("nbd-no-memalloc", str(tmp_path / "built" / "nfsd.ko")),
    )
    assert remote.hosts[1] == Host(name="storage", memory=3 * GIB // 2)
    assert remote.links == (Link(name="cluster", hosts=("small", "storage"), subnet="10.77.0.0/24"),)


SHARED = 'shared_disk = { hosts = ["small", "storage"], size = "64 MiB" }'


def test_a_kernel_may_be_a_built_tree(tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    inventory = load(tmp_path, GOOD.replace('"debian:13"', '"./linux"'))
    assert inventory.topology("single").hosts[0].kernel == str(tmp_path / "linux")


def with_shared_disk(text: str) -> str:
    return GOOD.replace('subnet = "10.77.0.0/24" } ]\n', f'subnet = "10.77.0.0/24" }} ]\n{text}\n')


def test_a_disk_that_two_hosts_share(tmp_path: Path) -> None:
    inventory = load(tmp_path, with_shared_disk(SHARED))
    assert inventory.topology("nbd-remote").shared_disk == SharedDisk(hosts=("small", "storage"), size=64 * MIB)
    assert inventory.topology("single").shared_disk is None


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ('"storage"]', '"storge"]', "shared_disk.hosts[1]: no host 'storge'; did you mean 'storage'?"),
        (', "storage"]', "]", "shared_disk.hosts: a disk that nobody shares: it has 1 host(s); *"),
        ("size", "sise", "shared_disk: unknown key 'sise'; did you mean 'size'?"),
        (', size = "64 MiB"', "", 'shared_disk.size: is missing; add size = "512 MiB"'),
    ],
)
def test_a_shared_disk_that_is_wrong(tmp_path: Path, right: str, wrong: str, line: str) -> None:
    found = lines(tmp_path, with_shared_disk(SHARED.replace(right, wrong)))
    assert [text for text in found if fnmatchcase(text, f'topology[[]0] "nbd-remote": {line.replace("[1]", "[[]1]")}')]


def test_a_host_with_several_roles_is_one_host(tmp_path: Path) -> None:
    single = load(tmp_path, GOOD).topology("single")
    assert [host.name for host in single.hosts] == ["small"]
    assert require_role(single, "client") is require_role(single, "server")


def test_the_shipped_inventory() -> None:
    inventory = load_inventory(REPOSITORY / "inventories" / "local.toml", limits=limits(2 * GIB))
    remote, single = inventory.topology("nbd-remote"), inventory.topology("single")
    client, server = require_role(remote, "client"), require_role(remote, "server")
    assert (client.cpus, server.cpus) == (2, 1)
    assert server.memory > 5 * client.memory + 128 * MIB  # or the swap would be served from a disk (storage/nbd.py)
    assert set(remote.links[0].hosts) == {host.name for host in remote.hosts}
    assert single.roles == {"client": single.hosts[0].name, "server": single.hosts[0].name}


def test_the_example_in_the_readme(tmp_path: Path) -> None:
    text = (REPOSITORY / "inventories" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "nfsd.ko").touch()
    load(tmp_path, text.split("```toml\n")[1].split("```")[0])


def test_no_such_topology_and_no_such_role(tmp_path: Path) -> None:
    inventory = load(tmp_path, GOOD)
    with pytest.raises(UsageError, match=r"no topology 'x' in .*/lab\.toml; it has: nbd-remote, single"):
        inventory.topology("x")
    with pytest.raises(UsageError, match="no role 'x' in topology 'single'; its roles are: client, server"):
        require_role(inventory.topology("single"), "x")


BAD = [
    ("cpus = 2", 'cpus = "2"', 'host[0] "small": cpus: must be a whole number, not a string; write a whole number'),
    ("cpus = 2", "cpus = true", 'host[0] "small": cpus: must be a whole number, not a boolean; write a whole number'),
    ("cpus = 2", "cpus = 0", 'host[0] "small": cpus: 0 is out of range; it goes from 1 to 255'),
    (
        "cpus = 2",
        "cpuss = 2",
        "host[0] \"small\": unknown key 'cpuss'; did you mean 'cpus'?",
    ),
    (
        "cpus = 2",
        "zebra = 2",
        "host[0] \"small\": unknown key 'zebra'; "
        "the keys are: name, kind, memory, cpus, disk, scratch, kernel, cmdline, ssh_port, modules",
    ),
    (
        'scratch = "512 MiB"',
        'scratch = "0 MiB"',
        'host[0] "small": scratch: \'0 MiB\' is not a whole number of MiB; "1 MiB" is',
    ),
    ('memory = "256 MiB"', "", 'host[0] "small": memory: is missing; add memory = "256 MiB"'),
    (
        'memory = "256 MiB"',
        'memroy = "256 MiB"',
        "host[0] \"small\": unknown key 'memroy'; did you mean 'memory'?",
    ),
    (
        '"256 MiB"',
        "256",
        'host[0] "small": memory: must be a size in quotes, not a number; '
        'write a size with its unit, in quotes, such as "256 MiB" or "1.5 GiB"',
    ),
    (
        '"256 MiB"',
        '"256 MB"',
        "host[0] \"small\": memory: '256 MB' has the ambiguous unit MB (1000 or 1024?); "
        'write a size with its unit, in quotes, such as "256 MiB" or "1.5 GiB"',
    ),
    (
        '"256 MiB"',
        '"256.3 MiB"',
        "host[0] \"small\": memory: '256.3 MiB' is not a whole number of bytes; "
        'write a size with its unit, in quotes, such as "256 MiB" or "1.5 GiB"',
    ),
    (
        '"256 MiB"',
        '"262145 KiB"',
        'host[0] "small": memory: \'262145 KiB\' is not a whole number of MiB; "256 MiB" is',
    ),
    (
        '"256 MiB"',
        '"95 MiB"',
        'host[0] "small": memory: 95 MiB is too little to boot a kernel; give it 96 MiB or more',
    ),
    (
        '"256 MiB"',
        '"64 GiB"',
        'host[0] "small": memory: 64 GiB is more than this machine has (4 GiB); give it less, or use a larger machine',
    ),
    (
        '"256 MiB"',
        '"3 GiB"',
        'topology[0] "nbd-remote": its hosts need 4.5 GiB together, this machine has 4 GiB; '
        "give its hosts less, or use a larger machine",
    ),
    (
        '"debian:13"',
        '"vmlinuz"',
        "host[0] \"small\": kernel: 'vmlinuz' is neither a distribution's kernel nor a file; "
        'write a distribution\'s as "debian:12", a file with its folder as "./vmlinuz"',
    ),
    (
        '"debian:13"',
        '"./vmlinuz"',
        "host[0] \"small\": kernel: there is no file './vmlinuz'; paths start at the inventory's own folder",
    ),
    (
        "built/nfsd.ko",
        "built/nbd.ko",
        "host[0] \"small\": modules[1]: there is no file 'built/nbd.ko'; paths start at the inventory's own folder",
    ),
    (
        "built/nfsd.ko",
        "built/nfsd.ko.xz",
        "host[0] \"small\": modules[1]: 'built/nfsd.ko.xz' is neither a module file nor the name of a variant; "
        'write a path that ends in ".ko", or a variant\'s name such as "nbd-no-memalloc"',
    ),
    (
        '"panic=-1 slub_debug=F"',
        r'"panic\n"',
        'host[0] "small": cmdline: has characters that a kernel command line cannot carry; use printable ASCII',
    ),
    ("2222", "70000", 'host[0] "small": ssh_port: 70000 is out of range; it goes from 1 to 65535'),
    (
        '"1.5 GiB"',
        '"1.5 GiB"\nssh_port = 2222',
        'host[1] "storage": ssh_port: 2222 is taken by host[0]; each needs its own',
    ),
    (
        '"storage"\nmemory = "1.5 GiB"',
        '"storage"\nmemory = "1.5 GiB"\n[[host]]\nname = "storage"\nmemory = "1 GiB"',
        "host[2] \"storage\": name: 'storage' is taken by host[1]; each needs its own",
    ),
    (
        'server = "storage"',
        'server = "storge"',
        "topology[0] \"nbd-remote\": roles.server: no host 'storge'; did you mean 'storage'?",
    ),
    (
        'server = "small"',
        'server = "smal"',
        "topology[1] \"single\": roles.server: no host 'smal'; did you mean 'small'?",
    ),
    (
        'server = "small"',
        'server = "zebra"',
        "topology[1] \"single\": roles.server: no host 'zebra'; the hosts are: small, storage",
    ),
    (
        'server = "small"',
        'Server = "small"',
        "topology[1] \"single\": roles.Server: 'Server' is no name; "
        "a name is a lower-case letter, then up to 20 lower-case letters, digits and hyphens",
    ),
    (
        '{ client = "small", server = "small" }',
        "{}",
        'topology[1] "single": roles: a topology needs a role; name one, such as roles = { client = "small" }',
    ),
    (
        '{ client = "small", server = "small" }',
        '["small"]',
        'topology[1] "single": roles: must be a table, not a list; write roles = { client = "small" }',
    ),
    (
        '["small", "storage"]',
        '["small"]',
        'topology[0] "nbd-remote": links[0].hosts: a link to nowhere: it has 1 host(s); '
        "name two or more of: small, storage",
    ),
    (
        '["small", "storage"]',
        '["small", "small"]',
        "topology[0] \"nbd-remote\": links[0].hosts[1]: 'small' is named twice; name each host once",
    ),
    (
        '["small", "storage"]',
        '["small", "storag"]',
        "topology[0] \"nbd-remote\": links[0].hosts[1]: no host 'storag'; did you mean 'storage'?",
    ),
    (
        'roles = { client = "small", server = "small" }',
        'roles = { client = "small" }\nlinks = [{ name = "x", hosts = ["small", "storage"] }]',
        "topology[1] \"single\": links[0].hosts[1]: 'storage' has no role in this topology; "
        "give it a role, or name one of: small",
    ),
    (
        "10.77.0.0/24",
        "10.77.0.1/24",
        "topology[0] \"nbd-remote\": links[0].subnet: '10.77.0.1/24' is not how its network is written; "
        'did you mean "10.77.0.0/24"?',
    ),
    (
        "10.77.0.0/24",
        "fd00::/64",
        "topology[0] \"nbd-remote\": links[0].subnet: 'fd00::/64' is no IPv4 network; "
        'write an IPv4 network such as "10.77.0.0/24"',
    ),
    (
        "10.77.0.0/24",
        "8.8.8.0/24",
        "topology[0] \"nbd-remote\": links[0].subnet: '8.8.8.0/24' is not private; "
        "choose one of: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16",
    ),
    (
        "10.77.0.0/24",
        "10.77.0.0/31",
        'topology[0] "nbd-remote": links[0].subnet: 10.77.0.0/31 is too small: room for 0 of 2 hosts; use a /24',
    ),
    (
        "10.77.0.0/24",
        "10.0.0.0/16",
        'topology[0] "nbd-remote": links[0].subnet: 10.0.0.0/16 overlaps the guests\' management network '
        "10.0.2.0/24; use another, such as 10.77.0.0/24",
    ),
    (
        '10.77.0.0/24" }',
        '10.77.0.0/24" }, { name = "second", hosts = ["small", "storage"], subnet = "10.77.0.128/25" }',
        'topology[0] "nbd-remote": links[1].subnet: 10.77.0.128/25 overlaps links[0] (10.77.0.0/24); '
        "give each link a subnet of its own",
    ),
    (
        '10.77.0.0/24" }',
        '10.77.0.0/24" }, { name = "cluster", hosts = ["small", "storage"], subnet = "10.78.0.0/24" }',
        "topology[0] \"nbd-remote\": links[1].name: 'cluster' is taken by links[0]; each needs its own",
    ),
    (
        'name = "single"',
        'name = "nbd-remote"',
        "topology[1] \"nbd-remote\": name: 'nbd-remote' is taken by topology[0]; each needs its own",
    ),
    (
        'name = "single"',
        'name = "-single"',
        "topology[1] \"-single\": name: '-single' is no name; "
        "a name is a lower-case letter, then up to 20 lower-case letters, digits and hyphens",
    ),
    ('name = "single"', "", 'topology[1]: name: is missing; add name = "small"'),
    ("\n[[host]]", "\nhots = 1\n[[host]]", "unknown key 'hots'; did you mean 'host'?"),
]


@pytest.mark.parametrize(("old", "new", "line"), BAD)
def test_one_problem_is_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    assert lines(tmp_path, GOOD.replace(old, new, 1)) == [line]


def test_every_problem_is_found_in_one_pass(tmp_path: Path) -> None:
    text = GOOD.replace("cpus = 2", "cpus = '2'").replace('"1.5 GiB"', '"much"')
    text = text.replace('server = "small"', 'server = "nobody"').replace('"10.77.0.0/24"', '"nowhere"')
    places = [line.partition(": ")[0] + ": " + line.split(": ")[1] for line in lines(tmp_path, text)]
    assert places == [
        'host[0] "small": cpus',
        'host[1] "storage": memory',
        'topology[0] "nbd-remote": links[0].subnet',
        'topology[1] "single": roles.server',
    ]


def test_unknown_variants_are_offered_known_ones(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    path, known = tmp_path / "lab.toml", ["nbd-no-memalloc", "nfsd-no-throttle"]
    load_inventory(path, limits=limits(4 * GIB), variants=known)
    path.write_text(GOOD.replace("nbd-no-memalloc", "nbd-memalloc"))
    with pytest.raises(InventoryError) as caught:
        load_inventory(path, limits=limits(4 * GIB), variants=known)
    assert str(caught.value) == (
        f"{path}: host[0] \"small\": modules[0]: no module variant 'nbd-memalloc'; did you mean 'nbd-no-memalloc'?"
    )


def test_empty_and_wrong_tables(tmp_path: Path) -> None:
    assert lines(tmp_path, "") == ["host: is missing; add [[host]]"]
    assert lines(tmp_path, "host = []\ntopology = []") == [
        "host: is empty; add a [[host]]",
        "topology: is empty; add a [[topology]]",
    ]
    assert lines(tmp_path, "[host]\n[topology]") == [
        "host: must be a list, not a table; write [[host]]",
        "topology: must be a list, not a table; write [[topology]]",
    ]


def test_not_toml_names_line_and_column(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, GOOD + "\nlinks = [ { name = \n")
    assert line.startswith(f"line {GOOD.count(chr(10)) + 2}, column ")
    assert "is not TOML: " in line


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, "x = " + "9" * 5000, 'x = "', "a = 1\na = 2", "x = 2026-13-01"])
def test_text_that_upsets_the_parser_is_one_line(tmp_path: Path, text: str) -> None:
    (line,) = lines(tmp_path, text)
    assert "is not TOML" in line or "nested too deeply" in line


def test_hostile_text_stays_on_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("cpus = 2", r'"a\u001b[31m\nb" = 2').replace('"small"', r'"s\nx\u2028"')
    assert all(line.isprintable() for line in lines(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(InventoryError) as caught:
            load_inventory(path, limits=limits(GIB))
        return str(caught.value).removeprefix(f"{path}: ")

    assert message(tmp_path / "no.toml") == "there is no such file; name a TOML file"
    (tmp_path / "lab.toml").touch()
    assert message(tmp_path / "no.toml") == f"there is no such file; in {tmp_path} there are: lab.toml"
    assert message(tmp_path) == f"is a directory; in {tmp_path} there are: lab.toml"
    assert message(tmp_path / "lab.toml" / "x").startswith("cannot be read: Not a directory;")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    assert message(tmp_path / "latin.toml") == "is not UTF-8 text; byte 11 is 0xe9; save the file as UTF-8"
    os.mkfifo(tmp_path / "fifo.toml")
    assert message(tmp_path / "fifo.toml") == "is not a regular file; name a TOML file"


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    load(tmp_path, "\ufeff" + GOOD)


LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["small", "storage", "256 MiB", "10.77.0.0/24", "x.ko", "./k", "a\nb", "", 2222, True, 1.5]),
    st.integers(),
    st.lists(st.sampled_from(["small", "storage", 1]), max_size=3),
    st.dictionaries(st.sampled_from(["client", "server", "\u00e9\n"]), st.sampled_from(["small", 1]), max_size=2),
)
LINKS = st.lists(st.dictionaries(st.sampled_from(["name", "hosts", "subnet", "x"]), LEAVES), max_size=3)
KEYS = st.sampled_from(["name", "memory", "cpus", "kernel", "modules", "ssh_port", "roles", "links", "x"])
TABLES = st.lists(st.dictionaries(KEYS, LEAVES | LINKS, max_size=6), max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["host", "topology", "x"]), TABLES | LEAVES))
def test_any_document_is_explained_on_one_line_a_problem(document: dict[str, Any]) -> None:
    tables = schema.parse(document)
    problems = tables if isinstance(tables, list) else []
    problems += cross_checks.check(document, folder=Path("/nonexistent"), limits=limits(GIB))
    assert problems, "a topology needs a memory in its hosts and a role, which this strategy never gets right"
    text = str(failure(Path("lab.toml"), problems, document))
    assert len(text.split("\n")) == len(problems)
    assert all(line.isprintable() and "; " in line for line in text.split("\n"))
