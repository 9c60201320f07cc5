"""Trust file: its TOML, read strictly into the facts of ``trust``; what is not as in docs/verifier.md is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from ledger_client.errors import TrustFileError, VerificationError
from ledger_client.formats.checks import MAX_TIME_S, is_ledger_name, is_name
from ledger_client.formats.cose_key import PublicKey, unbase64url
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.messages import Message
from ledger_client.system_errors import os_error
from ledger_client.text_file import NotText, NotToml, WrongText, duration_ms, text_of, toml_of
from ledger_client.verification.trust import HARDWARE, PARTY_ROLES, Chain, Held, Place, Trust, TrustKey
from ledger_client.verification.trust_warnings import unwitnessed, warnings_of
from ledger_client.verification.witnesses import LogKey, Witness, demand_distinct, read_log, read_witness

_NAMES: Final = {
    "meter": ("gateway", "meter"), "statement": ("gateway",), "ledger": ("ledger",),
    **dict.fromkeys(PARTY_ROLES, ("party",)),
}  # fmt: skip
"""The names that a key of a role must bear, in the order of a lookup."""
_KEY_COMMON: Final = {"role", "public", "valid_from", "valid_to", "revoked", "revoked_reason"}
_MOST_TEXT: Final = 1024  # characters of an identity, or of evidence
_HELD: Final = ("held", "held_by", "held_at", "evidence")
_HELD_IN_POLICY: Final = ("held", "evidence")
_MORE: Final = {"ledger": ("kid",), "meter": ("identity",)}
_CHAIN: Final = ("ledger", "chain_id", "contract", "sender", "confirmations")
_POLICY: Final = ("receipts", "ledgers", "max_delay", "attested", "made", "expires", "witnesses")
_E = TypeVar("_E")
MAX_FILE: Final = 64 << 20  # bytes, some 200,000 keys


def load_trust(path: str | Path, *, anchored: bool = True) -> Trust:
    """Read a trust file; ``TrustFileError`` with file, key and way out. ``anchored=False``: of a gateway that has no
    ledger, so that the file may list none; no evidence meets such a policy."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise TrustFileError(str(path), "", Message("trust-not-readable", error=os_error(error))) from None
    if len(data) > MAX_FILE:
        raise TrustFileError(str(path), "", Message("trust-too-large", limit=MAX_FILE >> 20))
    try:
        return parse_trust(text_of(data), str(path), anchored=anchored)
    except NotText as error:
        raise TrustFileError(str(path), "", error.sentence) from None


def parse_trust(text: str, source: str, *, anchored: bool = True, of_ledger: bool = False) -> Trust:
    """Read the text of a trust file that came from ``source``, as ``load_trust`` does.

    ``of_ledger``: the ``[[key]]`` entries are those of a ledger's policy.toml, where ``held`` is that ledger's word.
    """
    try:
        document = toml_of(text)
    except NotToml as error:
        raise TrustFileError(source, "", Message("trust-not-toml", error=error.sentence)) from None
    return _Reader(source, of_ledger).trust(document, anchored=anchored)


