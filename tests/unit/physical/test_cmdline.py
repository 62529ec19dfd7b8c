"""The command line of a kernel of the run."""

from __future__ import annotations

import pytest

from harness.physical.cmdline import cmdline_of, has_token, value_of, words_of

OWNER = "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=LABEL=root ro quiet console=tty0 console=ttyS0,115200 crashkernel=256M"


def test_what_belongs_to_the_owners_boot_is_dropped_and_the_console_stays() -> None:
    words = words_of(cmdline_of(OWNER, "", "t1"))
    assert words[:4] == ["root=LABEL=root", "ro", "console=tty0", "console=ttyS0,115200"]
    assert not {"quiet", "crashkernel=256M"} & set(words)
    assert not any(word.startswith("BOOT_IMAGE") for word in words)


def test_a_panic_brings_the_owners_kernel_back_whatever_the_owner_says_of_panics() -> None:
    words = words_of(cmdline_of("panic=0 root=/dev/sda1", "", "t1"))
    assert [word for word in words if word.startswith("panic=")] == ["panic=10"]


def test_the_inventory_has_the_last_word_but_for_the_token() -> None:
    assert cmdline_of("root=/dev/sda1", "panic=30 slub_debug=P", "t1").endswith("panic=30 slub_debug=P harness.run=t1")


def test_a_command_line_of_an_earlier_run_leaves_nothing_behind() -> None:
    once = cmdline_of(OWNER, "", "t1")
    assert cmdline_of(once, "", "t2") == once.replace("t1", "t2")


def test_quotes_hold_words_together() -> None:
    assert words_of('a="b c"  d') == ['a="b c"', "d"]
    assert value_of('rootflags="subvol=@ x" init=/a init=/b', "rootflags") == "subvol=@ x"
    assert value_of("init=/a init=/b", "init") == "/b"


@pytest.mark.parametrize(("cmdline", "has"), [("a harness.run=t1", True), ("harness.run=t12", False), ("", False)])
def test_a_token_is_a_whole_word(cmdline: str, has: bool) -> None:
    assert has_token(cmdline, "t1") is has
