"""What a storage puts on a host, kernel modules and the files of a server, and how that goes again."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.topology import MIB
from harness.targets.mapper import SCRATCH
from harness.targets.target import Site, Target

NOTES = "/run/harness/storage"
CHECKSUMS = ("crct10dif_generic", "crc64_rocksoft_generic")  # of SCSI disks
IMAGE = "image"
SPARE = 128 * MIB  # what a server needs for itself beside what it keeps in memory
# All of the tables now: ext4 would fill them in the background for minutes.
FORMAT = f"mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0,nodiscard {SCRATCH}"
NOTE = "mkdir -p {notes} && cut -d' ' -f1 /proc/modules >{note}"
# A module is in use for a moment after its last user is gone, and kernel threads of it end in their own time. What it
# depends on, and what came along by name, goes after it, each once nothing uses it any more.
UNLOAD = """\
comes() {{ [ -e {note} ] && ! grep -qx "$1" {note} && grep -q "^$1 " /proc/modules; }}; \
away() {{ comes $1 || return 0; rmmod $1 2>/dev/null; }}; \
for i in $(seq 50); do left=; for module in {modules}; do away $module || left=1; done; \
[ -n "$left" ] || break; sleep 0.2; done; needs=$(for module in {modules} {along}; do modprobe -D $module; done \
2>/dev/null | sed -n 's|^insmod .*/\\([^/.]*\\)[.]ko.*|\\1|p' | tr - _ | tac); \
for i in 1 2 3 4; do for module in $needs; do away $module; done; done; rm -f {note}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Kernel modules that are loaded for a storage, and `along` those that they ask for by name.

    `name` is unique on its host.
    """

    name: str
    modules: tuple[str, ...]
    along: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A command that notes which modules there were before."""
        return NOTE.format(notes=NOTES, note=self._path)

    @property
    def unload(self) -> str:
        """A command that unloads those that were not there before, and what they depend on."""
        return UNLOAD.format(note=self._path, modules=" ".join(self.modules), along=" ".join(self.along))

    @property
    def _path(self) -> str:
        return f"{NOTES}/{self.name}.modules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A folder of the role `server` with room for `size` bytes.

    In memory (tmpfs) when the server is another host and has room for it, so that its disk is not what is measured;
    else on its scratch disk, or on its root file system if it has none.
    """

    folder: str
    client: str
    server: str

    @property
    def image(self) -> str:
        """The file that is served as a disk."""
        return f"{self.folder}/{IMAGE}"

    def make(self, site: Site, size: int) -> None:
        """Make the folder."""
        mount = self._mount(site, site.role(self.server), size)
        site.role(self.server).shell.run(f"mkdir -p {self.folder}{mount}", deadline=site.deadline(30))

    def make_image(self, site: Site, size: int) -> None:
        """Make the folder, and in it a file of `size` bytes; no block of it is taken yet."""
        self.make(site, size)
        site.role(self.server).shell.run(f"truncate -s {size} {self.image}", deadline=site.deadline(10))

    def _mount(self, site: Site, server: Target, size: int) -> str:
        apart = server.name != site.role(self.client).name
        if apart and server.memory > size + SPARE:
            return f" && mount -t tmpfs -o size={size + MIB} none {self.folder}"
        return f" && {FORMAT} && mount {SCRATCH} {self.folder}" if server.host.scratch else ""

    @property
    def remove(self) -> str:
        """A command that removes it, with all that is on it."""
        return f"umount -l {self.folder}; rm -rf {self.folder}"
