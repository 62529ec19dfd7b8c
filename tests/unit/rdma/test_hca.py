"""What hosts say of their RDMA devices, by the script that runs there, on trees of sysfs as drivers make them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sysfs_trees import DRIVERS, plant, surveyed, told

from harness.fabric.hca import HcaPort, RdmaFacts


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_facts_of_every_driver_survive_json(driver: str, tmp_path: Path) -> None:
    found = surveyed(driver, tmp_path)
    assert found.hcas and found.hcas[0].ports
    assert RdmaFacts.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_port_of_mthca(tmp_path: Path) -> None:
    found = surveyed("mthca", tmp_path)
    hca, port = found.hcas[0], found.hcas[0].ports[0]
    assert (hca.driver, hca.type, hca.firmware, hca.pci) == ("ib_mthca", "MT25204", "1.2.0", "0000:07:00.0")
    assert (port.state, port.phys_state, port.lid, port.sm_lid) == ("ACTIVE", "LinkUp", 10, 2)
    assert (port.gbps, port.width, port.speed) == (20.0, 4, "DDR")
    assert "port_xmit_wait" not in port.counters, "a counter that the device lacks is no number"
    assert port.counters["symbol_error"] == 0
    assert found.interfaces[0].mode == "datagram" and found.device_of("ib0") == ("mthca0", 1)
    assert found.stack == "inbox"
    assert {one.name: one.parameters for one in found.modules}["ib_mthca"] == {"num_qp": "65536", "tune_pci": "0"}


def test_two_ports_of_mlx4_with_a_partition_and_the_drivers_of_ofed(tmp_path: Path) -> None:
    found = surveyed("mlx4", tmp_path)
    assert [port.number for port in found.hcas[0].ports] == [1, 2]
    by_name = {one.name: one for one in found.interfaces}
    assert (by_name["ib0"].mode, by_name["ib0"].mtu, by_name["ib0"].port) == ("connected", 65520, 1)
    assert (by_name["ib1.8001"].parent, by_name["ib1.8001"].pkey, by_name["ib1.8001"].port) == ("ib1", "0x8001", 2)
    assert found.stack == "OFED 4.9-5.1.0"
    assert found.hcas[0].is_pci_slow, "it has 4 of its 8 lanes"
    port = found.port("mlx4_0", 2)
    assert port is not None and port.counters["port_xmit_wait"] == 3846


def test_roce_of_mlx5(tmp_path: Path) -> None:
    found = surveyed("mlx5", tmp_path)
    hca = found.hcas[0]
    assert hca.protocol == "RoCE" and not hca.is_pci_slow and hca.numa == 1
    assert hca.ports[0].hw_counters["local_ack_timeout_err"] == 131
    assert found.device_of("ens3f0np0") == ("mlx5_0", 1) and found.device_of("eth0") == ("", 0)
    assert found.stack == "inbox" and not found.interfaces


def test_an_adapter_without_a_type(tmp_path: Path) -> None:
    hca = surveyed("hfi1", tmp_path).hcas[0]
    assert hca.type == "" and hca.board.startswith("HPE 100Gb") and hca.firmware == "1.27.0"
    assert hca.ports[0].hw_counters["RxWords"] == hca.ports[0].counters["port_rcv_data"]


def test_an_adapter_without_a_firmware_version_before_a_subnet_manager_came(tmp_path: Path) -> None:
    hca = surveyed("qib", tmp_path).hcas[0]
    assert hca.firmware == "" and hca.driver == "ib_qib"
    assert hca.ports[0].state == "INIT" and hca.ports[0].sm_lid == 0 and hca.ports[0].counters["symbol_error"] == 12


def test_a_device_in_software_has_hardly_any_file(tmp_path: Path) -> None:
    found = surveyed("rxe", tmp_path)
    hca = found.hcas[0]
    assert (hca.driver, hca.pci, hca.type, hca.numa, hca.protocol) == ("", "", "", -1, "RoCE")
    assert hca.ports[0].counters == {} and hca.ports[0].hw_counters["sent_pkts"] == 218
    assert found.device_of("ens33") == ("rxe0", 1)


def test_a_host_without_any_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "sys/class/infiniband").mkdir(parents=True)
    found = told(tmp_path)
    assert found == RdmaFacts() and found.stack == "none" and found.device_of("eth0") == ("", 0)


def test_files_that_vanish_leave_gaps(tmp_path: Path) -> None:
    plant("mlx4", tmp_path / "whole")
    folder = tmp_path / "whole/sys/devices/pci0000:00/0000:03:00.0/infiniband/mlx4_0"
    for name in ("board_id", "hca_type", "fw_ver", "node_guid", "ports/1/state", "ports/1/rate", "ports/2/lid"):
        (folder / name).unlink()
    hca = told(tmp_path / "whole").hcas[0]
    assert (hca.board, hca.type, hca.firmware, hca.guid) == ("", "", "", "")
    assert (hca.ports[0].state, hca.ports[0].gbps, hca.ports[1].lid) == ("", 0.0, 0)


@pytest.mark.parametrize(
    ("rate", "gbps", "width", "speed"),
    [
        ("10 Gb/sec (4X)", 10.0, 4, "SDR"),
        ("2.5 Gb/sec (1X SDR)", 2.5, 1, "SDR"),
        ("56 Gb/sec (4X FDR)", 56.0, 4, "FDR"),
        ("40 Gb/sec (4X FDR10)", 40.0, 4, "FDR10"),
        ("10 Gb/sec", 10.0, 0, ""),
        ("", 0.0, 0, ""),
    ],
)
def test_width_and_speed_are_in_the_rate(rate: str, gbps: float, width: int, speed: str) -> None:
    port = HcaPort(number=1, state="", phys_state="", link_layer="", rate=rate, lid=0, sm_lid=0)
    assert (port.gbps, port.width, port.speed) == (gbps, width, speed)
    assert replace(port, rate="").gbps == 0.0
