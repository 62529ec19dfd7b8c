"""The module that brings hosts down: it does so when it is asked, and only where it may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import one_guest, quiet_plan

from harness.faults.kernel import LOADED, VARIANT, KernelFault
from harness.model.errors import ShellError
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.model.verdict import VerdictKind
from harness.results.store import RunStore
from harness.site.addressing import own_module_path
from harness.trial import run_trial
from harness.verdicts.console import scan


def _with_module() -> Topology:
    topology = one_guest()
    return replace(topology, hosts=tuple(replace(host, modules=(VARIANT,)) for host in topology.hosts))


def test_the_module_refuses_a_host_that_nobody_called_disposable(settings: Settings, tmp_path: Path) -> None:
    with live_site(settings, _with_module(), tmp_path) as site:
        target = site.role("client")
        for parameter in ("", "this_host_is_disposable=0", "inject=null"):
            with pytest.raises(ShellError, match="Operation not permitted"):
                target.shell.run(f"insmod %s {parameter}", own_module_path("harness_fault"), deadline=site.deadline(10))
            assert target.shell.run("test -d %s", LOADED, deadline=site.deadline(5), check=False).exit_code == 1
    text = (tmp_path / "client.console").read_bytes()
    assert text.count(b"harness_fault: refuses to load") == 2, (
        "one line each time, but for a parameter that fails first"
    )
    assert not scan(text)


def test_a_null_dereference_is_a_crash(settings: Settings) -> None:
    store = RunStore.create(settings.results, manifest={})
    plan = quiet_plan("null", KernelFault(role="client", what="null", at_s=4.0), topology=_with_module())
    verdict = run_trial(plan, settings=settings, store=store)
    assert verdict.kind is VerdictKind.CRASHED
    assert "NULL pointer dereference" in verdict.summary
