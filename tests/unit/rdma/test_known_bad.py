"""What is known of hardware: each record beside an adapter that it is not about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sysfs_trees import surveyed

from harness.fabric.hca import RdmaFacts
from harness.fabric.known_bad import RECORDS, KnownBad, suspects

NEW = "6.1.0-40-amd64"


def names(facts: RdmaFacts, kernel: str = NEW) -> list[str]:
    return [one.name for one in suspects(facts, kernel)]


def in_mode(facts: RdmaFacts, mode: str) -> RdmaFacts:
    return replace(facts, interfaces=tuple(replace(one, mode=mode) for one in facts.interfaces))


def with_adapter(facts: RdmaFacts, **changes: str) -> RdmaFacts:
    return replace(facts, hcas=(replace(facts.hcas[0], **changes),))  # type: ignore[arg-type]  # texts alone


def test_mthca_is_known_on_every_kernel(tmp_path: Path) -> None:
    found = surveyed("mthca", tmp_path)
    (one,) = suspects(found, NEW)
    assert one.name == "mthca-allocates-in-transmit" and one.device == "mthca0" and one.interfaces == ("ib0",)
    assert "one direction" in str(one) and "only other hardware" in str(one) and "romaco.ca" in str(one)
    assert "\n" not in str(one)


@pytest.mark.parametrize("driver", ["mlx4", "mlx5", "hfi1", "qib", "rxe"])
def test_nothing_is_known_of_the_others_on_a_new_kernel(driver: str, tmp_path: Path) -> None:
    assert names(surveyed(driver, tmp_path)) == []


@pytest.mark.parametrize(
    ("driver", "mode", "kernel", "expected"),
    [
        ("mlx4", "connected", "3.15.9", ["ipoib-connected-gfp-kernel"]),
        ("mlx4", "connected", "3.16", []),
        ("mlx4", "datagram", "3.15.9", []),
        ("hfi1", "connected", "4.5.7-generic", ["rdmavt-connected-gfp-kernel"]),
        ("hfi1", "connected", "4.6", []),
        ("mthca", "connected", "4.12.14", ["mthca-allocates-in-transmit", "mthca-connected-gfp-kernel"]),
        ("mthca", "connected", "4.13.0", ["mthca-allocates-in-transmit"]),
        ("mthca", "connected", "3.10.0", ["mthca-allocates-in-transmit", "ipoib-connected-gfp-kernel"]),
        ("mlx4", "connected", "no version", []),
    ],
)
def test_a_mode_and_a_range_of_kernels(
    driver: str, mode: str, kernel: str, expected: list[str], tmp_path: Path
) -> None:
    assert names(in_mode(surveyed(driver, tmp_path), mode), kernel) == expected


def test_only_the_interfaces_of_that_mode_are_named(tmp_path: Path) -> None:
    (one,) = suspects(surveyed("mlx4", tmp_path), "3.10.0")
    assert one.interfaces == ("ib0",), "ib1 is in datagram mode"


@pytest.mark.parametrize(
    ("firmware", "expected"),
    [("12.16.1006", ["mlx5-firmware-kexec"]), ("12.17.2020", []), ("12.28.2006", []), ("", []), ("0.0.0", [])],
)
def test_a_range_of_firmware_of_one_type(firmware: str, expected: list[str], tmp_path: Path) -> None:
    facts = surveyed("mlx5", tmp_path)
    assert names(with_adapter(facts, type="MT4115", firmware=firmware)) == expected
    assert names(with_adapter(facts, type="MT4118", firmware=firmware)) == []


def test_firmware_and_type_of_mlx4(tmp_path: Path) -> None:
    facts = surveyed("mlx4", tmp_path)
    assert names(with_adapter(facts, firmware="2.2.100")) == ["mlx4-firmware-too-old"]
    assert names(with_adapter(facts, type="MT26428")) == ["connectx2-timeout-floor"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: one.name)
def test_every_record_has_a_source_and_a_way_out(record: KnownBad) -> None:
    assert record.source.startswith(("https://", "Linux ", "OFED ")) and record.what and record.way_out
    assert record.drivers or record.mode, "it is about something"
    assert len({one.name for one in RECORDS}) == len(RECORDS)
