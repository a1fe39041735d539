"""The page's script comes from a process of its own, and ends with it."""

from __future__ import annotations

import sys

import pytest

from scoville.report import script


def test_the_text_can_stand_in_a_script_element(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_PROGRAM", "print('a</script><!--b')")
    with script.Script() as made:
        assert made.text() == made.text() == "a<\\/script><\\!--b\n"


def test_where_the_process_fails_the_script_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    monkeypatch.setattr(script, "_PROGRAM", "raise SystemExit(1)")
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _: "made here")
    with script.Script() as made:
        assert made.text() == "made here"


def test_the_process_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_PROGRAM", "import sys; sys.stdin.read() or input()")
    with script.Script() as made:
        process = made._process
    assert process.poll() is not None
    assert sys.executable in process.args  # type: ignore[operator]
