#!/usr/bin/env python3
"""The agent: runs on a host under test and reports the state of that host to the harness.

One file, standard library only. Three processes, all locked in memory:
  main     real-time priority, with a ticking thread on each processor. Reads shared memory and writes lines to a UART,
           because a 16550's transmit path allocates nothing. Does nothing that can block, so its orders also come
           through shared memory, see IvshmemMailbox. A host that is no guest may have another channel, see Udp, Stdio.
  probes   ordinary priority (a real-time probe looks healthier than any user's task), with a thread for each
           question and for each late action. A thread blocks in a system call, during which the interpreter lets
           the others run. No thread maps memory after the start, so mmap_lock blocks none of them.
  fork     the one question that takes mmap_lock itself.

Lines to the harness, each `JSON*CRC32\\n`:
  {"hello": …}   once: kernel release, memory in KiB, processors
  {"b": seq, "u": uptime_s, "c": [seconds since each processor ticked], "w": progress|null,
   "p": {rung: [latency_s|null, blocked_s|null, errors, detail]}}
  {"v": {counter: value}}      cumulative counters of /proc/vmstat, of the block devices asked for, of RDMA ports
  {"id": n, "ok": bool, "at": n, "out": text, "more": bool}     a piece of an answer, from character `at` on
Commands from the harness, in the same form: {"id": n, "do": verb, …}; docs/agent.md lists the verbs.
"""

from __future__ import annotations

import _thread
import binascii
import ctypes
import fcntl
import gc
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
import tty

TYPE_CHECKING = False  # type checkers take this as true; the module `typing` would have to be locked in memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INTERVAL_S = 0.5
PRIORITY = 50
PID_FILE = "/run/harness/agent.pid"
SYSRQ = "/proc/sysrq-trigger"
ECHO_PORT = 7077
PAGE = mmap.PAGESIZE
SLOT = struct.Struct("=dddII64s")  # started, finished, latency, count, errors, detail
COUNTS = struct.Struct("=II")
SLOT_SIZE = 128
LATE_S = 1.0
WORK_INTERVAL_S = 4.0  # it wakes every processor
STATS_SIZE = 16 * 1024
POLL_S = 0.25
FLUSH_S = 0.02
# One order is soon followed by another: for this long after an order, the agent looks for the next every FLUSH_S.
BRISK_S = 1.0
IVSHMEM = ("0x1af4", "0x1110")
ANSWER = 32 * 1024  # characters of an answer; escaped, they still fit into an executor's box in all but odd cases
ORDERS_KNOWN, ANSWERS_KNOWN = 256, 8  # how many of the last orders over UDP are remembered, and how many answers
LEASH_PAUSE_S = 2.0  # between the order to write everything to the disks and the reboot
PIECE = 600  # bytes of an answer per line, so that a line stays below the tty's 4 KiB even when escaped
PROGRESS = struct.Struct("=8sIIII")  # magic, workers, slot size, process group, reserved; docs/agent.md
PROGRESS_MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")  # operations, bytes, state (0 starting, 1 running, 2 finished, 3 failed), pid
VMSTAT = (
    *("nr_free_pages", "nr_dirty", "nr_writeback", "nr_unstable", "pswpin", "pswpout", "pgmajfault"),
    *("pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct", "pgscan_direct_throttle"),
    *("allocstall_dma32", "allocstall_normal", "allocstall_movable", "oom_kill", "pgmigrate_success"),
)

STACK = 128 * 1024
MADV_DONTNEED = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
SIGNALS = {"hold": signal.SIGSTOP, "resume": signal.SIGCONT, "kill": signal.SIGKILL}
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
# include/uapi/linux/sockios.h, if.h, if_arp.h and random.h.
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFHWADDR = 0x8913, 0x8914, 0x8916, 0x891C, 0x8924
IFF_UP, ARPHRD_ETHER = 1, 1
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207
# include/uapi/linux/watchdog.h
WDIOC_KEEPALIVE, WDIOC_SETTIMEOUT = 0x80045705, 0xC0045706


