"""Doctor interface: a finding, a check and its context, and connection tests that run in parallel."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from gateway.config.device_keys import load_site_trust
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process.file_owner import OWN_USER
from gateway.storage.database import Database
from gateway.storage.files import missing
from ledger_client.errors import TrustFileError
from ledger_client.verification.trust import Trust

Result = Literal["ok", "warn", "bad"]
T = TypeVar("T")
CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, how it is, in plain words, and the way out where it is not well.

    ``bad``: the gateway cannot do what it is for, or soon cannot. ``warn``: it can, and somebody should know.
    """

    check: str
    result: Result
    text: str
    way_out: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "check": self.check,
            "result": self.result,
            "text": self.text,
            "way_out": self.way_out or None,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The gateway that is looked at: its configuration, who runs it now, its database and trust file if they open.

    ``store`` is None where there is no database yet, or where it cannot be opened (``store_trouble`` says why);
    ``full`` asks for checks that take as long as they need.
    """

    config: Config
    now_ms: int
    pid: int | None
    store: Database | None
    store_trouble: GatewayError | None
    trust: Trust | None
    trust_trouble: TrustFileError | None
    full: bool = False

    @classmethod
    def of(cls, config: Config, now_ms: int, *, pid: int | None, full: bool = False) -> CheckContext:
        """The case as it is now, with the process ``pid`` at work in its data folder. Changes nothing: not even the
        files that SQLite would leave beside a resting database."""
        store, store_trouble = None, None
        try:
            if config.database.exists() or missing(config.database):
                store = Database(config.database, read_only=True, at_rest=pid is None)
        except GatewayError as error:
            store_trouble = error
        except OSError as error:
            store_trouble = GatewayError(f"{config.database}: {error.strerror}", OWN_USER)
        trust, trust_trouble = None, None
        try:
            trust = load_site_trust(config)
        except TrustFileError as error:
            trust_trouble = error
        return cls(config, now_ms, pid, store, store_trouble, trust, trust_trouble, full)

    @property
    def folder(self) -> Path:
        """The data folder, or where it will be made: the nearest folder that exists."""
        folder = self.config.data.resolve()
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        return folder


class Check(Protocol):
    """Looks at one thing and says how it is; it may say several things, and changes nothing."""

    def __call__(self, case: CheckContext) -> Iterator[Finding]: ...


def at_once(look: Callable[[T], Finding], things: Sequence[T]) -> list[Finding]:
    """Look at several things that may let one wait, all at the same time."""
    if not things:
        return []
    with ThreadPoolExecutor(len(things)) as pool:
        return list(pool.map(look, things))


def connect(host: str, port: int) -> str | None:
    """Why nothing listens there, None when something does."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
