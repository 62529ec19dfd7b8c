"""Power over Redfish, with sushy. TLS is always verified: by a file of authorities, or by a pinned certificate."""

from __future__ import annotations

import hashlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from harness.drivers.bmc.base import ASK_S, PowerDriver
from harness.drivers.commands import printable
from harness.drivers.secrets import password_of
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.power import PowerState

STATES = {"on": PowerState.ON, "off": PowerState.OFF}
# In the order of preference: the gentlest that does it for certain.
WAYS = {"on": ("On", "ForceOn"), "off": ("ForceOff",), "nmi": ("Nmi",)}
T = TypeVar("T")


class RedfishPower(PowerDriver):
    """A system of a Redfish service; each request logs in, since a session ends when the BMC restarts."""

    source = "Redfish"

    def ask(self, deadline: Deadline) -> PowerState:
        """See `PowerDriver.ask`."""
        state = self._system(lambda system: system.power_state, deadline)
        return STATES.get(str(getattr(state, "value", state)).lower(), PowerState.UNKNOWN)

    def act(self, action: str, deadline: Deadline) -> None:
        """See `PowerDriver.act`."""
        self._reset(action, deadline)

    def identity(self, *, deadline: Deadline) -> str:
        """See `PowerDriver.identity`."""
        try:
            return str(self._system(lambda system: system.uuid, deadline) or "")
        except HarnessError:
            return ""

    def inject_nmi(self) -> None:
        """See `NmiInjector.inject_nmi`."""
        self._reset("nmi", Deadline.after(ASK_S))

    def _reset(self, action: str, deadline: Deadline) -> None:
        def reset(system: Any) -> None:
            # Asked for, because some services take a type that they do not know, and do nothing.
            allowed = {str(getattr(value, "value", value)) for value in system.get_allowed_reset_system_values()}
            way = next((way for way in WAYS[action] if way in allowed), None)
            if way is None:
                known = ", ".join(sorted(allowed)) or "nothing"
                raise InfraError(f"Redfish of {self.host} cannot do {WAYS[action][0]}; it offers {printable(known)}")
            import sushy

            system.reset_system(sushy.ResetType(way))

        self._system(reset, deadline)

    def _system(self, act: Callable[[Any], T], deadline: Deadline) -> T:
        """Act upon the system on a thread of its own, since the library waits as long as it likes."""
        done: list[T] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                done.append(act(self._log_in(deadline)))
            except BaseException as error:
                failed.append(error)

        within = deadline.within(ASK_S)
        thread = threading.Thread(target=work, name=f"redfish {self.host}", daemon=True)
        thread.start()
        thread.join(within.remaining)
        if done:
            return done[0]
        if failed:
            raise self._explained(failed[0])
        raise InfraError(f"Redfish of {self.host} at {self.spec.address} does not answer")

    def _log_in(self, deadline: Deadline) -> Any:
        import sushy
        import sushy.auth

        password = password_of(self.spec, self.host, deadline)
        with self._authorities(deadline) as verify:
            service = sushy.Sushy(
                self.spec.address,
                auth=sushy.auth.BasicAuth(username=self.spec.user, password=password),
                verify=verify,
                server_side_retries=0,
                connect_timeout=int(ASK_S),
                read_timeout=int(ASK_S),
            )
            if self.spec.system:
                return service.get_system(f"/redfish/v1/Systems/{self.spec.system}")
            return service.get_system()  # the only one; sushy refuses if there are several

    @contextmanager
    def _authorities(self, deadline: Deadline) -> Iterator[str]:
        """The file with which TLS is verified: `ca`, or the certificate that has the pinned fingerprint."""
        if self.spec.ca:
            yield self.spec.ca
            return
        certificate = self._certificate(deadline)
        found = hashlib.sha256(certificate).hexdigest()
        if found != self.spec.fingerprint.replace(":", "").lower():
            raise InfraError(
                f"Redfish of {self.host} shows another certificate than the pinned one: its SHA-256 is {found}; "
                "if its owner changed it, write that as fingerprint"
            )
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(ssl.DER_cert_to_PEM_cert(certificate))
            file.flush()
            yield file.name

    def _certificate(self, deadline: Deadline) -> bytes:
        parts = urlsplit(self.spec.address)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # only to look at it; nothing is sent
        where = (parts.hostname or "", parts.port or 443)
        with (
            socket.create_connection(where, timeout=max(0.1, deadline.remaining)) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as wrapped,
        ):
            return wrapped.getpeercert(binary_form=True) or b""

    def _explained(self, error: BaseException) -> HarnessError:
        if isinstance(error, HarnessError):
            return error
        name, text = type(error).__name__, printable(str(error))
        if name == "AccessError":
            problem = "refuses the user or password"
        elif "CERTIFICATE_VERIFY_FAILED" in str(error):
            problem = "shows a certificate that is not trusted; name its authority with ca, or pin it with fingerprint"
        elif isinstance(error, OSError) or "ConnectionError" in name or "Max retries" in text:
            problem = "does not answer"
        else:
            problem = f"says: {name}: {text}"
        return InfraError(f"Redfish of {self.host} at {self.spec.address} {problem}")
