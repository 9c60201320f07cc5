"""Verification result as JSON: the answer of ``verify --json``. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from ledger_client.errors import VerificationError
from ledger_client.formats.record import Body, Event
from ledger_client.formats.senml import Reading, quality_words
from ledger_client.formats.statement import id_text
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.verify import Verified
from ledger_client.verification.witnesses import Cosigned

_KEYS: Final = (
    "verified", "step", "error", "detail", "kind", "gateway", "meter", "seq", "epoch", "time", "no_later_than", "delay",
    "clock", "values", "batch", "resume", "root", "statement_id", "receipts", "unconfirmed", "asked",
    "witnessed", "keys",
)  # fmt: skip
_ANSWER: Final[dict[str, Any]] = dict.fromkeys(_KEYS)


def verified_json(proven: Verified) -> dict[str, Any]:
    """The facts for ``--json``. Times are RFC 3339; a decimal that a float cannot show exactly is text."""
    return _ANSWER | {
        "verified": True,
        "kind": proven.kind,
        "gateway": proven.gateway,
        "meter": proven.meter,
        "seq": proven.seq,
        "epoch": proven.epoch.hex(),
        "time": rfc3339_ms(proven.time_ms),
        "no_later_than": rfc3339(proven.no_later_than),
        "delay": proven.delay_ms / 1000,
        "clock": proven.clock,
        "values": _json_values(proven.body),
        "batch": proven.batch,
        "resume": proven.resume,
        "root": proven.root.hex(),
        "statement_id": id_text(proven.statement_id),
        "receipts": [_json_receipt(proven, ledger, time) for ledger, time in proven.receipts],
        "unconfirmed": list(proven.unconfirmed),
        "asked": list(proven.asked),
        "witnessed": [_json_cosigned(head) for head in proven.witnessed],
        "keys": [key.as_json() for key in proven.keys],
    }


def _json_cosigned(head: Cosigned) -> dict[str, Any]:
    witnesses = [{"name": name, "time": rfc3339(time)} for name, time in head.witnesses]
    return {"ledger": head.ledger, "entries": head.size, "witnesses": witnesses}


def _json_receipt(proven: Verified, ledger: str, time: int) -> dict[str, Any]:
    """With ``log`` only where the ledger's log was asked and has only grown."""
    log = proven.in_log.get(ledger)
    now = {"log": {"entries": log.entries, "time": rfc3339(log.time)}} if log else {}
    return {"ledger": ledger, "time": rfc3339(time), **now}


def failure_json(error: VerificationError) -> dict[str, Any]:
    """The answer for ``--json`` when verification stopped: the same keys, with what stopped it and no facts."""
    stopped = {"verified": False, "step": error.step, "error": type(error).__name__, "detail": error.detail}
    return _ANSWER | stopped | {key: [] for key in ("values", "receipts", "unconfirmed", "asked", "witnessed", "keys")}


def _json_values(body: Body) -> list[dict[str, Any]]:
    """The values of a reading; of another record its facts, in the same form."""
    if isinstance(body, Reading):
        return [
            _json_value(v.name, v.value, v.unit, v.quality) | ({"offset_ms": v.offset_ms} if v.offset_ms else {})
            for v in body.values
        ]
    if isinstance(body, Event):
        return [_json_value(name, fact) for name, fact in {"event": body.name, **body.fields}.items()]
    missed = {f"missed.{reason}": count for reason, count in body.missed.items()}
    facts = {"from": rfc3339_ms(body.from_ms), "to": rfc3339_ms(body.to_ms), "due": body.due}
    return [_json_value(name, fact) for name, fact in {**facts, "recorded": body.recorded, **missed}.items()]


def _json_value(name: str, value: object, unit: str | None = None, quality: int = 0) -> dict[str, Any]:
    return {"name": name, "value": plain_json(value), "unit": unit, "quality": quality_words(quality)}


def plain_json(value: object) -> Any:
    """A value or fact as ``--json`` shows it."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if isinstance(value, Mapping):
        return {_json_key(key): plain_json(item) for key, item in value.items()}
    return value


def _json_key(key: object) -> str:
    """Integer keys as ``#1``; text that begins with # gets another one, so that no two keys become one."""
    return key if isinstance(key, str) and not key.startswith("#") else f"#{key}"
