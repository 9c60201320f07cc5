"""Ask pycose and cwt what they make of COSE_Sign1 messages, and let cwt sign some.

Reads {"check": [{"message", "key", "payload"?}], "sign": [{"payload", "protected", "key"}]} in hex from standard input
(payload only where it is detached; a signing key with its private part) and answers in kind. Runs with the Python of
the oracle's own environment, see requirements.txt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import cbor2
from cwt import COSE, COSEKey  # type: ignore[import-not-found]
from pycose.keys import CoseKey  # type: ignore[import-not-found]
from pycose.messages import CoseMessage  # type: ignore[import-not-found]

Answer = dict[str, Any]


def by_pycose(message: bytes, key: bytes, payload: bytes | None) -> Answer:
    """What pycose says: verified, payload, protected header as it was sent."""
    parsed = CoseMessage.decode(message)
    parsed.key = CoseKey.decode(key)
    detached = {} if payload is None else {"detached_payload": payload}
    content = parsed.payload or b""
    verified = parsed.verify_signature(**detached)
    return {"verified": verified, "payload": content.hex(), "protected": parsed.phdr_encoded.hex()}


def by_cwt(message: bytes, key: bytes, payload: bytes | None) -> Answer:
    """The same by cwt, which wants the kid inside of the key and raises if the signature does not hold."""
    fields = cbor2.loads(key)
    fields[2] = cbor2.loads(cbor2.loads(message).value[0])[4]
    header, _, content = COSE.new().decode_with_headers(message, COSEKey.new(fields), detached_payload=payload)
    return {"verified": True, "payload": content.hex(), "protected": cbor2.dumps(header).hex()}


def answer(check: Callable[[bytes, bytes, bytes | None], Answer], case: dict[str, str]) -> Answer:
    payload = bytes.fromhex(case["payload"]) if "payload" in case else None
    try:
        return check(bytes.fromhex(case["message"]), bytes.fromhex(case["key"]), payload)
    except Exception as error:
        return {"verified": False, "why": f"{type(error).__name__}: {error}"}


def signed_by_cwt(case: dict[str, str]) -> str:
    key = COSEKey.new(cbor2.loads(bytes.fromhex(case["key"])))
    protected = cbor2.loads(bytes.fromhex(case["protected"]))
    message: bytes = COSE.new(deterministic_header=True).encode(
        bytes.fromhex(case["payload"]), key, protected=protected
    )
    return message.hex()


def main() -> None:
    cases = json.load(sys.stdin)
    checked = [{"pycose": answer(by_pycose, case), "cwt": answer(by_cwt, case)} for case in cases["check"]]
    json.dump({"check": checked, "sign": [signed_by_cwt(case) for case in cases["sign"]]}, sys.stdout)


if __name__ == "__main__":
    main()
