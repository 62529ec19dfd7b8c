"""The ladder of a host: the agent's samples as they arrive, and the rungs sampled from this machine.

Every rung gives one event a second, whether it answered or is blocked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from harness.drivers.protocols import Shell, VcpuAccounting, VcpuTimes
from harness.model.clock import Clock, Deadline
from harness.model.errors import HarnessError
from harness.model.events import Counters, Heartbeat, Rung, RungSample, WorkloadProgress
from harness.model.power import PowerState
from harness.monitors.recorder import Recorder
from harness.site.target import Target

PERIOD_S = 1.0
BEAT_S = 0.5  # harness/agent/agent.py, INTERVAL_S
SHELL_PERIOD_S = 5.0  # a new session costs a guest under emulation 60 ms of its processor
PROBE_LIMIT_S = 600.0
PROMPT_S = 0.1  # for a power control that answers at once, like libvirt
MISSED_BEATS = 4
# Shell builtins only, so no program has to be started. harness/agent/agent.py, PID_FILE.
AGENT_STATE = 'read p </run/harness/agent.pid && read s </proc/$p/stat && echo "$s"; :'
AGENT_RUNGS = (Rung.ALLOC, Rung.FORK, Rung.WORK, Rung.DISK, Rung.NET, Rung.STORAGE)


class AgentRungs:
    """Turns the agent's records of one host into events."""

    def __init__(self, host: str, recorder: Recorder, clock: Clock) -> None:
        self._host, self._recorder, self._clock = host, recorder, clock
        self._last_beat: float | None = None
        self._gap = 0.0
        self._ladder_due = 0.0

    def on_record(self, record: dict[str, Any]) -> None:
        """Take in one record; called on the thread of the agent's serial port."""
        if "b" in record:
            self._on_beat(record)
        elif "v" in record:
            self._recorder.emit(Counters(record["v"]), self._host)

    def _on_beat(self, record: dict[str, Any]) -> None:
        now = self._clock.monotonic()
        self._gap = now - self._last_beat if self._last_beat is not None else 0.0
        self._last_beat = now
        ticks = tuple(record.get("c", ()))
        self._recorder.emit(Heartbeat(seq=record["b"], uptime_s=record["u"], ticks=ticks), self._host)
        if record.get("w") is not None:
            ops, count, workers, finished, failed, alive = record["w"]
            progress = WorkloadProgress(
                ops=ops, bytes=count, workers=workers, finished=finished, failed=failed, alive=alive
            )
            self._recorder.emit(progress, self._host)
        if now >= self._ladder_due:
            self._ladder_due = now + PERIOD_S - BEAT_S / 2
            for rung in AGENT_RUNGS:
                self._sample(rung, record["p"].get(rung.value))

    def _sample(self, rung: Rung, sample: list[Any] | None) -> None:
        if sample is None:
            return
        latency, blocked, errors, detail = sample
        self._recorder.emit(
            RungSample(rung=rung, ok=not detail, latency_s=latency, blocked_s=blocked, errors=errors, detail=detail),
            self._host,
        )

    def heartbeat(self) -> None:
        """Emit the heartbeat rung: the newest gap between beats, or the time since the last beat."""
        if self._last_beat is None:
            return
        silence = self._clock.monotonic() - self._last_beat
        missing = silence > MISSED_BEATS * BEAT_S
        self._recorder.emit(
            RungSample(
                rung=Rung.HEARTBEAT,
                ok=not missing,
                latency_s=max(0.0, self._gap - BEAT_S),
                blocked_s=silence if missing else None,
            ),
            self._host,
        )


class BackgroundProbe:
    """Runs a probe that may block on its own thread; its state is available at any time."""

    def __init__(self, sample: Callable[[], Mapping[str, object]], period_s: float, clock: Clock, name: str) -> None:
        self._sample, self._period_s, self._clock = sample, period_s, clock
        self._begun = clock.monotonic()
        self._learnt: Mapping[str, object] = {}
        self._started: float | None = None
        self._latency: float | None = None
        self._detail = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; a sample under way is left to its deadline."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = self._started = self._clock.monotonic()
            try:
                self._learnt = self._sample()
                self._detail = ""
            except Exception as error:  # a probe that ends silently would look blocked for ever
                self._detail = (str(error) or repr(error)).splitlines()[0]
            self._latency, self._begun = self._clock.monotonic() - begun, begun
            self._started = None
            self._stop.wait(max(0.2, self._period_s - self._latency))

    def state(self) -> dict[str, Any]:
        """Latency of the last sample, the time since it began, and the duration of a sample under way."""
        started, now = self._started, self._clock.monotonic()
        return {
            **self._learnt,
            "age_s": round(now - self._begun, 3),
            "ok": not self._detail,
            "latency_s": self._latency,
            "blocked_s": now - started if started is not None else None,
            "detail": self._detail,
        }


