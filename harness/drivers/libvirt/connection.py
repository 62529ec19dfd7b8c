"""The connection to libvirt: by default its QEMU driver inside this process, without a daemon."""

from __future__ import annotations

import contextlib
import os
import pwd
import threading
from pathlib import Path
from typing import Any

from harness.model.errors import HostEnvironmentError
from harness.model.settings import EMBEDDED

# The embedded driver's own log daemon and security drivers need a host that is set up for libvirtd.
EMBEDDED_CONF = """\
stdio_handler = "file"
"""
EMBEDDED_CONF_ROOT = """\
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
user = "{user}"
group = "{group}"
"""

_loop_lock = threading.Lock()
_loop_running = False


def libvirt_module() -> Any:
    """The libvirt bindings, quiet, with a running event loop; the embedded driver needs one before it is opened."""
    global _loop_running
    # Unless this is set before its first use, libvirt prints warnings to stderr; errors come as exceptions anyway.
    os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
    try:
        import libvirt
    except ImportError as error:
        raise HostEnvironmentError(f"libvirt-python cannot be loaded ({error})", remedy="run `make setup`") from error
    with _loop_lock:
        if not _loop_running:
            libvirt.virEventRegisterDefaultImpl()
            # The bindings also print every error, unless an error handler is registered.
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            threading.Thread(target=_run_loop, args=(libvirt,), name="libvirt events", daemon=True).start()
            _loop_running = True
    return libvirt


def _run_loop(libvirt: Any) -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


def embedded_uri(root: Path) -> str:
    """The URI of an embedded driver that keeps everything below `root`; writes its configuration."""
    etc = root / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    text = EMBEDDED_CONF
    if os.geteuid() == 0:
        user = pwd.getpwuid(0).pw_name
        text += EMBEDDED_CONF_ROOT.format(user=user, group=user)
    (etc / "qemu.conf").write_text(text)
    return f"qemu:///embed?root={root}"


def connect(uri: str, root: Path) -> Any:
    """An open libvirt connection; raises HostEnvironmentError, in one line, if it does not answer."""
    libvirt = libvirt_module()
    real_uri = embedded_uri(root) if uri == EMBEDDED else uri
    try:
        return libvirt.open(real_uri)
    except libvirt.libvirtError as error:
        raise HostEnvironmentError(
            f"libvirt at {real_uri} does not answer: {_first_line(error)}",
            remedy="see `harness doctor`, or leave --harness-uri out to use the embedded driver",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else error.__class__.__name__
