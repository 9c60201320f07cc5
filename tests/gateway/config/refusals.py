"""How `check` refuses a configuration."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import gateway_command


def refused(path: Path, *words: str) -> None:
    """`check` says one message on stderr that holds the file, every one of ``words`` and a way out; exit code 2."""
    code, out, err = gateway_command("check", path)
    assert code == 2, err
    assert out == ""
    assert any(line.startswith(f"meterseal: {path.parent}") for line in err.splitlines()), err
    assert "fix: " in err
    for word in words:
        assert word in err, f"{word!r} not in {err!r}"