def calibrate() -> float:
    """Seconds for a fixed piece of work: interpreter, system calls, page faults. Comparable between machines."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        total = 0
        for number in range(60_000):
            total += number & 7
        for _ in range(2_000):
            os.getppid()
        area = mmap.mmap(-1, 512 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for offset in range(0, len(area), PAGE):
            area[offset] = 1
        area.close()
        best = min(best, time.perf_counter() - started)
    return best


def frame(record: dict[str, Any]) -> bytes:
    """One line of the protocol."""
    return checked(json.dumps(record, separators=(",", ":")).encode())


def checked(text: bytes) -> bytes:
    """A line of the protocol: the text of a record and its checksum."""
    return b"%s*%08x\n" % (text, binascii.crc32(text))


def unframe(line: bytes) -> Any:
    """The record of one line; raises ValueError if it is not whole."""
    text, star, crc = line.strip().rpartition(b"*")
    if not star or int(crc, 16) != binascii.crc32(text):
        raise ValueError("damaged line")
    return json.loads(text)


def protect() -> None:
    """Lock this process in memory and keep the OOM killer off it.

    Writable memory is populated now, which also ends copy-on-write sharing with the parent process: a first write would
    otherwise need a fresh page at the worst moment. Shared mappings are populated too: the first order for an executor
    would otherwise need a page. Program text is locked as it is used: the first samples, long before the pressure, use
    all that later ones need.
    """
    if LIBC.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        print("harness-agent: mlockall:", os.strerror(ctypes.get_errno()), flush=True)
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps if " rw-p " in line or " rw-s " in line]
    for words in lines:
        begin, _, end = words[0].partition("-")
        LIBC.mlock(ctypes.c_void_p(int(begin, 16)), ctypes.c_size_t(int(end, 16) - int(begin, 16)))
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("-1000")
    except OSError as error:
        print("harness-agent: oom_score_adj:", error, flush=True)


def settle_heap() -> None:
    """Grow the heap to its final size now, and keep it: growing it later needs pages at the worst moment."""
    LIBC.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    LIBC.mallopt(M_MMAP_MAX, 0)
    LIBC.mallopt(M_ARENA_MAX, 1)
    blocks = [bytearray(64 * 1024) for _ in range(12)]
    del blocks
    gc.disable()


def parsed(text: bytes) -> Any:
    """The record in a text, or None if it is malformed: such an order is refused, and never ends the heartbeat."""
    try:
        return json.loads(text)
    except ValueError:
        return None


class Slot:
    """One probe's state in shared memory, written by its process and read by the main one.

    Times and counts are stored one by one, eight bytes each: struct.pack_into() zeroes its place before it writes, and
    a reader would see the zeros.
    """

    STARTED, FINISHED, LATENCY = range(3)

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self.place = memoryview(memory)[index * SLOT_SIZE :][: SLOT.size]
        self.times = self.place[:24].cast("d")
        self.counts = self.place[24:32].cast("Q")
        self.forget()

    def forget(self) -> None:
        self.times[self.STARTED] = 0.0
        self.place[8:] = bytes(SLOT.size - 8)

    def get(self) -> tuple[Any, ...]:
        return SLOT.unpack_from(self.place)

    def begin(self) -> None:
        self.times[self.STARTED] = time.monotonic()

    def end(self, error: str = "") -> None:
        started, _, _, count, errors, _ = self.get()
        now = time.monotonic()
        self.place[32:] = error.encode()[:64].ljust(64, b"\0")
        self.counts[0] = int.from_bytes(COUNTS.pack(count + 1, errors + bool(error)), sys.byteorder)
        self.times[self.LATENCY] = now - started
        self.times[self.FINISHED] = now

    def sample(self, now: float, interval: float) -> list[Any] | None:
        """[latency_s, blocked_s, errors, detail], or None before the first sample began.

        A probe that misses its next sample is blocked as well, outside of what it measures.
        """
        started, finished, latency, count, errors, detail = self.get()
        if not started:
            return None
        blocked = now - started if started > finished else now - finished - interval
        late = started > finished or blocked > LATE_S
        text = detail.rstrip(b"\0").decode("ascii", "replace")
        return [round(latency, 4) if count else None, round(blocked, 3) if late else None, errors, text]


# --- probes: each `prepare` runs before the pressure, each `sample` may block


class Alloc:
    """Can a task get fresh pages?

    The kernel allocates the pages inside a system call, during which the interpreter lets other threads run.
    """

    SIZE = 64 * PAGE

    def __init__(self) -> None:
        self.zero = os.open("/dev/zero", os.O_RDONLY)
        self.area = mmap.mmap(-1, self.SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self.area)))
        self.length = ctypes.c_size_t(self.SIZE)

    def prepare(self) -> None:
        LIBC.munlock(self.address, self.length)  # locked pages cannot be given back

    def sample(self) -> None:
        LIBC.madvise(self.address, self.length, MADV_DONTNEED)
        if os.preadv(self.zero, [self.area], 0) != self.SIZE:
            raise OSError("short read of /dev/zero")


class Fork:
    """Can a task be created?"""

    def sample(self) -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


class Work:
    """Does every processor run the kernel's deferred work? Each read has all of them update vmstat, and waits.

    vmstat_refresh() in mm/vmstat.c: schedule_on_each_cpu(), v4.7 and later.
    """

    PATH = "/proc/sys/vm/stat_refresh"

    def __init__(self) -> None:
        self.fd = os.open(self.PATH, os.O_RDONLY)

    def sample(self) -> None:
        os.pread(self.fd, 1, 0)


class Direct:
    """Does a file or device complete a synchronous write and return the data, past the page cache?

    With "write" false it only reads: the kernel refuses writes to a device that it swaps to (ETXTBSY), and there a read
    does what a page-in does.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.write = spec.get("write", True)
        flags = (os.O_RDWR | os.O_DSYNC) if self.write else os.O_RDONLY
        self.fd = os.open(spec["path"], flags | os.O_DIRECT | (os.O_CREAT if spec.get("create") else 0), 0o600)
        self.offset = spec.get("offset", 0)
        self.buffer = mmap.mmap(-1, PAGE)
        self.back = mmap.mmap(-1, PAGE)
        self.count = 0
        if spec.get("create"):
            os.pwrite(self.fd, self.buffer, self.offset)

    def sample(self) -> None:
        if self.write:
            self.count += 1
            struct.pack_into("=QQ", self.buffer, 0, self.count, ~self.count & 0xFFFFFFFFFFFFFFFF)
            os.pwrite(self.fd, self.buffer, self.offset)
        if os.preadv(self.fd, [self.back], self.offset) != PAGE:
            raise OSError("short read")
        if self.write and self.back[:16] != self.buffer[:16]:
            raise OSError("read back something else than was written")


def disk_probe(spec: str | dict[str, Any] | None) -> Direct | None:
    """The probe of the local disk: a file of its own, or whatever the configuration describes, or none."""
    if isinstance(spec, str):
        spec = {"path": spec, "create": True}
    return None if spec is None else Direct(spec)


