"""Sessions with tokens, through one PKCS#11 module of a process: finding a token and its key, login, signing.

Every call here may block for as long as the token likes, with the GIL free; so only the thread of ``calls`` makes any.
An error of the module becomes ``DeviceFailed``, and whoever sees one resets the module before the next try: what a
library holds of a token that lost its power is worth nothing, a new session on it neither (tried: libtpm2-pkcs11).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ledger_client.errors import BadSignature, KeyAway, Malformed, TokenError
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import EDDSA, ES256, P256_ORDER, PublicKey, base64url
from ledger_client.messages import Message, Sentence
from ledger_client.tokens.pin import Pin
from ledger_client.tokens.uri import TokenUri

if TYPE_CHECKING:
    import pkcs11

_P256: Final = bytes.fromhex("06082a8648ce3d030107")  # RFC 5480 §2.1.1.1
_EDWARDS: Final = bytes.fromhex("130c656477617264733235353139"), bytes.fromhex("06032b6570")  # PKCS #11 v3.0 §2.3.10
_CLAIMS: Final = ("LOCAL", "NEVER_EXTRACTABLE", "ALWAYS_SENSITIVE", "SENSITIVE", "EXTRACTABLE")

_LOADED: Final[set[Path]] = set()
"""The modules that this process has loaded; no module is ever unloaded."""


class DeviceFailed(Exception):
    """The module or the token failed; ``what`` says how."""

    def __init__(self, what: Sentence) -> None:
        super().__init__(what)
        self.what = what


@contextmanager
def _translated() -> Iterator[None]:
    """No error of the library leaves this module."""
    from pkcs11.exceptions import PKCS11Error

    try:
        yield
    except PKCS11Error as error:
        raise DeviceFailed(Message("token-failed", error=type(error).__name__)) from None


class TokenKey:
    """A private key in a token, found and shown to be that of ``public``; usable until its module is reset."""

    def __init__(self, key: Any, public: PublicKey) -> None:
        from pkcs11 import Mechanism

        self.public = public
        mechanism = Mechanism.EDDSA if public.alg == EDDSA else Mechanism.ECDSA
        self.bare: Callable[[bytes], bytes] = partial(key.sign, mechanism=mechanism)
        """The library's own call: of Ed25519 over the message, of P-256 over its SHA-256. Raises what it raises."""
        self._key = key

    def sign(self, message: bytes) -> bytes:
        """64 bytes R ‖ S, ES256 with s ≤ n/2, as the token made them: nobody has verified them. Raises
        ``DeviceFailed``."""
        try:
            if self.public.alg == EDDSA:
                return self.bare(message)
            raw = self.bare(hashlib.sha256(message).digest())
        except RuntimeError:  # PKCS11Error is one
            with _translated():
                raise
        s = int.from_bytes(raw[32:], "big")
        return raw[:32] + min(s, P256_ORDER - s).to_bytes(32, "big") if 0 < s < P256_ORDER else raw

    def claims(self) -> dict[str, bool]:
        """What the token says of the key, by the names of PKCS #11 without CKA_; what it does not say is absent."""
        from pkcs11 import Attribute
        from pkcs11.exceptions import PKCS11Error

        found: dict[str, bool] = {}
        for name in _CLAIMS:
            try:
                found[name] = bool(self._key[getattr(Attribute, name)])
            except PKCS11Error:
                continue
        return found


