"""Stage 3: each direction of each pair of hosts on each link, with iperf3 and ping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.errors import InfraError, ShellError
from harness.model.observe import Silent
from harness.model.sizes import parse_bandwidth
from harness.model.topology import Link
from harness.providers import clean, provider_of
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.ground import Ground
from harness.qualify.link_figures import Figures, bandwidth_of, is_slow, judge, rtt_of
from harness.qualify.pairs import pairs_of
from harness.site.provider import Deaf, HostNeeds
from harness.site.target import Site, Target

PORT = 5299
SECONDS = 5
PINGS = 20
AGAIN = 2  # more measurements of a direction that seems slow; the best one counts
PROGRAMS = ("iperf3", "ping")
SERVE = "timeout %s iperf3 -s -1 -p %s -B %s </dev/null >/dev/null 2>&1 &"
SEND = "sleep 1; iperf3 -c %s -B %s -p %s -t %s -J"
PING = "ping -q -c %s -i 0.2 -w %s %s"


def measure_links(ground: Ground) -> list[Check]:
    """Bring all hosts up together, measure, and judge; a direction without a figure is a failed check."""
    topology = ground.everything()
    if not topology.links:
        return []
    for line in clean(ground.settings):
        ground.say(f"left by a dead run, removed: {line}")
    provider = provider_of(ground.settings, topology)
    names = {host for link in topology.links for host in link.hosts}
    needs = HostNeeds(programs=dict.fromkeys(names, PROGRAMS))
    consoles = ground.store.path / "links"
    consoles.mkdir(exist_ok=True)
    provided = provider.provide(
        topology,
        provider.prepare(topology, needs, Silent()),
        purpose="harness qualify",
        listener=Deaf(),
        console_path=lambda name: consoles / f"{name}.log",
        notes=Silent(),
        on_wait=ground.say,
        on_begin=lambda: None,
    )
    with provided as site:
        return _Measuring(ground, site).all()


@dataclass(frozen=True, slots=True)
class _Measuring:
    ground: Ground
    site: Site

    def all(self) -> list[Check]:
        figures: list[Figures] = []
        broken: list[Check] = []
        for link in self.site.topology.links:
            for sender, receiver in pairs_of(link.hosts):
                self.ground.say(f"links: {sender} → {receiver} ({link.name})")
                try:
                    figures.append(self._once(link, sender, receiver))
                except (InfraError, ValueError) as error:
                    broken.append(_broken(link, sender, receiver, error))
        expected = dict(self._expected())
        best = [self._confirmed(figures, one, expected) for one in figures]
        return [*broken, *judge(best, expected)]

    def _expected(self) -> Iterator[tuple[str, float]]:
        for host in self.ground.hosts:
            if host.owned is not None and "bandwidth" in host.owned.expect:
                yield host.name, parse_bandwidth(host.owned.expect["bandwidth"])

    def _confirmed(self, figures: list[Figures], one: Figures, expected: dict[str, float]) -> Figures:
        """The best of several measurements, if the first one seems slow: another load may have been in the way."""
        link = next(link for link in self.site.topology.links if link.name == one.link)
        for _ in range(AGAIN):
            if not is_slow(figures, one, expected):
                break
            self.ground.say(f"links: {one.sender} → {one.receiver} ({one.link}) seems slow, again")
            try:
                again = self._once(link, one.sender, one.receiver)
            except (InfraError, ValueError):
                continue
            one = max(one, again, key=lambda figure: figure.mbit_s)
        return one

    def _once(self, link: Link, sender: str, receiver: str) -> Figures:
        source, sink = self.site.targets[sender], self.site.targets[receiver]
        here, there = (_address(target, link) for target in (source, sink))
        within = self.site.deadline(SECONDS + 30)
        sink.shell.run(SERVE, int(within.remaining) + 1, PORT, there, deadline=within)
        sent = source.shell.run(SEND, there, here, PORT, SECONDS, deadline=within, check=False)
        pinged = source.shell.run(PING, PINGS, PINGS, there, deadline=within, check=False)
        return Figures(
            sender=sender,
            receiver=receiver,
            link=link.name,
            mbit_s=bandwidth_of(sent.stdout or sent.stderr),
            rtt_ms=rtt_of(pinged.stdout),
        )


def _address(target: Target, link: Link) -> str:
    return target.interface(link.name).address.partition("/")[0]


def _broken(link: Link, sender: str, receiver: str, error: Exception) -> Check:
    problem = error.problem if isinstance(error, ShellError) else (str(error).splitlines() or ["?"])[0]
    return Check(
        stage=StageName.LINKS,
        hosts=(sender, receiver),
        link=link.name,
        what="bandwidth",
        grade=Grade.FAIL,
        measured="nothing",
        reason=problem,
        remedy=f"the cable and the ports of {link.name}",
    )
