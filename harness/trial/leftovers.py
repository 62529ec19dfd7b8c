"""Leftovers of a trial on its hosts: compares the state before and after, and records differences."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.events import Note
from harness.model.power import PowerState
from harness.monitors.recorder import Recorder
from harness.site.target import Site, Target

LOOK_S = 10.0
POWER_S = 5.0
# One line for each item. Settings that are counters or triggers change when read, so they are skipped.
LOOK = """\
awk '{print "mount", $2, $3}' /proc/mounts; awk 'NR > 1 {print "swap", $1}' /proc/swaps
awk '{print "module", $1}' /proc/modules; ip -o -4 address | awk '{print "address", $2, $4}'
cd /proc/sys/vm && for key in *; do case $key in drop_caches|stat_refresh|compact_memory) continue;; esac
[ -f $key ] && read -r value <$key && echo "setting vm.$key $value"; done
ps -e -o ppid=,comm= | awk '$1 != 2 && $2 != "awk" && $2 != "ps" {print "process", $2}'"""
# A module in use stays; its dependencies can be unloaded after it. A module stays in use for a moment after its last
# user is gone, until its kernel threads end. So if none can be unloaded, wait up to 8 times, and anew after each one
# that was, since the modules that it used may take a moment as well.
UNLOAD = """\
patience=8; while [ $patience -gt 0 ]; do gone= left=
for module in $(awk '$3 == 0 {print $1}' /proc/modules); do case " NEW " in *" $module "*)
rmmod $module 2>/dev/null && gone=yes;; esac; done
for module in $(awk '{print $1}' /proc/modules); do case " NEW " in *" $module "*) left=yes;; esac; done
[ "$left" ] || break; patience=$((patience - 1)); [ "$gone" ] && patience=8 || sleep 0.25; done; true"""


class Leftovers:
    """Records the state of every host of a site before a trial, and compares it afterwards."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._before: dict[str, set[str]] = {}

    def look(self, site: Site) -> None:
        """Record the state before the trial; raises HarnessError if a host does not answer."""
        self._before = {target.name: _seen(site, target) for target in site.targets.values()}

    def compare(self, site: Site) -> None:
        """Unload new modules that nothing uses, and record every other difference."""
        for target in site.targets.values():
            power = target.power.state(deadline=site.deadline(POWER_S))
            if power is PowerState.ON and target.name in self._before:
                self._compare(site, target, self._before[target.name])

    def _compare(self, site: Site, target: Target, before: set[str]) -> None:
        after = _seen(site, target)
        if modules := [line.split()[1] for line in sorted(after - before) if line.startswith("module ")]:
            target.shell.run(UNLOAD.replace("NEW", " ".join(modules)), deadline=site.deadline(LOOK_S))
            after = _seen(site, target)
        for what, lines in changes(before, after).items():
            self._recorder.emit(Note(text=f"{what}: {', '.join(lines)}"), target.name)


def changes(before: set[str], after: set[str]) -> Mapping[str, list[str]]:
    """Items that are new, and items that are gone; a changed setting is both. Processes that ended do not count."""
    new, gone = sorted(after - before), sorted(line for line in before - after if not line.startswith("process "))
    return {what: lines for what, lines in (("left behind", new), ("not put back", gone)) if lines}


def _seen(site: Site, target: Target) -> set[str]:
    text = target.shell.run(LOOK, deadline=site.deadline(LOOK_S), check=False).stdout
    return {line for line in text.splitlines() if line}