class Refused:
    """A probe whose file cannot be opened: every sample fails, since without samples it would look blocked."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def sample(self) -> None:
        raise OSError(str(self.error))


class Echo:
    """Does the network carry a byte to every peer and back?"""

    def __init__(self, peers: list[str]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.5)
        self.peers = [(address, ECHO_PORT) for address in peers]
        self.count = 0

    def sample(self) -> None:
        for peer in self.peers:
            self.count += 1
            wanted = struct.pack("=Q", self.count)
            while not self.exchange(peer, wanted):
                pass

    def exchange(self, peer: tuple[str, int], wanted: bytes) -> bool:
        try:
            self.socket.sendto(wanted, peer)
            while True:
                answer, sender = self.socket.recvfrom(64)
                if answer == wanted and sender == peer:
                    return True
        except TimeoutError:
            return False
        except OSError:  # no route, no buffer: counts as no answer
            time.sleep(0.5)
            return False


def answer_echoes() -> None:
    """Send every datagram back; never returns."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", ECHO_PORT))
    while True:
        try:
            data, sender = server.recvfrom(64)
            server.sendto(data, sender)
        except OSError:
            time.sleep(0.1)


def answer_calls() -> None:
    """Send every byte of a TCP connection back, one connection at a time; never returns."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", ECHO_PORT))
    server.listen(4)
    while True:
        try:
            caller, _ = server.accept()
            data = caller.recv(64)
            while data:
                caller.sendall(data)
                data = caller.recv(64)
            caller.close()
        except OSError:
            time.sleep(0.1)


class Stats:
    """Reads counters into shared memory; reading /proc/vmstat allocates, so the main process must not."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self.memory, self.offset = memory, offset
        self.vmstat = os.open("/proc/vmstat", os.O_RDONLY)
        self.files: dict[str, int] = {}
        # Searched as bytes: parsing all 180 lines costs a guest under emulation more than everything else here.
        self.keys = [(name, b"\n%s " % name.encode()) for name in VMSTAT]

    def watch(self, files: dict[str, str]) -> None:
        self.files = {name: os.open(path, os.O_RDONLY) for name, path in files.items()}

    def sample(self) -> None:
        values: dict[str, int | list[int]] = {}
        text = b"\n" + os.pread(self.vmstat, STATS_SIZE, 0)
        for name, key in self.keys:
            found = text.find(key)
            if found >= 0:
                begin = found + len(key)
                values[name] = int(text[begin : text.index(b"\n", begin)])
        for name, fd in self.files.items():
            values[name] = [int(word) for word in os.pread(fd, 512, 0).split() if word.isdigit()]
        self.publish(values)

    def publish(self, values: dict[str, int | list[int]]) -> None:
        text = json.dumps({"v": values}, separators=(",", ":")).encode()
        if len(text) < STATS_SIZE - 16:
            sequence = struct.unpack_from("=Q", self.memory, self.offset)[0]
            # Odd during a write: the reader then skips the record, which may be incomplete.
            struct.pack_into("=Q", self.memory, self.offset, sequence + 1)
            struct.pack_into("=Q", self.memory, self.offset + 8, len(text))
            self.memory[self.offset + 16 : self.offset + 16 + len(text)] = text
            struct.pack_into("=Q", self.memory, self.offset, sequence + 2)


class Ports(Stats):
    """Reads counters of RDMA ports, apart from all others: a driver may allocate for that, or wait for its firmware.

    How often all were read is counted too, so that a counter that stands still is told from one that is not read.
    """

    READS = "rdma:reads"

    def __init__(self, memory: mmap.mmap, offset: int, files: dict[str, str]) -> None:
        self.memory, self.offset, self.reads = memory, offset, 0
        self.files = {}
        for name, path in files.items():
            try:
                self.files[name] = os.open(path, os.O_RDONLY)
            except OSError as error:  # another kernel has other counters
                print("harness-agent: ports:", error, flush=True)

    def sample(self) -> None:
        values: dict[str, int | list[int]] = {}
        for name, fd in self.files.items():
            try:
                values[name] = [int(os.pread(fd, 64, 0))]
            except (OSError, ValueError):  # such as "N/A (no PMA)"
                continue
        self.reads += 1
        self.publish({self.READS: [self.reads], **values})


def child(work: Callable[..., None], *arguments: object) -> int:
    """Fork a process that does `work` for ever, locked in memory; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        settle_heap()
        protect()
        work(*arguments)
    except BaseException as error:
        print("harness-agent: child:", repr(error), flush=True)
    os._exit(1)


def keep_probing(slot: Slot, probe: Any, orders: int | None, interval: float) -> None:
    """Sample for ever; `orders` is a pipe from which the storage probe learns what to sample."""
    while True:
        if orders is not None and select.select([orders], [], [], 0)[0]:
            for line in os.read(orders, 4096).splitlines():  # several, when they came while a sample was blocked
                probe = take_order(probe, json.loads(line), slot)
        if probe is None:
            time.sleep(interval)
            continue
        slot.begin()
        try:
            probe.sample()
            slot.end()
        except OSError as error:
            slot.end(str(error) or repr(error))
        time.sleep(interval)


def take_order(probe: Any, order: dict[str, Any], slot: Slot) -> Any:
    """A new storage probe, or the same one with something more to watch."""
    if "files" in order:
        try:
            probe.watch(order["files"])
        except OSError as error:
            print("harness-agent: stats:", error, flush=True)
        return probe
    if "peers" in order:
        if isinstance(probe, Echo):
            probe.socket.close()
        slot.forget()
        return Echo(order["peers"]) if order["peers"] else None
    if isinstance(probe, Direct):
        os.close(probe.fd)  # or its old file system could never be unmounted
    if order.get("path") is None:
        slot.forget()
        return None
    try:
        return Direct(order)
    except OSError as error:
        return Refused(error)


# --- identity: what distinguishes this host from others that were started from the same state


def become(order: dict[str, Any]) -> None:
    """Take a name, addresses, keys, the time and fresh entropy; docs/agent.md has the form of the order."""
    socket.sethostname(order["hostname"])
    time.clock_settime(time.CLOCK_REALTIME, order["time"])
    for path, (text, mode) in order["files"].items():
        replace_file(path, text.encode(), mode)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control_socket:
        for name, mac, address in order["cards"]:
            set_up_card(control_socket, name.encode(), bytes.fromhex(mac.replace(":", "")), address)
    stir(bytes.fromhex(order["entropy"]))


def replace_file(path: str, data: bytes, mode: int) -> None:
    """Replace a file atomically."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(fd, mode)
        os.write(fd, data)
    finally:
        os.close(fd)
    os.rename(path + ".new", path)


