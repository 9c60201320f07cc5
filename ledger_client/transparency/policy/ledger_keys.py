"""Key history of a ledger, from its log: each key but the first is named by one signed before it. Pure.

Entry 0, the rules, is signed by the first key. An entry of content type ``…ledger-key+cbor`` names the next one, which
signs from there on, the ledger's other entries (changed rules, gateways let in or shut out) among all else. So the log
itself says which key signs now, no receipt of an older key can follow the change, and a mirror that holds the log can
check every key from the first on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import array, name, table, text, time_s, uint
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.notes import LOG_KEY, Vkey

CONTENT_POLICY: Final = "application/vnd.meterseal.policy+cbor"
CONTENT_KEY: Final = "application/vnd.meterseal.ledger-key+cbor"
CONTENT_ENROLLED: Final = "application/vnd.meterseal.enrolled+cbor"
CONTENT_REVOKED: Final = "application/vnd.meterseal.revoked+cbor"
LEDGER_CONTENTS: Final = (CONTENT_POLICY, CONTENT_KEY, CONTENT_ENROLLED, CONTENT_REVOKED)
SUB: Final = "key"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A key of a ledger: it signs from ``since`` on and before ``until`` (Unix seconds; None: it signs now)."""

    key: PublicKey
    since: int
    until: int | None = None


def sign_key(ledger: str, iat: int, new: PublicKey, signer: Signer) -> bytes:
    """The entry by which ``signer``, the present key of a ledger, hands over to ``new`` at ``iat`` (Unix seconds).

    It holds both keys, so that the log alone tells every key that ever signed; the first is the one that entry 0 names.
    """
    claims = {cose.ISS: ledger, cose.SUB: SUB, cose.IAT: iat}
    payload = cbor.encode({"v": 1, "new": new.cose_key, "old": signer.public.cose_key})
    return cose.sign1({cose.CONTENT_TYPE: CONTENT_KEY, cose.CWT_CLAIMS: claims}, payload, signer)


def key_history(ledger: str, present: PublicKey, own_entries: Iterable[bytes]) -> list[LedgerKey]:
    """All keys in order, from a ledger's own entries in log order, its rules first; the last is ``present``.

    Every entry's signature is checked, whatever the entry is about. Entries about gateways may be left out.

    Raises ``Malformed`` or ``BadSignature`` where the entries do not lead from the first key to this one.
    """
    read = [_read(ledger, entry) for entry in own_entries]
    contents = [_content(sign1) for sign1, _ in read]
    if contents[:1] != [CONTENT_POLICY] or any(content not in LEDGER_CONTENTS for content in contents):
        raise Malformed(
            "the first entry of the ledger's own is not its rules, or a later one is of no kind that is known"
        )
    changes = [(*_change(sign1), iat) for sign1, iat in read if _content(sign1) == CONTENT_KEY]
    keys = [old for old, _, _ in changes] + [present]
    if [new.kid for _, new, _ in changes] != [key.kid for key in keys[1:]]:
        raise Malformed("the changes of key do not lead to the present key")
    signers = iter(keys)
    signer = next(signers)
    for (sign1, _), content in zip(read, contents, strict=True):
        if sign1.protected[cose.KID] != signer.kid:
            raise Malformed("an entry of the ledger's own by another key than the one that signs at its place")
        sign1.verify(signer)
        signer = next(signers) if content == CONTENT_KEY else signer
    since = [read[0][1], *(iat for _, _, iat in changes)]
    # a receipt of the second of a change may stand before it: for that second both keys count
    until = [iat + 1 for iat in since[1:]]
    return [LedgerKey(*parts) for parts in zip(keys, since, [*until, None], strict=True)]


def is_key_change(entry: bytes) -> bool:
    """Whether an entry of the ledger's own hands over to another key."""
    return _content(cose.Sign1.parse(entry)) == CONTENT_KEY


def next_key(entry: bytes) -> PublicKey:
    """The key that a change of key hands over to; ``Malformed``."""
    return _change(cose.Sign1.parse(entry))[1]


def sign_rules(ledger: str, iat: int, rules: Sequence[str], signer: Signer, vkey: Vkey | None = None) -> bytes:
    """By what rules the ledger registers statements from now on (RFC 9943 §6.3), signed by itself; ``vkey``: of the key
    that signs its checkpoints."""
    claims = {cose.ISS: ledger, cose.SUB: "policy", cose.IAT: iat}
    of_log = {} if vkey is None else {"vkey": vkey.text}
    payload = cbor.encode({"v": 1, "rules": list(rules), **of_log})
    return cose.sign1({cose.CONTENT_TYPE: CONTENT_POLICY, cose.CWT_CLAIMS: claims}, payload, signer)


def rules_of(own_entries: Iterable[bytes]) -> list[str]:
    """The rules that the last of a ledger's own entries about them tells; ``Malformed``."""
    rules: list[str] = []
    for fields in _policies(own_entries):
        rules = [text(rule, "rule", 4096) for rule in array(fields["rules"], "rules", 1)]
    return rules


def checkpoint_keys(own_entries: Iterable[bytes]) -> list[Vkey]:
    """The keys of a log's checkpoints that a ledger's own entries name, each once, the present one last; ``Malformed``.

    They have one name, the log's origin: under another one a witness would follow the same log from its beginning.
    """
    keys: dict[str, Vkey] = {}
    for fields in _policies(own_entries):
        if "vkey" in fields:
            vkey = Vkey.parse(text(fields["vkey"], "vkey", 512))
            if vkey.kind != LOG_KEY or any(vkey.name != one.name for one in keys.values()):
                raise Malformed(f"the vkey {vkey.text} is not of a log, or of another origin than the one before")
            keys.pop(vkey.text, None)
            keys[vkey.text] = vkey
    return list(keys.values())


def _policies(own_entries: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for entry in own_entries:
        sign1 = cose.Sign1.parse(entry)
        if _content(sign1) == CONTENT_POLICY:
            fields = table(cbor.decode(sign1.payload or b""), "rules", {"v", "rules"}, {"vkey"})
            if uint(fields["v"], "v") != 1:
                raise Malformed(f"rules of version {fields['v']}; this program reads 1")
            yield fields


def _content(sign1: cose.Sign1) -> object:
    return sign1.protected.get(cose.CONTENT_TYPE)


def _read(ledger: str, entry: bytes) -> tuple[cose.Sign1, int]:
    sign1 = cose.Sign1.parse(entry)
    table(sign1.unprotected, "an own entry's unprotected header", set())
    header = table(sign1.protected, "header", {cose.ALG, cose.CONTENT_TYPE, cose.KID, cose.CWT_CLAIMS})
    claims = table(header[cose.CWT_CLAIMS], "claims", {cose.ISS, cose.SUB, cose.IAT})
    if name(claims[cose.ISS], "iss") != ledger:
        raise Malformed(f"an entry of ledger {claims[cose.ISS]} in the log of {ledger}")
    return sign1, time_s(claims[cose.IAT], "iat")


def _change(sign1: cose.Sign1) -> tuple[PublicKey, PublicKey]:
    """(old key, new key)."""
    fields = table(cbor.decode(sign1.payload or b""), "change of key", {"v", "new", "old"})
    if uint(fields["v"], "v") != 1:
        raise Malformed(f"change of key of version {fields['v']}; this program reads 1")
    if type(fields["new"]) is not bytes or type(fields["old"]) is not bytes:
        raise Malformed("a key that is not a byte string")
    return PublicKey.from_cose_key(fields["old"]), PublicKey.from_cose_key(fields["new"])
