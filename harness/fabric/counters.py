"""Counters of RDMA ports that are read during a trial, by the name under which the agent reports them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.fabric.hca import RdmaFacts

# Below ports/N/counters and ports/N/hw_counters, in the kernel's Documentation/ABI/stable/sysfs-class-infiniband and in
# drivers/infiniband/hw; no driver has all of them. Data counters are in units of four bytes.
SENT, RECEIVED = "port_xmit_data", "port_rcv_data"
DATA_UNIT = 4
PACKETS = ("sent_pkts", "rcvd_pkts")  # of rxe, which counts no bytes
ERRORS = {
    "symbol_error": "symbol errors",
    "link_error_recovery": "link recoveries",
    "link_downed": "link downed",
    "port_rcv_errors": "receive errors",
    "port_xmit_discards": "discards on sending",
}
WAIT = "port_xmit_wait"  # ticks with data to send and no credits for it
RETRIES = (
    *("local_ack_timeout_err", "packet_seq_err", "rnr_nak_retry_err", "roce_adp_retrans", "duplicate_request"),
    *("completer_retry_err", "retry_exceeded_err", "rcvd_seq_err"),
)
WATCHED = (SENT, RECEIVED, *PACKETS, *ERRORS, WAIT, *RETRIES)

PREFIX, READS = "rdma", "rdma:reads"  # the number of times that all were read; agent.py has it too


def name_of(port: str, counter: str) -> str:
    """The name of a counter in the records of the agent; `port` is such as mlx4_0/1."""
    return f"{PREFIX}:{port}:{counter}"


def split(name: str) -> tuple[str, str] | None:
    """Port and counter of a name; None if it is not of a port."""
    prefix, _, rest = name.partition(":")
    port, _, counter = rest.partition(":")
    return (port, counter) if prefix == PREFIX and counter else None


def files_of(facts: RdmaFacts, interfaces: Iterable[str]) -> dict[str, str]:
    """The files with the watched counters of the ports of these network interfaces, by name."""
    found: dict[str, str] = {}
    for device, number in dict.fromkeys(map(facts.device_of, interfaces)):
        port = facts.port(device, number)
        for folder, counters in (("hw_counters", port.hw_counters), ("counters", port.counters)) if port else ():
            for counter in WATCHED:
                if counter in counters:
                    path = f"/sys/class/infiniband/{device}/ports/{number}/{folder}/{counter}"
                    found[name_of(f"{device}/{number}", counter)] = path
    return found