def set_up_card(control_socket: socket.socket, name: bytes, mac: bytes, address: str) -> None:
    """Give a network card its MAC and its only IPv4 address, `10.77.0.1/24`; with "" the card is down and has none.

    netdevice(7) has the requests.
    """
    ip, _, bits = (address or "0.0.0.0/32").partition("/")
    mask = struct.pack(">I", (0xFFFFFFFF << (32 - int(bits))) & 0xFFFFFFFF)

    def call(request: int, data: bytes) -> bytes:
        return fcntl.ioctl(control_socket, request, struct.pack("=16s24s", name, data))

    flags = struct.unpack_from("=H", call(SIOCGIFFLAGS, b""), 16)[0]
    # Down first: drops what the kernel derived from the old MAC (IPv6 addresses) and learnt with it (neighbours).
    call(SIOCSIFFLAGS, struct.pack("=H", flags & ~IFF_UP))
    call(SIOCSIFHWADDR, struct.pack("=H6s", ARPHRD_ETHER, mac))
    call(SIOCSIFADDR, struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(ip)))
    if address:
        call(SIOCSIFNETMASK, struct.pack("=HH4s", socket.AF_INET, 0, mask))
        call(SIOCSIFFLAGS, struct.pack("=H", flags | IFF_UP))


def stir(entropy: bytes) -> None:
    """Make the kernel's random numbers differ from those of every host with the same memory; random(4)."""
    with open("/dev/urandom", "rb", buffering=0) as device:
        fcntl.ioctl(device, RNDADDENTROPY, struct.pack("=ii", 8 * len(entropy), len(entropy)) + entropy)
        fcntl.ioctl(device, RNDRESEEDCRNG)


# --- late actions, in processes that were forked early


def act(order: dict[str, Any]) -> str:
    """Do one late action; returns text."""
    verb = order["do"]
    if verb == "open":
        keep = keep_writable if order.get("write") else keep_open
        return "".join(f"{path}: {problem}\n" for path in order["paths"] if (problem := keep(path)))
    if verb == "close":
        return close_all()
    if verb == "read":
        return read_file(order["path"])
    if verb == "write":
        return write_file(order["path"], order["text"].encode())
    if verb == "ioctl":
        return control(order["path"], order["request"], bytes.fromhex(order["data"])).hex()
    raise ValueError("unknown verb " + verb)


# Files opened, and read once, before the pressure: the kernel keeps a file's buffer as long as it is open (seq_file),
# so that reading it again takes no memory.
KEPT: dict[str, int] = {}
WRITABLE: dict[str, int] = {}


def keep_open(path: str) -> str:
    """Open a file for later reading; returns the error, or "" if it is open."""
    try:
        KEPT[path] = os.open(path, os.O_RDONLY)
        read_whole(KEPT[path], ANSWER)
    except OSError as error:
        return str(error)
    return ""


def close_all() -> str:
    """Close the files that were opened for later: an open file of a driver in debugfs would pin its module."""
    for kept in (KEPT, WRITABLE):
        while kept:
            os.close(kept.popitem()[1])
    return ""


def read_file(path: str) -> str:
    """The beginning of a file, through its kept descriptor if there is one."""
    kept = KEPT.get(path)
    fd = os.open(path, os.O_RDONLY) if kept is None else kept
    try:
        if kept is not None:
            os.lseek(fd, 0, os.SEEK_SET)
        return read_whole(fd, ANSWER).decode("utf-8", "replace")
    finally:
        if kept is None:
            os.close(fd)


def keep_writable(path: str) -> str:
    """Open a file for later writing; returns the error, or "" if it is open."""
    try:
        WRITABLE[path] = os.open(path, os.O_WRONLY)
    except OSError as error:
        return str(error)
    return ""


def write_file(path: str, text: bytes) -> str:
    """Write to a file from its beginning in one system call, as settings of /proc and /sys require; returns ""."""
    if path not in WRITABLE:
        WRITABLE[path] = os.open(path, os.O_WRONLY)
    if os.pwrite(WRITABLE[path], text, 0) != len(text):
        raise OSError("short write to " + path)
    return ""


def control(path: str, request: int, data: bytes) -> bytes:
    """ioctl(2) on a file that stays open from the first call on; returns `data` as the kernel left it."""
    if path not in KEPT:
        KEPT[path] = os.open(path, os.O_RDWR)
    buffer = bytearray(data)
    fcntl.ioctl(KEPT[path], request, buffer, True)
    return bytes(buffer)