def shell_sample(shell: Shell) -> Callable[[], Mapping[str, object]]:
    """Opens a new SSH session for each sample; it reports the state of the agent's process, "" if there is none."""

    def sample() -> Mapping[str, object]:
        done = shell.run(AGENT_STATE, deadline=Deadline.after(PROBE_LIMIT_S))
        return {"agent": done.stdout.rpartition(") ")[2][:1].strip()}

    return sample


class Echo:
    """Sends a byte over the management network and back, on one TCP connection that is made again when it breaks.

    It uses TCP because QEMU's user-mode network with `restrict` drops a guest's answers to forwarded UDP.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._connection: socket.socket | None = None

    def sample(self) -> Mapping[str, object]:
        """Send a byte and wait, without a limit, until it is back; raises OSError."""
        connection = self._connection  # a local reference: `close` may clear the attribute at any moment
        if connection is None:
            connection = self._connection = socket.create_connection(self._address, timeout=PROBE_LIMIT_S)
        try:
            connection.sendall(b"h")
            if not connection.recv(1):
                raise ConnectionResetError("the echo closed the connection")
        except OSError:
            self.close()
            raise
        return {}

    def close(self) -> None:
        """Close the connection, even during a sample."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class PowerProbe:
    """Asks, on its own thread, for the power state of one host and the CPU time of its processors.

    It asks each tick, or as often as the source allows (`Power.period_s`); ticks in between report the last answer.

    An answer within PROMPT_S is reported in the same tick. A slow power control, such as a BMC, does not delay the
    ticker: each tick reports how long the request has taken so far, and the tick after the answer reports the answer.
    """

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target, self._clock = target, clock
        self._asking: threading.Thread | None = None
        self._begun = self._due = 0.0
        self._answer = RungSample(rung=Rung.VCPU, ok=True)

    def look(self) -> RungSample:
        """The rung: the answer, or the duration of the request so far, without `detail`."""
        if self._asking is None:
            if self._clock.monotonic() < self._due:
                return self._answer
            self._begun = self._clock.monotonic()
            self._due = self._begun + self._target.power.period_s - PERIOD_S  # a tick may come a little early
            self._asking = threading.Thread(target=self._ask, name=f"power {self._target.name}", daemon=True)
            self._asking.start()
        self._asking.join(PROMPT_S)
        if self._asking.is_alive():
            blocked = self._clock.monotonic() - self._begun
            return RungSample(rung=Rung.VCPU, ok=self._answer.ok, blocked_s=blocked)
        self._asking = None
        return self._answer

    def _ask(self) -> None:
        try:
            state = self._target.power.state(deadline=Deadline.after(PROBE_LIMIT_S))
            detail, times = state.value, self._times() if state is PowerState.ON else None
        except Exception as error:  # else the last answer would be reported again
            detail, times = (str(error) or repr(error)).splitlines()[0], None
        on = detail == PowerState.ON
        self._answer = RungSample(
            rung=Rung.VCPU,
            ok=on,
            latency_s=self._clock.monotonic() - self._begun if on else None,
            detail=detail,
            cpu_ns=None if times is None else times.cpu_ns,
            processors=None if times is None else times.processors,
        )

    def _times(self) -> VcpuTimes | None:
        accounting = self._target.find(VcpuAccounting)
        try:
            return None if accounting is None else accounting.vcpu_times()
        except HarnessError:
            return None  # the host has gone since its state was read


class HostMonitor:
    """The ladder of one host."""

    def __init__(self, target: Target, agent: AgentRungs, recorder: Recorder, clock: Clock) -> None:
        self._target, self._agent, self._recorder = target, agent, recorder
        self._power = PowerProbe(target, clock)
        self._echo: Echo | None = None
        self._probes = {
            Rung.SHELL: BackgroundProbe(shell_sample(target.probe_shell), SHELL_PERIOD_S, clock, f"shell {target.name}")
        }
        if not target.peers and target.echo is not None:
            self._echo = Echo(target.echo)
            self._probes[Rung.NET] = BackgroundProbe(self._echo.sample, PERIOD_S, clock, f"echo {target.name}")

    def start(self) -> None:
        """Begin to sample."""
        for probe in self._probes.values():
            probe.start()

    def stop(self) -> None:
        """Stop sampling."""
        for probe in self._probes.values():
            probe.stop()
        if self._echo is not None:
            self._echo.close()

    def tick(self) -> None:
        """Emit the rungs sampled from this machine; call it once a second."""
        self._recorder.emit(self._power.look(), self._target.name)
        self._agent.heartbeat()
        for rung, probe in self._probes.items():
            self._recorder.emit(RungSample(rung=rung, **probe.state()), self._target.name)
