"""Keeps a reserved host: shows at intervals that its holder lives, on the host and to its agent."""

from __future__ import annotations

import threading
from collections.abc import Callable

from harness.drivers.protocols import AgentLink, Shell
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError, ShellError
from harness.physical.reservation import BEAT_S, beat

ANSWER_S = 20.0
# A host whose holder is dead reboots by itself after so long. Over SSH no order reaches the agent of a host that
# hangs, so it must outlast a trial's patience, its evidence and its recovery probe on a slow host.
LEASH_S = 900


class Keeper:
    """A thread that keeps one host until it is closed. `error` says that somebody else has taken the host over."""

    def __init__(self, host: str, shell: Shell, token: str) -> None:
        self.error: InfraError | None = None
        self._host, self._shell, self._token = host, shell, token
        self._agent: AgentLink | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keep {host}", daemon=True)
        self._thread.start()

    def watch(self, agent: AgentLink | None) -> None:
        """Keep the leash of this agent as well; None to stop."""
        self._agent = agent

    def _run(self) -> None:
        while not self._closed.wait(BEAT_S):
            self._try(lambda: beat(self._shell, self._host, self._token, Deadline.after(ANSWER_S)))
            if (agent := self._agent) is not None:
                self._try(lambda: self._lengthen(agent))

    def _lengthen(self, agent: AgentLink) -> None:
        agent.ask("leash", seconds=LEASH_S, deadline=Deadline.after(ANSWER_S))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except ShellError:
            pass  # the host may hang, which is what it is here for
        except InfraError as error:
            self.error = error
        except HarnessError:
            pass

    def close(self) -> None:
        """Stop; never raises."""
        self._closed.set()
        self._shell.close()
        self._thread.join(timeout=1.0)
