"""Commands of a test's own process, and how one refuses a configuration."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from gateway.cli.app import main


def meterseal(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and error of `meterseal`; a traceback fails the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(path: Path, *words: str) -> None:
    """`check` says one message on stderr that holds the file, every one of ``words`` and a way out; exit code 2."""
    code, out, err = meterseal("check", path)
    assert code == 2, err
    assert out == ""
    assert any(line.startswith(f"meterseal: {path.parent}") for line in err.splitlines()), err
    assert "fix: " in err
    for word in words:
        assert word in err, f"{word!r} not in {err!r}"
