"""Check of the doctor: its interface, its context and what it finds; run.py lists all checks.

Sentences of findings stand in gateway/messages/en.toml and zh.toml.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from gateway.config.device_keys import load_site_trust
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.fieldbus.wire.errors import connection_error
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.storage.database import Database
from gateway.storage.files import missing
from ledger_client import messages
from ledger_client.errors import LedgerClientError, TrustFileError
from ledger_client.verification.trust import Trust

Result = Literal["ok", "warn", "bad"]
T = TypeVar("T")
CONNECT_S = 2.0
OF_MANY = ("meter", "line", "ledger", "feed")
"""First words of checks that are made of each of several."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check, with a message, with a fix where it is not ok; ``facts`` are for programs.

    ``bad``: the gateway cannot work, or soon cannot. ``warn``: it works, and the operator should know.
    """

    check: str
    result: Result
    message: messages.Message
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The first word of the check: meter, line, ledger, feed; of others all of it."""
        first, _, rest = self.check.partition(" ")
        return first if rest and first in OF_MANY else self.check

    @property
    def of(self) -> str:
        """Which meter, line, ledger or feed; "" of other checks."""
        return self.check[len(self.kind) + 1 :]

    @property
    def text(self) -> str:
        """The message in English, without its fix."""
        return self.message.problem

    @property
    def way_out(self) -> str:
        """The fix in English; ``""`` where there is none."""
        return self.message.way_out

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "check": self.check,
            "result": self.result,
            "text": self.text,
            "way_out": self.way_out or None,
            "facts": dict(self.facts),
        }


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """What is found alike of several meters, lines or ledgers once, in the place of the first, as "meter a, b, c"."""
    alike: dict[tuple[str, Result, messages.Message, str], list[Finding]] = {}
    for one in findings:
        alike.setdefault((one.kind, one.result, one.message, repr(one.facts)), []).append(one)
    return [
        replace(same[0], check=f"{kind} {', '.join(dict.fromkeys(one.of for one in same))}".rstrip())
        for (kind, *_), same in alike.items()
    ]


@dataclass(frozen=True, slots=True)
class CheckContext:
    """Context of the checks: configuration, running process, database and trust file if they open.

    ``store`` is None where there is no database yet, or where it cannot be opened (``store_trouble``: why not);
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
        """The context now, with process ``pid`` running in the data folder (None: none runs). Changes nothing: not even
        the files that SQLite would leave beside a database at rest."""
        store, store_trouble = None, None
        try:
            if config.database.exists() or missing(config.database):
                store = Database(config.database, read_only=True, at_rest=pid is None)
        except GatewayError as error:
            store_trouble = error
        except OSError as error:
            at = str(config.database)
            store_trouble = GatewayError(Message("user-not-owner", path=at, error=os_error(error)))
        trust, trust_trouble = None, None
        try:
            trust = load_site_trust(config)
        except TrustFileError as error:
            trust_trouble = error
        return cls(config, now_ms, pid, store, store_trouble, trust, trust_trouble, full)

    @property
    def folder(self) -> Path:
        """The data folder, or the nearest folder above it that exists."""
        folder = self.config.data.resolve()
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        return folder


class Check(Protocol):
    """One check: yields one or more findings, and changes nothing."""

    def __call__(self, case: CheckContext) -> Iterator[Finding]: ...


def at_once(look: Callable[[T], Finding], things: Sequence[T]) -> list[Finding]:
    """Findings of slow checks, run in parallel, one thread each."""
    if not things:
        return []
    with ThreadPoolExecutor(len(things)) as pool:
        return list(pool.map(look, things))


def error_message(error: GatewayError | LedgerClientError) -> messages.Message:
    """The message of an error; one around it where it is made of text, or has its fix as text."""
    sentence = error.sentence
    if isinstance(sentence, str) or sentence.way_out != error.way_out:
        return Message("check-error", problem=sentence, way_out=error.way_out)
    return sentence


def connect(host: str, port: int, tls: ssl.SSLContext | None = None) -> messages.Sentence | None:
    """Why no connection is accepted there, or no TLS handshake made; None if one is. Takes at most CONNECT_S seconds,
    and as much again for each step of a handshake."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S) as sock:
            if tls is not None:
                tls.wrap_socket(sock, server_hostname=host.rstrip(".")).close()
    except ssl.SSLError as error:
        return connection_error(error)
    except OSError as error:
        return os_error(error)
    return None