class _Reader:
    """Turns the document into facts; every refusal names the file."""

    def __init__(self, source: str, of_ledger: bool) -> None:
        self.source = source
        self.of_ledger = of_ledger

    def refuse(self, key: str, what: Message) -> NoReturn:
        raise TrustFileError(self.source, key, what)

    def trust(self, document: Mapping[str, Any], *, anchored: bool) -> Trust:
        self.known(document, "", ("policy", "key", "chain", "witness", "log"))
        receipts, ledgers, max_delay = self.policy(document, anchored=anchored)
        keys = tuple(self.key(table, where) for table, where in self.tables(document, "key"))
        chains = tuple(self.chain(table, where) for table, where in self.tables(document, "chain"))
        self.one_role_a_key(keys)
        self.one_role_a_party(keys)
        self.one_ledger_a_contract(chains)
        witnesses, logs = self.witnesses(document, keys)
        witnessed = self.witnessed(document.get("policy", {}), len(witnesses))
        attested = self.attested(document.get("policy", {}))
        made, expires = self.dates(document.get("policy", {}))
        unseen = unwitnessed(ledgers, chains, logs) if witnessed else ()
        warnings = (*warnings_of(receipts, ledgers, keys, chains), *unseen)
        anchors, registries = (tuple(c for c in chains if bool(c.sender) is kind) for kind in (True, False))
        return Trust(
            receipts, ledgers, keys, anchors, warnings, self.source, max_delay, attested, registries, made, expires,
            witnessed, witnesses, logs,
        )  # fmt: skip

    def policy(self, document: Mapping[str, Any], *, anchored: bool) -> tuple[int, tuple[str, ...], int | None]:
        policy = document.get("policy", {} if not anchored else None)
        if not isinstance(policy, dict):
            self.refuse("policy", Message("trust-policy-missing"))
        self.known(policy, "policy", _POLICY)
        max_delay = self.max_delay(policy["max_delay"]) if "max_delay" in policy else None
        if not anchored and not policy.get("ledgers"):
            return 1, (), max_delay
        ledgers = self.ledgers(policy)
        receipts = policy.get("receipts")
        if type(receipts) is not int or not 1 <= receipts <= len(ledgers):
            self.refuse("policy.receipts", Message("trust-receipts", value=repr(receipts), n=len(ledgers)))
        return receipts, ledgers, max_delay

    def attested(self, policy: Mapping[str, Any]) -> int:
        value = policy.get("attested", 0)
        if type(value) is not int or value < 0:
            self.refuse("policy.attested", Message("trust-attested", value=repr(value)))
        return value

    def dates(self, policy: Mapping[str, Any]) -> tuple[int | None, int | None]:
        """When the file was made, and until when it counts."""
        made, expires = (self.time(policy[k], f"policy.{k}") if k in policy else None for k in ("made", "expires"))
        if made is not None and expires is not None and expires <= made:
            self.refuse("policy.expires", Message("trust-expires-early"))
        return made, expires

    def witnesses(
        self, document: Mapping[str, Any], keys: tuple[TrustKey, ...]
    ) -> tuple[tuple[Witness, ...], tuple[LogKey, ...]]:
        witnesses = tuple(self.entries(document, "witness", ("name", "vkey"), read_witness))
        logs = tuple(self.entries(document, "log", ("ledger", "vkey"), read_log))
        if witnesses or logs:
            demand_distinct(witnesses, logs, {key.key.kid: key.role for key in keys}, self.source)
        return witnesses, logs

    def entries(
        self, document: Mapping[str, Any], name: str, keys: tuple[str, ...],
        read: Callable[[Mapping[str, Any], str, str], _E],
    ) -> Iterator[_E]:  # fmt: skip
        for table, where in self.tables(document, name):
            self.known(table, where, keys)
            yield read(table, where, self.source)

    def witnessed(self, policy: Mapping[str, Any], n: int) -> int:
        value = policy.get("witnesses", 0)
        if type(value) is not int or not 0 <= value <= n:
            self.refuse("policy.witnesses", Message("trust-witnesses", value=repr(value), n=n))
        return value

    def max_delay(self, value: object) -> int:
        try:
            ms = duration_ms(value)
        except WrongText as error:
            self.refuse("policy.max_delay", Message("trust-delay", value=repr(value), why=error.sentence))
        if ms % 1000:
            why = Message("trust-delay-seconds")
            self.refuse("policy.max_delay", Message("trust-delay", value=repr(value), why=why))
        return ms // 1000

    def known(self, table: Mapping[str, Any], where: str, allowed: tuple[str, ...]) -> None:
        for key in table:
            if key not in allowed:
                self.refuse(f"{where}.{key}".lstrip("."), Message("trust-unknown-key", keys=tuple(sorted(allowed))))

    def ledgers(self, policy: Mapping[str, Any]) -> tuple[str, ...]:
        ledgers = policy.get("ledgers")
        if not isinstance(ledgers, list) or not ledgers or not all(map(is_ledger_name, ledgers)):
            self.refuse("policy.ledgers", Message("trust-ledgers-invalid", value=repr(ledgers)))
        if len(set(ledgers)) != len(ledgers):
            self.refuse("policy.ledgers", Message("trust-ledger-twice"))
        return tuple(ledgers)

    def tables(self, document: Mapping[str, Any], name: str) -> list[tuple[Mapping[str, Any], str]]:
        """The tables of ``[[name]]`` with the name under which an error speaks of each: key 1, key 2 …"""
        tables = document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.refuse(name, Message("trust-no-tables", name=name))
        return [(table, f"{name} {number}") for number, table in enumerate(tables, 1)]

    def key(self, table: Mapping[str, Any], where: str) -> TrustKey:
        role = table.get("role")
        if not isinstance(role, str) or role not in _NAMES:
            self.refuse(f"{where}.role", Message("trust-role", value=repr(role)))
        names = _NAMES[role]
        held = () if role in PARTY_ROLES else _HELD_IN_POLICY if self.of_ledger else _HELD
        self.known(table, where, (*sorted(_KEY_COMMON), *names, *_MORE.get(role, ()), *held))
        for name in names:
            self.name(table, where, name, is_ledger_name if name == "ledger" else is_name)
        if table.get("meter") == GATEWAY_ITSELF:
            self.refuse(f"{where}.meter", Message("trust-meter-name", name=GATEWAY_ITSELF))
        public = self.public(table.get("public"), f"{where}.public")
        valid_from, valid_to, revoked, reason = self.validity(table, where)
        kid = self.kid(table["kid"], f"{where}.kid") if "kid" in table else public.kid
        owner = (table.get("gateway"), table.get("meter"), table.get("ledger"))
        identity = table.get("identity")
        if identity is not None and not _is_text(identity):
            self.refuse(f"{where}.identity", Message("trust-identity", value=repr(identity)))
        party = table.get("party")
        held_by = self.held(table, where)
        return TrustKey(role, public, *owner, kid, valid_from, valid_to, revoked, reason, identity, party, held_by)

    def held(self, table: Mapping[str, Any], where: str) -> Held | None:
        if not (there := [key for key in _HELD if key in table]):
            return None
        needed = _HELD_IN_POLICY if self.of_ledger else _HELD[:3]
        if missing := [key for key in needed if key not in table]:
            self.refuse(f"{where}.{missing[0]}", Message("trust-held-part", there=there[0], keys=needed))
        if table["held"] != HARDWARE:
            self.refuse(f"{where}.held", Message("trust-held", value=repr(table["held"])))
        evidence = table.get("evidence")
        if evidence is not None and not _is_text(evidence):
            self.refuse(f"{where}.evidence", Message("trust-evidence", limit=_MOST_TEXT))
        if self.of_ledger:
            return Held(None, None, evidence)
        self.name(table, where, "held_by", is_ledger_name)
        return Held(table["held_by"], self.time(table["held_at"], f"{where}.held_at"), evidence)

    def name(self, table: Mapping[str, Any], where: str, name: str, valid: Callable[[object], bool] = is_name) -> None:
        if not valid(table.get(name)):
            missing = name not in table
            self.refuse(
                f"{where}.{name}",
                Message("trust-name-missing") if missing else Message("trust-name-invalid", value=repr(table[name])),
            )

    def public(self, value: Any, where: str) -> PublicKey:
        if not isinstance(value, str):
            self.refuse(where, Message("trust-key-missing"))
        try:
            return PublicKey.from_text(value)
        except VerificationError as error:
            self.refuse(where, Message("trust-key-invalid", error=error.sentence))

    def kid(self, value: Any, where: str) -> bytes:
        try:
            kid = unbase64url(value) if isinstance(value, str) else b""
        except VerificationError as error:
            self.refuse(where, Message("trust-kid-form", error=error.sentence))
        if not 0 < len(kid) <= 256:
            self.refuse(where, Message("trust-kid-length"))
        return kid

    def validity(self, table: Mapping[str, Any], where: str) -> tuple[int, int | None, int | None, str | None]:
        if "valid_from" not in table:
            self.refuse(f"{where}.valid_from", Message("trust-valid-from-missing"))
        times = {k: self.time(table[k], f"{where}.{k}") for k in ("valid_from", "valid_to", "revoked") if k in table}
        if "valid_to" in times and times["valid_to"] <= times["valid_from"]:
            self.refuse(f"{where}.valid_to", Message("trust-valid-to-early"))
        reason = table.get("revoked_reason")
        if reason is not None and ("revoked" not in times or not isinstance(reason, str)):
            self.refuse(f"{where}.revoked_reason", Message("trust-reason-alone"))
        return times["valid_from"], times.get("valid_to"), times.get("revoked"), reason

    def time(self, value: Any, where: str) -> int:
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.refuse(where, Message("trust-time-zone", value=repr(value)))
        try:
            seconds = int(value.timestamp() // 1)
        except (OverflowError, ValueError):
            seconds = -1
        if not 0 <= seconds <= MAX_TIME_S:
            self.refuse(where, Message("trust-time-1970", value=value.isoformat()))
        return seconds

    def chain(self, table: Mapping[str, Any], where: str) -> Chain:
        claims = table.get("claims", False)
        if type(claims) is not bool:
            self.refuse(f"{where}.claims", Message("trust-claims", value=repr(claims)))
        self.known(table, where, ("claims", *(key for key in _CHAIN if key != "sender" or not claims)))
        self.name(table, where, "ledger", is_ledger_name)
        chain_id = table.get("chain_id")
        if type(chain_id) is not int or not 0 < chain_id < 2**64:
            self.refuse(f"{where}.chain_id", Message("trust-chain-id", value=repr(chain_id)))
        contract = self.address(table.get("contract"), f"{where}.contract")
        sender = b"" if claims else self.address(table.get("sender"), f"{where}.sender")
        confirmations = table.get("confirmations")
        if confirmations is not None and (type(confirmations) is not int or confirmations < 1):
            self.refuse(f"{where}.confirmations", Message("trust-confirmations", value=repr(confirmations)))
        return Chain(table["ledger"], chain_id, contract, sender, confirmations)

    def address(self, value: Any, where: str) -> bytes:
        try:
            if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
                return bytes.fromhex(value[2:])
        except ValueError:
            pass
        self.refuse(where, Message("trust-address", value=repr(value)))

    def one_role_a_key(self, keys: tuple[TrustKey, ...]) -> None:
        """One public key serves one role, and of ledgers and parties only one; a lookup never finds two."""
        owners: dict[bytes, tuple[str, str | None]] = {}
        lookups: dict[Place, int] = {}
        for number, key in enumerate(keys, 1):
            holder = key.role, key.ledger or key.party
            owner = owners.setdefault(key.key.kid, holder)
            if owner != holder:
                first, second = (f"{role} {name or ''}".strip() for role, name in (owner, holder))
                self.refuse(f"key {number}.public", Message("trust-key-two-roles", one=first, other=second))
            if key.place in lookups:
                self.refuse(f"key {number}", Message("trust-key-twice", number=lookups[key.place]))
            lookups[key.place] = number

    def one_role_a_party(self, keys: tuple[TrustKey, ...]) -> None:
        """Who issues holds nothing and attests nothing under the same name."""
        roles: dict[str, str] = {}
        for number, key in enumerate(keys, 1):
            if key.party is not None and roles.setdefault(key.party, key.role) != key.role:
                sentence = Message("trust-party-two-roles", party=key.party, one=roles[key.party], other=key.role)
                self.refuse(f"key {number}.role", sentence)

    def one_ledger_a_contract(self, chains: tuple[Chain, ...]) -> None:
        """What one contract holds is one ledger's word, however many names it is given."""
        ledgers: dict[tuple[int, bytes], str] = {}
        for number, chain in enumerate(chains, 1):
            first = ledgers.setdefault((chain.chain_id, chain.contract), chain.ledger)
            if first != chain.ledger:
                contract, other = chain.contract.hex(), chain.ledger
                what = Message("trust-contract-twice", contract=contract, chain=chain.chain_id, one=first, other=other)
                self.refuse(f"chain {number}.contract", what)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MOST_TEXT
