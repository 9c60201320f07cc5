"""What every token of the tests has: its module, its PIN file, and the environment that its module needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger_client.tokens.calls import STANDARD, Limits
from ledger_client.tokens.pin import Pin
from ledger_client.tokens.token import Token, forget_modules

PIN = "135790"
SO_PIN = "2468013579"


@dataclass(frozen=True)
class Engine:
    """A token called ``label``; ``env`` is what a process needs to reach it through ``module``."""

    folder: Path
    module: Path
    label: str
    env: dict[str, str]

    @property
    def pin_file(self) -> Path:
        """Holds the PIN, mode 0600."""
        return self.folder / "pin"

    @property
    def note(self) -> Path:
        """Where a refused PIN is noted."""
        return self.folder / "pin-refused"

    def uri(self, key: str) -> str:
        """The URI of a key in it."""
        return f"pkcs11:token={self.label};object={key}"

    def options(self, key: str, name: str = "--key-uri") -> list[str]:
        """The options of a ledger's commands that say which key it is."""
        return [name, self.uri(key), "--pkcs11-module", str(self.module), "--pin-file", str(self.pin_file)]

    def token(self, limits: Limits = STANDARD) -> Token:
        """The way in."""
        return Token(self.module, Pin(self.pin_file, self.note), limits)

    def write_pin(self, pin: str) -> None:
        """Have the PIN file hold this."""
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(pin + "\n")


@contextmanager
def reachable(env: dict[str, str]) -> Iterator[None]:
    """Let modules in this process have an environment; their threads end with it."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        forget_modules()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
