"""Keys in a token, as ``formats.cose_key.Signer``: made in the token, used there, destroyed there."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger_client.errors import BadSignature, KeyAway, TokenError
from ledger_client.formats.cose_key import PublicKey, base64url
from ledger_client.messages import Message
from ledger_client.tokens.calls import STANDARD, Away, Calls, Limits
from ledger_client.tokens.pin import Pin
from ledger_client.tokens.session import Module, TokenKey
from ledger_client.tokens.uri import KeyUriError, TokenUri

_THREADS: Final[dict[Path, Calls]] = {}
"""One for each module of the process: a module has one state, whoever uses it."""
_ONE: Final = threading.Lock()
VERIFYING: Final = 0.02
"""Of the token's time for verifying what it signed, where it signs within ``_SLOW_S``: verifying takes 0.1 ms."""
_SLOW_S: Final = 0.002
_MOST_CREDIT_S: Final = 0.01


def _calls(module: Path, limits: Limits) -> Calls:
    with _ONE:
        if module not in _THREADS:
            if not _THREADS:
                atexit.register(forget_modules)  # a TPM without resource manager keeps what nobody gives back
            _THREADS[module] = Calls(module, limits)
        return _THREADS[module]


class TokenSigner:
    """A key in a token; thread-safe. It signs only after it was shown to be that of ``public``, and what it gives was
    verified, so that a token that signs wrongly makes no evidence: of a token that takes 2 ms each signature,
    as hardware does, of a faster one as many as ``VERIFYING`` allows."""

    def __init__(self, calls: Calls, uri: TokenUri, pin: Pin, public: PublicKey, key: TokenKey | None = None) -> None:
        self._calls, self._pin = calls, pin
        self._key = key
        self.uri = uri
        self.public = public
        self.claims: Mapping[str, bool] = {} if key is None else key.claims()
        """What the token says of the key (CKA_LOCAL and so on, without CKA_): its claim, which any token can make."""
        self.fault: Away | None = None
        self._credit_s = 0.0

    @property
    def away(self) -> Away | None:
        """Since when it does not sign, and why; ``None`` while it does as far as is known."""
        return self.fault or self._calls.stuck()

    def sign(self, message: bytes) -> bytes:
        """64 bytes R ‖ S. Raises ``KeyAway``: after 5 s, or at once while it is away."""
        return self._sign(message, urgent=True)

    @property
    def patient(self) -> PatientSigner:
        """The same key for what may wait until nobody else wants a signature."""
        return PatientSigner(self)

    def _sign(self, message: bytes, urgent: bool) -> bytes:
        if (away := self.away) is not None:
            raise KeyAway(away.why)
        signature, took_s = self._calls.call(lambda _module: self._made(message), urgent=urgent)
        self._credit_s = min(self._credit_s + VERIFYING * took_s, _MOST_CREDIT_S)
        if took_s >= _SLOW_S or self._credit_s >= 0:
            began = time.perf_counter()
            self._demand_signed(signature, message)
            self._credit_s = max(self._credit_s - (time.perf_counter() - began), -_MOST_CREDIT_S)
        return signature

    def _demand_signed(self, signature: bytes, message: bytes) -> None:
        try:
            self.public.verify(signature, message)
        except BadSignature:
            why = Message("token-key-wrong", kid=base64url(self.public.kid))
            self._calls.seek(self, why)
            raise KeyAway(why) from None

    def _made(self, message: bytes) -> tuple[bytes, float]:
        """The signature, and the seconds that the token took."""
        if self._key is None:
            raise KeyAway(self.fault.why if self.fault else Message("token-failed", error="GeneralError"))
        began = time.perf_counter()
        return self._key.sign(message), time.perf_counter() - began

    def measured(self, measure: Callable[[Callable[[bytes], bytes]], float]) -> float:
        """What ``measure`` gives for the library's own call, on the thread of its token. For benchmarks; raises
        ``KeyAway``."""
        key = self._key
        if key is None:
            raise KeyAway(Message("token-failed", error="GeneralError"))
        return self._calls.call(lambda _module: measure(key.bare))

    def find(self, module: Module) -> None:
        """See ``calls.Key``: on the thread of its module alone."""
        key = module.key(self.uri, self._pin)
        if key.public.kid != self.public.kid:
            found, wanted = base64url(key.public.kid), base64url(self.public.kid)
            raise TokenError(Message("token-key-other", key=self.uri.key_name, kid=found, expected=wanted))
        self._key, self.claims = key, key.claims()

    def lose(self) -> None:
        """See ``calls.Key``."""
        self._key = None

    def close(self) -> None:
        """Look for the key no more."""
        self._calls.remove(self)


@dataclass(frozen=True, slots=True)
class PatientSigner:
    """A key in a token whose other signatures go first."""

    signer: TokenSigner

    @property
    def public(self) -> PublicKey:
        """Its public key."""
        return self.signer.public

    def sign(self, message: bytes) -> bytes:
        """See ``TokenSigner``."""
        return self.signer._sign(message, urgent=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token's way in: its PKCS#11 ``module``, the file of its ``pin`` and, with it, the note of a refused one.

    All three raise ``KeyAway`` where the token is not there or does not answer within 5 s, ``TokenError`` for what
    somebody has to mend: a refused PIN, no such key, or two.
    """

    module: Path
    pin: Pin
    limits: Limits = STANDARD

    def open(self, uri: TokenUri) -> TokenSigner:
        """The key that ``uri`` names, once it has shown by a signature that it is that of its public key."""
        return self._found(uri, lambda module: module.key(uri, self.pin))

    def expect(self, uri: TokenUri, public: PublicKey) -> TokenSigner:
        """The same for a key that is known by its public key: it may be away, then it is waited for by itself."""
        calls = _calls(self.module, self.limits)
        signer = TokenSigner(calls, uri, self.pin, public)
        calls.add(signer)
        try:
            calls.call(signer.find)
        except KeyAway as error:
            calls.seek(signer, error.what)
        except TokenError:
            calls.remove(signer)
            raise
        return signer

    def generate(self, uri: TokenUri, alg: int | None = None) -> TokenSigner:
        """A new key under the label of ``uri``, which names its role: Ed25519 where the token has it, else P-256, or
        ``alg`` (−8, −7). It cannot be extracted."""
        if uri.object is None:
            raise KeyUriError(Message("key-uri-no-key"))
        return self._found(uri, lambda module: module.generate(uri, self.pin, alg))

    def _found(self, uri: TokenUri, find: Callable[[Module], TokenKey]) -> TokenSigner:
        calls = _calls(self.module, self.limits)

        def signer(module: Module) -> TokenSigner:
            key = find(module)
            return TokenSigner(calls, uri, self.pin, key.public, key)

        found = calls.call(signer)
        calls.add(found)
        return found

    def destroy(self, uri: TokenUri) -> None:
        """Destroy the key and its public key, for ever."""
        _calls(self.module, self.limits).call(lambda module: module.destroy(uri, self.pin))


def forget_modules() -> None:
    """Give all tokens back and end their threads: at the end of the process, and before another one needs a token that
    lets in one at a time."""
    with _ONE:
        for calls in _THREADS.values():
            calls.end()
        _THREADS.clear()
