"""The canaries' board (harness/monitors/instruments/guest/canaries.py): times in buckets, percentiles, drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.guest.board import RUN, STOP
from harness.model.errors import InfraError
from harness.monitors.instruments.guest.canaries import BUCKETS, FIELDS, PER_DOUBLING

WORDS = [word.decode().strip() for word in (RUN, STOP)]
BAR = 50  # characters of the longest bar of a drawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The durations of one canary's samples.

    Times are in milliseconds; `worst_at_s` is in seconds since the host's boot. `counts` has the number of samples in
    each bucket: bucket 0 is below 1 ms, bucket n is from 2^((n-1)/4) ms to 2^(n/4) ms. A sample still under way counts
    with its duration so far.
    """

    name: str
    samples: int
    failures: int
    worst_ms: float
    worst_at_s: float
    counts: tuple[int, ...]

    def percentile(self, share: float) -> float:
        """Milliseconds below which `share` of the samples stayed: the end of a bucket, so at most 19 % too high.

        The result never exceeds the worst sample, which is known exactly; 0.0 without samples.
        """
        wanted, seen = share * self.samples, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return min(self.worst_ms, end_ms(bucket))
        return self.worst_ms


def end_ms(bucket: int) -> float:
    """The end of a bucket in milliseconds."""
    return float(2 ** (bucket / PER_DOUBLING))


def read_board(text: str, now_s: float) -> list[Times]:
    """The times on a board at `now_s` of the host's clock; raises InfraError if the text is no board."""
    first, *lines = text.splitlines() or [""]
    if first.strip() not in WORDS:
        raise InfraError(f"no board of canaries: it begins with {first[:20]!r}")
    return [_times(line.split(), now_s) for line in lines]


def _times(words: Sequence[str], now_s: float) -> Times:
    if len(words) != 1 + FIELDS + BUCKETS:
        raise InfraError(f"a line of a board has {len(words)} words, not {1 + FIELDS + BUCKETS}")
    samples, failures, worst_us, worst_at, since, *counts = (int(word) for word in words[1:])
    worst_ms, worst_at_s = worst_us / 1000, worst_at / 1000
    if since:
        waited_ms = max(0.0, now_s * 1000 - since)
        samples += 1
        counts[_bucket(waited_ms)] += 1
        if waited_ms > worst_ms:
            worst_ms, worst_at_s = waited_ms, since / 1000
    return Times(
        name=words[0],
        samples=samples,
        failures=failures,
        worst_ms=worst_ms,
        worst_at_s=worst_at_s,
        counts=tuple(counts),
    )


def _bucket(milliseconds: float) -> int:
    return next((bucket for bucket in range(BUCKETS) if milliseconds < end_ms(bucket)), BUCKETS - 1)


def draw(calm: Sequence[Times], load: Sequence[Times]) -> str:
    """Both distributions of every canary side by side, as text: share of the samples by time."""
    quiet = {times.name: times for times in calm}
    parts = [_drawing(times.name, quiet[times.name], times) for times in load if times.name in quiet]
    return "\n".join(parts)


def _drawing(name: str, calm: Times, load: Times) -> str:
    used = [bucket for bucket in range(BUCKETS) if calm.counts[bucket] or load.counts[bucket]]
    lines = [f"{name}: {calm.samples} samples calm, {load.samples} under load, worst {load.worst_ms:.1f} ms"]
    lines.append(f"{'up to ms':>10}  {'calm':<{BAR}}  under load")
    for bucket in range(min(used, default=0), max(used, default=-1) + 1):
        bars = [_bar(times, bucket) for times in (calm, load)]
        lines.append(f"{end_ms(bucket):10.1f}  {bars[0]:<{BAR}}  {bars[1]}".rstrip())
    return "\n".join(lines) + "\n"


def _bar(times: Times, bucket: int) -> str:
    """A bar as long as the bucket's share of the samples; a single sample is always visible."""
    count = times.counts[bucket]
    return "#" * max(1, round(BAR * count / times.samples)) if count else ""
