from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.sizes import format_size, parse_size
from harness.model.topology import GIB, KIB, MIB


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256 MiB", 256 * MIB),
        ("256M", 256 * MIB),
        ("256m", 256 * MIB),
        (" 1.5 GiB ", 3 * GIB // 2),
        ("1.5G", 3 * GIB // 2),
        ("512 kib", 512 * KIB),
        ("4096 B", 4096),
        ("1 TiB", 1024 * GIB),
        ("0.5 KiB", 512),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no size"),
        ("lots", "is no size"),
        ("-1 MiB", "is no size"),
        ("1e3 MiB", "is no size"),
        ("1,5 GiB", "is no size"),
        ("٣ MiB", "is no size"),
        ("9" * 5000 + " MiB", "is no size"),
        ("256", "has no unit"),
        ("256 MB", "ambiguous unit MB"),
        ("256 gb", "ambiguous unit gb"),
        ("256 Mib/s", "is no size"),
        ("256 parsecs", "unknown unit parsecs"),
        ("0.3 B", "whole number of bytes"),
    ],
)
def test_parse_size_refuses(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_size(text)


@given(st.integers(min_value=1, max_value=1023), st.sampled_from([1, KIB, MIB, GIB]))
def test_format_size_reads_back(count: int, unit: int) -> None:
    assert parse_size(format_size(count * unit)) == count * unit
