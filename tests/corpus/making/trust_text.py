"""Trust files of the corpus, as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.corpus.making.evidence import FOREIGN, FOREIGN_KEY, GATEWAY, LEDGER, METER, METER_NAME, STATEMENT, VALID_FROM
from tests.corpus.making.keys import Key, key, text_of


def moment(seconds: int) -> str:
    """A time as TOML has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(role: str, public: Key | str, *lines: str, valid_from: int | str = VALID_FROM, **names: str) -> str:
    """An entry ``[[key]]``; ``lines`` stand at its end."""
    text = public if isinstance(public, str) else public.text
    begin = valid_from if isinstance(valid_from, str) else moment(valid_from)
    named = [f'{name} = "{value}"' for name, value in names.items()]
    return "\n".join(["[[key]]", f'role = "{role}"', *named, f'public = "{text}"', f"valid_from = {begin}", *lines, ""])


def meter(*lines: str, public: Key | str = METER, name: str = METER_NAME, gateway: str = GATEWAY, **more: Any) -> str:
    return table("meter", public, *lines, gateway=gateway, meter=name, **more)


def statement(*lines: str, public: Key | str = STATEMENT, gateway: str = GATEWAY, **more: Any) -> str:
    return table("statement", public, *lines, gateway=gateway, **more)


def ledger(*lines: str, name: str = LEDGER, public: Key | str | None = None, **more: Any) -> str:
    return table("ledger", public or key(name), *lines, ledger=name, **more)


def foreign(*lines: str, public: Key | str = FOREIGN_KEY, kid: bytes = b"key-1", **more: Any) -> str:
    return table("ledger", public, f'kid = "{text_of(kid)}"', *lines, ledger=FOREIGN, **more)


def trust(
    *,
    receipts: object = 1,
    ledgers: tuple[str, ...] = (LEDGER,),
    policy: str = "",
    keys: Mapping[str, str] | None = None,
    extra: str = "",
) -> str:
    """The file of somebody who knows the site; ``keys`` replaces entries: "meter", "statement", or a ledger's name."""
    entries = {"meter": meter(), "statement": statement()}
    entries |= {name: foreign() if name == FOREIGN else ledger(name=name) for name in ledgers}
    entries |= keys or {}
    listed = ", ".join(f'"{name}"' for name in ledgers)
    return (
        f"[policy]\nreceipts = {receipts}\nledgers = [{listed}]\n{policy}\n"
        + "\n".join(filter(None, entries.values()))
        + extra
    )