class Module:
    """A PKCS#11 module in this process, and the sessions with its tokens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lib: Any = None
        self._sessions: dict[int, pkcs11.Session] = {}

    def reset(self) -> None:
        """Begin anew: every session and key of before is void."""
        self._sessions.clear()
        if self._lib is not None:
            library = ctypes.CDLL(str(self.path))  # python-pkcs11 finalizes with the GIL held, and a token may block
            library.C_Finalize(None)
            if error := library.C_Initialize(None):
                raise DeviceFailed(Message("token-failed", error=hex(error)))

    def close(self) -> None:
        """Give the token back, for another process or another configuration; the next call begins anew."""
        self._sessions.clear()
        if self._lib is not None:
            ctypes.CDLL(str(self.path)).C_Finalize(None)
            self._lib = None

    def ask(self) -> None:
        """Have each token do something that only it can do. Raises ``DeviceFailed``."""
        from pkcs11.exceptions import FunctionNotSupported, RandomNoRNG

        for session in self._sessions.values():
            with _translated():
                try:
                    session.generate_random(64)
                except (RandomNoRNG, FunctionNotSupported):
                    continue  # an answer, too

    def key(self, uri: TokenUri, pin: Pin) -> TokenKey:
        """The private key that ``uri`` names. Raises ``DeviceFailed``, ``TokenError``; ``KeyAway`` for no token."""
        session = self._session(uri, pin)
        with _translated():
            return self._find(session, uri)

    def generate(self, uri: TokenUri, pin: Pin, alg: int | None) -> TokenKey:
        """A new key under the label of ``uri``, not extractable. Raises as ``key``."""
        logged_in = self._session(uri, pin)
        with _translated():
            session = logged_in.token.open(rw=True)  # the login of the other one counts
            try:
                if _private_keys(session, uri):
                    raise TokenError(Message("token-key-exists", token=session.token.label, key=uri.key_name))
                _make(session, uri, alg)
                return self._find(logged_in, uri)
            finally:
                session.close()

    def destroy(self, uri: TokenUri, pin: Pin) -> None:
        """Destroy the key and what stands beside it of the same id. Raises as ``key``."""
        from pkcs11 import Attribute

        logged_in = self._session(uri, pin)
        with _translated():
            session = logged_in.token.open(rw=True)
            try:
                key = _one_private_key(session, uri)
                id_ = bytes(key[Attribute.ID])
                key.destroy()
                for public in _public_keys(session, uri, id_):
                    public.destroy()
            finally:
                session.close()

    def _session(self, uri: TokenUri, pin: Pin) -> pkcs11.Session:
        from pkcs11.exceptions import PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked

        self._load()
        with _translated():
            token = self._token(uri)
            if (found := self._sessions.get(token.slot.slot_id)) is not None:
                return found
            name = f"{token.label} {token.serial.decode(errors='replace')}"
            given = pin.read(name)
            try:
                session = token.open(user_pin=given)
            except (PinIncorrect, PinInvalid, PinLenRange, PinExpired):
                pin.refused(given, name)
                raise pin.refusal(name) from None
            except PinLocked:
                raise DeviceFailed(Message("token-pin-locked", token=name)) from None
            self._sessions[token.slot.slot_id] = session
        pin.accepted(name)
        return session

    def _load(self) -> None:
        if self._lib is not None:
            return
        try:
            import pkcs11
            from pkcs11.exceptions import PKCS11Error
        except ImportError:
            raise TokenError(Message("token-library-none")) from None
        try:
            self._lib = pkcs11.lib(str(self.path))
        except PKCS11Error as error:
            if type(error) is PKCS11Error:  # the loader's, not the module's
                raise TokenError(Message("token-module", path=str(self.path), error=str(error.args[0]))) from None
            raise DeviceFailed(Message("token-failed", error=type(error).__name__)) from None
        if self.path in _LOADED:  # and closed since
            self.reset()
        _LOADED.add(self.path)
        # never unloaded: that would finalize with the GIL held, and keep a process from ending while a token blocks
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._lib))

    def _token(self, uri: TokenUri) -> pkcs11.Token:
        found: list[pkcs11.Token] = [slot.get_token() for slot in self._lib.get_slots(token_present=True)]
        named = [token for token in found if _matches(token, uri)]
        if len(named) == 1:
            return named[0]
        wanted = uri.of_token.to_text()
        if named:
            raise TokenError(Message("token-several", uri=wanted, path=str(self.path)))
        labels = tuple(token.label for token in found if token.label)
        raise KeyAway(Message("token-none", uri=wanted, path=str(self.path), tokens=labels or ("–",)))

    def _find(self, session: pkcs11.Session, uri: TokenUri) -> TokenKey:
        from pkcs11 import Attribute

        key: Any = _one_private_key(session, uri)
        publics = _public_keys(session, uri, bytes(key[Attribute.ID]))
        if len(publics) != 1:
            raise TokenError(Message("token-key-public", token=session.token.label, key=uri.key_name, n=len(publics)))
        try:
            public = _public(bytes(publics[0][Attribute.EC_PARAMS]), bytes(publics[0][Attribute.EC_POINT]))
        except (Malformed, KeyError):
            raise TokenError(Message("token-key-kind", token=session.token.label, key=uri.key_name)) from None
        found = TokenKey(key, public)
        probe = b"meterseal: is this the key of its public key? " + os.urandom(32)  # no COSE structure begins so
        try:
            public.verify(found.sign(probe), probe)
        except BadSignature:
            raise TokenError(Message("token-key-wrong", kid=base64url(public.kid))) from None
        return found


def _make(session: pkcs11.Session, uri: TokenUri, alg: int | None) -> None:
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag
    from pkcs11.constants import DEFAULT
    from pkcs11.exceptions import AttributeValueInvalid, DomainParamsInvalid

    has = session.token.slot.get_mechanisms()
    kinds = {
        EDDSA: (Mechanism.EDDSA, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, KeyType.EC_EDWARDS, _EDWARDS),
        ES256: (Mechanism.ECDSA, Mechanism.EC_KEY_PAIR_GEN, KeyType.EC, (_P256,)),
    }
    usable = [one for one, (sign, make, *_) in kinds.items() if {sign, make} <= has and alg in (None, one)]
    if not usable:
        raise TokenError(Message("token-no-algorithm", token=session.token.label))
    _, mechanism, kind, curves = kinds[usable[0]]
    # libtpm2-pkcs11 refuses a template that names a use which its key has not, were it to say no
    public = dict.fromkeys((Attribute.ENCRYPT, Attribute.WRAP), DEFAULT)
    private = dict.fromkeys((Attribute.DECRYPT, Attribute.UNWRAP, Attribute.DERIVE), DEFAULT)
    private |= {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    for curve in curves:
        made = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
        try:
            made.generate_keypair(
                mechanism=mechanism, store=True, label=uri.object, id=uri.id or os.urandom(8),
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                public_template=public, private_template=private,
            )  # fmt: skip
            return
        except (DomainParamsInvalid, AttributeValueInvalid):
            if curve is curves[-1]:
                raise


def _matches(token: pkcs11.Token, uri: TokenUri) -> bool:
    serial = token.serial.decode(errors="replace").rstrip("\0 ")
    held = {"token": token.label, "manufacturer": token.manufacturer_id, "serial": serial, "model": token.model}
    return all(getattr(uri, name) in (None, value) for name, value in held.items())


def _private_keys(session: pkcs11.Session, uri: TokenUri) -> list[Any]:
    from pkcs11 import Attribute, ObjectClass

    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    wanted |= {} if uri.object is None else {Attribute.LABEL: uri.object}
    wanted |= {} if uri.id is None else {Attribute.ID: uri.id}
    return list(session.get_objects(wanted))


def _one_private_key(session: pkcs11.Session, uri: TokenUri) -> Any:
    found = _private_keys(session, uri)
    if not found:
        raise TokenError(Message("token-key-none", token=session.token.label, key=uri.key_name))
    if len(found) > 1:
        raise TokenError(Message("token-key-several", token=session.token.label, key=uri.key_name, n=len(found)))
    return found[0]


def _public_keys(session: pkcs11.Session, uri: TokenUri, id_: bytes) -> list[Any]:
    from pkcs11 import Attribute, ObjectClass

    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: id_}
    wanted |= {} if uri.object is None else {Attribute.LABEL: uri.object}
    return list(session.get_objects(wanted))


def _public(curve: bytes, point: bytes) -> PublicKey:
    """CKA_EC_POINT is a DER OCTET STRING; some tokens leave the string out. Raises ``Malformed``."""
    if len(point) > 2 and point[0] == 4 and point[1] == len(point) - 2:
        point = point[2:]
    if curve in _EDWARDS and len(point) == 32:
        return PublicKey.from_cose_key(cbor.encode({1: 1, 3: EDDSA, -1: 6, -2: point}))
    if curve == _P256 and len(point) == 65 and point[0] == 4:
        return PublicKey.from_cose_key(cbor.encode({1: 2, 3: ES256, -1: 1, -2: point[1:33], -3: point[33:]}))
    raise Malformed("neither an Ed25519 nor a P-256 point")