def read_whole(fd: int, limit: int) -> bytes:
    """At most `limit` bytes of a file; one of /proc may give no more than a page at a time."""
    parts = []
    while limit and (part := os.read(fd, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def pause_after(newest: float) -> float:
    """Seconds until the next look for an order; `newest` is the time of the last one."""
    return FLUSH_S if time.monotonic() - newest < BRISK_S else POLL_S


class Executor:
    """A thread of the probes' process for actions that may block, and the shared memory that carries its orders.

    Not a pipe: writing to one takes a page, which the main process must never wait for.
    """

    HEAD = struct.Struct("=QI")  # number of messages so far, length of the newest

    def __init__(self) -> None:
        self.orders = mmap.mmap(-1, PAGE)
        self.answers = mmap.mmap(-1, 17 * PAGE)
        self.sent = self.received = 0

    @property
    def busy(self) -> bool:
        return self.sent != self.received

    def send(self, order: dict[str, Any]) -> None:
        self.post(self.orders, self.sent + 1, json.dumps(order).encode())
        self.sent += 1

    def receive(self) -> Any:
        """The answer once it is there, else None."""
        text = self.take(self.answers, self.received)
        if text is None:
            return None
        self.received += 1
        return json.loads(text)

    def work(self) -> None:
        """Take orders for ever; one that blocks leaves the other executor free."""
        done, newest = 0, time.monotonic()
        while True:
            text = self.take(self.orders, done)
            if text is None:
                time.sleep(pause_after(newest))
                continue
            order = json.loads(text)
            try:
                good, out = True, act(order)[:ANSWER]
            except (OSError, ValueError, KeyError, TypeError) as error:
                good, out = False, str(error)
            done, newest = done + 1, time.monotonic()
            self.post(self.answers, done, self.fitting({"id": order["id"], "ok": good, "out": out}))

    def fitting(self, answer: dict[str, Any]) -> bytes:
        """The answer as JSON, its text shortened until it fits: half a message is useless."""
        while len(text := json.dumps(answer).encode()) > len(self.answers) - self.HEAD.size:
            answer["out"] = answer["out"][: len(answer["out"]) * 3 // 4]
        return text

    def post(self, box: mmap.mmap, number: int, text: bytes) -> None:
        if len(text) > len(box) - self.HEAD.size:
            raise OSError("the order is too long")
        box[self.HEAD.size : self.HEAD.size + len(text)] = text
        # The number last: a reader that sees it must see the rest.
        struct.pack_into("=I", box, 8, len(text))
        struct.pack_into("=Q", box, 0, number)

    def take(self, box: mmap.mmap, seen: int) -> bytes | None:
        number, length = self.HEAD.unpack_from(box, 0)
        return bytes(box[self.HEAD.size : self.HEAD.size + length]) if number > seen else None


def run_threads(jobs: list[tuple[Callable[..., None], tuple[Any, ...]]], alloc: Alloc) -> None:
    """Run every job on a thread of its own, for ever; this is the probes' process."""
    alloc.prepare()
    _thread.stack_size(STACK)
    for work, arguments in jobs:
        _thread.start_new_thread(work, arguments)
    while True:
        time.sleep(3600)


class IvshmemMailbox:
    """Orders in memory that the hypervisor shares (harness/drivers/serial/ivshmem_mailbox.py).

    Reading a tty may block when memory is gone: received bytes go through a workqueue that cannot start workers.
    """

    TEXT_AT, TAKEN_AT, SIZE = 16, 32 * 1024, 64 * 1024

    def __init__(self, folder: str) -> None:
        with open(folder + "/enable", "w") as enable:
            enable.write("1")  # no driver has claimed the device, so its memory is switched off
        fd = os.open(folder + "/resource2", os.O_RDWR)
        self.memory = mmap.mmap(fd, self.SIZE)
        os.close(fd)
        self.taken = 0

    def take(self) -> bytes | None:
        """The newest order, once."""
        number, length = struct.unpack_from("=QI", self.memory, 0)
        if number == self.taken:
            return None
        text = self.memory[self.TEXT_AT : self.TEXT_AT + length]
        self.taken = number
        struct.pack_into("=Q", self.memory, self.TAKEN_AT, number)
        return text


def find_mailbox() -> IvshmemMailbox | None:
    """The mailbox of a guest; None on a host without a hypervisor."""
    root = "/sys/bus/pci/devices/"
    for name in os.listdir(root) if os.path.isdir(root) else ():
        with open(root + name + "/vendor") as vendor, open(root + name + "/device") as device:
            if (vendor.read().strip(), device.read().strip()) == IVSHMEM:
                return IvshmemMailbox(root + name)
    return None


# --- channels to the harness: `reader` is what select() waits for (None: no orders any more), `write` returns how many
# bytes are done with, or raises BlockingIOError


class Uart:
    """A serial port; its speed stays as it is unless one is given, such as 115200."""

    def __init__(self, path: str, baud: int | None = None) -> None:
        self.reader: int | None = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.writer = self.reader
        tty.setraw(self.writer, termios.TCSANOW)
        if baud:
            settings = termios.tcgetattr(self.writer)
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self.writer, termios.TCSANOW, settings)
        os.set_blocking(self.writer, False)

    def read(self) -> bytes:
        return os.read(self.writer, 4096)

    def write(self, data: bytes) -> int:
        return os.write(self.writer, data[:1024])


class Stdio:
    """Standard input and output, which an SSH channel carries. What else is printed goes to standard error."""

    def __init__(self) -> None:
        self.reader: int | None = os.dup(0)
        self.writer = os.dup(1)
        os.dup2(2, 1)
        for fd in (self.reader, self.writer):
            os.set_blocking(fd, False)

    def read(self) -> bytes:
        assert self.reader is not None
        try:
            data = os.read(self.reader, 4096)
        except BlockingIOError:
            raise
        except OSError:  # the other end was closed before it had read all: ECONNRESET
            data = b""
        if not data:
            self.reader = None  # always readable from now on: the main loop would spin
        return data

    def write(self, data: bytes) -> int:
        try:
            return os.write(self.writer, data[:1024])
        except BlockingIOError:
            raise
        except OSError:  # nobody reads any more
            return len(data)


class Udp:
    """Datagrams to one address, each `MAC line`; what cannot be sent is dropped.

    The MAC is BLAKE2s with the token as key, over the direction and the line. An order may come twice: the second time
    its answer is sent again. Numbers of orders grow; one that is far below the highest is old and ignored.
    """

    def __init__(self, address: list[Any], token: str) -> None:
        # Not from hashlib: that loads OpenSSL.
        from _blake2 import blake2s

        if not token:
            raise ValueError("a UDP channel needs a token: whoever knows it gives orders to this host")
        self.hash, self.key = blake2s, blake2s(token.encode()).digest()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((address[0], address[1]))
        self.socket.setblocking(False)
        self.reader: int | None = self.socket.fileno()
        self.writer = self.socket.fileno()
        self.lost: OSError | None = None  # why the last datagram was lost that was
        self.known: dict[int, list[bytes]] = {}  # numbers of orders, and their answers as far as they are kept

    def mac(self, direction: bytes, line: bytes) -> bytes:
        return self.hash(direction + line, key=self.key, digest_size=16).hexdigest().encode()

    def read(self) -> bytes:
        """One new order, or nothing."""
        try:
            mac, _, line = self.socket.recv(65536).partition(b" ")
        except OSError:  # such as ECONNREFUSED: nobody listens yet
            return b""
        return line if mac == self.mac(b"order ", line) and self.is_new(line) else b""

    def is_new(self, line: bytes) -> bool:
        try:
            number = unframe(line)["id"]
        except (ValueError, KeyError, TypeError):
            return False
        if not isinstance(number, int):
            return False
        if number in self.known:
            for answer in self.known[number]:
                self.write(answer)
            return False
        if self.known and number < max(self.known) - ORDERS_KNOWN:
            return False
        self.known[number] = []
        numbers = sorted(self.known)
        for old in numbers[:-ORDERS_KNOWN]:
            del self.known[old]
        for old in numbers[-ORDERS_KNOWN:-ANSWERS_KNOWN]:
            self.known[old] = []
        return True

    def remember(self, number: Any, text: bytes) -> None:
        """Keep a piece of an answer, in case its order comes again."""
        if number in self.known:
            self.known[number].append(checked(text))

    def write(self, data: bytes) -> int:
        line = data[: data.index(b"\n") + 1]
        try:
            self.socket.send(self.mac(b"record ", line) + b" " + line)
        except OSError as error:
            self.lost = error
        return len(line)


def open_channel(config: dict[str, Any]) -> Uart | Stdio | Udp:
    """The one channel that the configuration names."""
    if "udp" in config:
        return Udp(config["udp"], config["token"])
    return Stdio() if config.get("stdio") else Uart(config["uart"], config.get("baud"))


class Leash:
    """Reboots the host when nobody has said for too long that it should go on.

    On a thread of the main process: that process, too, may block while it sends over a network. Allocates nothing.
    """

    def __init__(self, sysrq: int, seconds: float | None) -> None:
        self.sysrq = sysrq
        self.ends: float | None = None
        self.renew(seconds)

    def renew(self, seconds: float | None) -> None:
        self.ends = None if seconds is None else time.monotonic() + float(seconds)

    def watch(self) -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
        while True:
            time.sleep(INTERVAL_S)
            ends = self.ends
            if ends is not None and time.monotonic() >= ends:
                self.reboot()

    def reboot(self) -> None:
        os.write(self.sysrq, b"s")
        os.write(self.sysrq, b"u")
        time.sleep(LEASH_PAUSE_S)
        os.write(self.sysrq, b"b")


class Watchdog:
    """A timer of the hardware that resets the host unless it is fed; `timeout_s` is None while it is not armed.

    It must be opened after the children were started: it is disarmed when the last descriptor is closed.
    """

    def __init__(self, spec: dict[str, Any] | None) -> None:
        self.fd = -1
        self.timeout_s: int | None = None
        self.error = ""
        if spec is None:
            return
        try:
            self.arm(spec["device"], spec["timeout_s"])
        except OSError as error:
            self.error = f"{spec['device']}: {error.strerror or error}"
            self.disarm()

    def arm(self, device: str, seconds: int) -> None:
        try:
            with open(f"/sys/class/watchdog/{os.path.basename(device)}/nowayout") as file:
                if file.read().strip() == "1":
                    raise OSError("cannot be disarmed any more once it is open (nowayout)")
        except FileNotFoundError:
            pass  # a driver without sysfs
        self.fd = os.open(device, os.O_WRONLY)
        told = bytearray(struct.pack("=i", seconds))
        fcntl.ioctl(self.fd, WDIOC_SETTIMEOUT, told, True)
        self.timeout_s = struct.unpack("=i", told)[0]

    def feed(self) -> None:
        if self.timeout_s is not None:
            try:
                fcntl.ioctl(self.fd, WDIOC_KEEPALIVE, 0)
            except OSError as error:  # told once; the beat goes on
                self.error = self.error or str(error)

    def disarm(self) -> None:
        """Magic close: without the V, the timer would run on."""
        fd, self.fd, self.timeout_s = self.fd, -1, None
        if fd >= 0:
            try:
                os.write(fd, b"V")
            finally:
                os.close(fd)


def keep_ticking(ticks: list[float], index: int, cpu: int) -> None:
    """Note the time on one processor for ever, at real-time priority; a stuck processor blocks no other thread here."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    while True:
        ticks[index] = time.monotonic()
        time.sleep(INTERVAL_S)


class Agent:
    """The main process: a heartbeat, and orders passed on."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.channel = open_channel(config)
        self.mailbox = find_mailbox() if isinstance(self.channel, Uart) else None
        self.sysrq = os.open(SYSRQ, os.O_WRONLY)
        self.leash = Leash(self.sysrq, config.get("leash_s"))
        self.sequence = 0
        self.outgoing = b""
        self.incoming = b""
        self.progress: mmap.mmap | None = None
        self.waiting: list[dict[str, Any]] = []
        self.ticks: list[float] = []
        self.memory = mmap.mmap(-1, 16 * SLOT_SIZE + 2 * STATS_SIZE)
        # Where each publishes its counters, and the last that was sent.
        self.stats = {16 * SLOT_SIZE: 0, 16 * SLOT_SIZE + STATS_SIZE: 0}
        self.slots: dict[str, Slot] = {}
        self.orders: dict[str, int] = {}
        self.interval = config.get("probe_interval_s", 0.8)
        self.executors = [Executor(), Executor()]
        self.newest = time.monotonic()  # when the last order came
        self.children: list[int] = []
        self.ending = False
        self.start_children()
        self.watchdog = Watchdog(config.get("watchdog"))

    def start_children(self) -> None:
        alloc = Alloc()
        disk = disk_probe(self.config.get("disk", "/var/tmp/harness-probe"))
        probes: dict[str, Any] = {"alloc": alloc, "disk": disk, "storage": None}
        peers = self.config.get("peers", [])
        probes["net"] = Echo(peers) if peers else None
        if os.path.exists(Work.PATH):
            probes["work"] = Work()
        stats, ports = self.stats
        probes["stats"] = Stats(self.memory, stats)
        if files := self.config.get("ports"):
            probes["ports"] = Ports(self.memory, ports, files)
        jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(executor.work, ()) for executor in self.executors]
        jobs += [(answer_echoes, ()), (answer_calls, ())]
        for index, (name, probe) in enumerate(probes.items()):
            self.slots[name] = Slot(self.memory, index)
            inbox, self.orders[name] = os.pipe()
            orders = inbox if name in ("storage", "stats", "net") else None
            jobs.append((keep_probing, (self.slots[name], probe, orders, self.interval_of(name))))
        self.children.append(child(run_threads, jobs, alloc))
        self.slots["fork"] = Slot(self.memory, len(probes))
        self.children.append(child(keep_probing, self.slots["fork"], Fork(), None, self.interval))

    def run(self) -> None:
        """Beat for ever."""
        settle_heap()
        protect()
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
        self.start_ticking()
        _thread.start_new_thread(self.leash.watch, ())
        self.say({"hello": self.hello()})
        due = time.monotonic()
        while True:
            wait = max(0.0, due - time.monotonic())
            if any(executor.busy for executor in self.executors):
                wait = min(wait, POLL_S)
            if self.mailbox is None:
                self.wait_for_channel(wait)
            else:
                # Never polls the tty: that alone can block, see IvshmemMailbox.
                time.sleep(min(wait, FLUSH_S if self.outgoing else pause_after(self.newest)))
                if (order := self.mailbox.take()) is not None:
                    self.obey(parsed(order))
                    self.newest = time.monotonic()
            self.flush()
            self.collect()
            if self.ending and (not self.outgoing or time.monotonic() >= due):
                os._exit(0)
            if time.monotonic() >= due:
                self.watchdog.feed()
                self.beat()
                due = max(due + INTERVAL_S, time.monotonic())

    def interval_of(self, probe: str) -> float:
        """Seconds between two samples of a probe."""
        return WORK_INTERVAL_S if probe == "work" else self.interval

    def start_ticking(self) -> None:
        processors = sorted(os.sched_getaffinity(0))
        self.ticks = [time.monotonic()] * len(processors)
        _thread.stack_size(STACK)
        for index, cpu in enumerate(processors):
            _thread.start_new_thread(keep_ticking, (self.ticks, index, cpu))

    def wait_for_channel(self, seconds: float) -> None:
        readers = [] if self.channel.reader is None else [self.channel.reader]
        ready = select.select(readers, [self.channel.writer] if self.outgoing else [], [], seconds)
        if ready[0]:
            self.listen()

    def say(self, record: dict[str, Any]) -> None:
        self.send(json.dumps(record, separators=(",", ":")).encode())

    def send(self, text: bytes) -> None:
        # Bounded: when nobody reads the UART, old beats are worthless.
        if len(self.outgoing) < 262144:
            self.outgoing += checked(text)
        self.flush()

    def flush(self) -> None:
        try:
            while self.outgoing:
                self.outgoing = self.outgoing[self.channel.write(self.outgoing) :]
        except BlockingIOError:
            pass

    def beat(self) -> None:
        self.sequence += 1
        now = time.monotonic()
        rungs = {name: slot for name, slot in self.slots.items() if name not in ("stats", "ports")}
        probes = {name: slot.sample(now, self.interval_of(name)) for name, slot in rungs.items()}
        ages = [round(now - tick, 1) for tick in self.ticks]
        record = {"b": self.sequence, "u": round(now, 3), "c": ages, "p": probes, "w": self.read_progress()}
        self.say(record)
        for offset in self.stats:
            self.say_stats(offset)

    def say_stats(self, offset: int) -> None:
        sequence, length = struct.unpack_from("=QQ", self.memory, offset)
        if sequence == self.stats[offset] or sequence & 1:
            return
        text = bytes(self.memory[offset + 16 : offset + 16 + length])
        if struct.unpack_from("=Q", self.memory, offset)[0] == sequence:
            self.stats[offset] = sequence
            self.send(text)

    def workload_group(self) -> int:
        """The process group of the workload; raises OSError while there is none: group 0 would be the agent's own."""
        group = 0
        if self.progress is not None and self.progress[:8] == PROGRESS_MAGIC:
            group = PROGRESS.unpack_from(self.progress, 0)[3]
        if group < 2:
            raise OSError("the workload has not named its process group")
        return group

    def read_progress(self) -> list[int] | None:
        """[operations, bytes, workers, finished, failed, alive] of the workload, or None."""
        if self.progress is None:
            return None
        magic, workers, size, _, _ = PROGRESS.unpack_from(self.progress, 0)
        if magic != PROGRESS_MAGIC or size < WORKER.size or 64 + workers * size > len(self.progress):
            return None
        totals = [0, 0, workers, 0, 0, 0]
        for index in range(workers):
            operations, count, state, pid = WORKER.unpack_from(self.progress, 64 + index * size)
            totals[0] += operations
            totals[1] += count
            totals[3] += state == 2
            totals[4] += state == 3
            totals[5] += bool(pid) and alive(pid)
        return totals

    def listen(self) -> None:
        try:
            self.incoming += self.channel.read()
        except BlockingIOError:
            return
        *lines, self.incoming = self.incoming.split(b"\n")
        self.incoming = self.incoming[-8192:]
        for line in lines:
            try:
                order = unframe(line)
            except ValueError:
                continue
            self.obey(order)

    def obey(self, order: Any) -> None:
        try:
            self.command(order)
        except Exception as error:  # a malformed order must not end the heartbeat
            self.answer(order.get("id") if isinstance(order, dict) else None, False, repr(error))

    def command(self, order: dict[str, Any]) -> None:
        """Do what the harness asks, or pass it on; docs/agent.md lists the verbs."""
        verb = order["do"]
        if verb == "ping":
            self.answer(order["id"], True, "")
        elif verb == "progress":
            self.open_progress(order["path"])
            self.answer(order["id"], True, "")
        elif verb == "become":
            become(order)
            os.write(self.orders["net"], json.dumps({"peers": order["peers"]}).encode() + b"\n")
            self.answer(order["id"], True, json.dumps(self.hello()))
        elif verb in ("hello", "leash", "quit"):
            self.answer(order["id"], True, self.do_for_owned(order))
        elif verb == "calibrate":
            self.answer(order["id"], True, str(round(calibrate(), 5)))
        elif verb in ("storage", "stats"):
            os.write(self.orders[verb], json.dumps(order).encode() + b"\n")
            self.answer(order["id"], True, "")
        elif verb in SIGNALS:
            os.killpg(self.workload_group(), SIGNALS[verb])
            self.answer(order["id"], True, "")
        elif verb == "sysrq":
            # Here and not in a child: when memory is gone, a child that was forked needs pages to wake up, this
            # process does not. The beat pauses while the kernel prints.
            os.write(self.sysrq, order["key"].encode())
            self.answer(order["id"], True, "")
        else:
            self.waiting.append(order)

    def hello(self) -> dict[str, Any]:
        """Facts of this host, and whether a watchdog guards it."""
        facts = hello()
        if self.config.get("watchdog"):
            facts.update(watchdog=self.watchdog.timeout_s, watchdog_error=self.watchdog.error)
        return facts

    def do_for_owned(self, order: dict[str, Any]) -> str:
        """Do what only the host of an owner is asked for; a guest is simply switched off."""
        if order["do"] == "leash":
            self.leash.renew(order["seconds"])
        if order["do"] == "quit":
            self.prepare_to_quit()
        return json.dumps(self.hello()) if order["do"] == "hello" else ""

    def prepare_to_quit(self) -> None:
        """Leave nothing behind. Waits for no child, since that may be stuck in the kernel."""
        self.leash.renew(None)
        self.watchdog.disarm()
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        pid_file = self.config.get("pid_file", PID_FILE)
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        self.ending = True

    def open_progress(self, path: str | None) -> None:
        if path is None:
            self.progress = None
            return
        fd = os.open(path, os.O_RDWR)
        try:
            size = os.fstat(fd).st_size
            if size < 64:
                raise OSError(f"{path} is too short for a progress file")
            self.progress = mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def collect(self) -> None:
        for executor in self.executors:
            answer = executor.receive() if executor.busy else None
            if answer:
                self.answer(answer["id"], answer["ok"], answer["out"])
            if self.waiting and not executor.busy:
                self.pass_on(executor, self.waiting.pop(0))

    def pass_on(self, executor: Executor, order: dict[str, Any]) -> None:
        try:
            executor.send(order)
        except OSError as error:
            self.answer(order["id"], False, str(error))

    def answer(self, number: Any, ok: bool, out: str) -> None:
        for at in range(0, len(out) or 1, PIECE):
            more = at + PIECE < len(out)
            record = {"id": number, "ok": ok, "at": at, "out": out[at : at + PIECE], "more": more}
            text = json.dumps(record, separators=(",", ":")).encode()
            if isinstance(self.channel, Udp):
                self.channel.remember(number, text)
            self.send(text)


def alive(pid: int) -> bool:
    """Whether a process exists; a zombie counts until its parent collects it."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def hello() -> dict[str, Any]:
    """The first record: facts of this host."""
    with open("/proc/meminfo") as meminfo:
        memory = int(meminfo.readline().split()[1])
    return {
        "kernel": os.uname().release,
        "memory_kib": memory,
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
    }


def main() -> None:
    """Run the agent with the configuration file named on the command line."""
    with open(sys.argv[1]) as file:
        config = json.load(file)
    with open(config.get("pid_file", PID_FILE), "w") as file:
        file.write(f"{os.getpid()}\n")
    Agent(config).run()


if __name__ == "__main__":
    main()
