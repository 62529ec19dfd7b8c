"""What is known of the hardware that a trial's links lead over, from what the history says of its hosts."""

from __future__ import annotations

from collections.abc import Iterable

from harness.model.events import HostRecord
from harness.model.history import Event, select


def known_bad(events: Iterable[Event]) -> list[str]:
    """One line for each link that leads over hardware which is known to hang or to mislead, and the way out."""
    return [line for event, record in select(events, HostRecord) for line in _lines(event.host, record)]


def _lines(host: str, record: HostRecord) -> Iterable[str]:
    entries = record.facts.get("known_bad")
    for entry in entries if isinstance(entries, list | tuple) else ():
        if isinstance(entry, dict) and (links := entry.get("links")):
            on = ", ".join(map(str, links)) if isinstance(links, list | tuple) else str(links)
            what, way_out, source = (entry.get(key, "") for key in ("what", "way_out", "source"))
            yield f"{host}, link {on} over {entry.get('device', '?')}: {what}; {way_out} [{source}]"
