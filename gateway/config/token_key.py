"""Statement key in a token: named by ``[gateway] statement_key``, opened once a process, made by command.

Nothing here is loaded unless a configuration names such a key. The PIN stands in a file; one that the token refused is
noted in the data folder, and not offered again until the file holds another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.process.file_owner import as_its_folder, demand_folder, is_there
from ledger_client import messages
from ledger_client.errors import KeyAway, TokenError
from ledger_client.formats.base64url import base64url
from ledger_client.transport.access import AccessError, resolve

if TYPE_CHECKING:
    from ledger_client.tokens.token import Token, TokenSigner
    from ledger_client.tokens.uri import TokenUri

_T = TypeVar("_T")
NOTE: Final = "pin-refused"
"""Beside the database: what recognises a PIN that the token refused."""
START_S: Final = 60.0
"""How long a start waits for the token."""
_NONE: Final = "token-key-none"
_PIN: Final = "token-pin"
_KEYS: Final = {_PIN: "pin_file", "access": "pin_file", "token-module": "pkcs11_module"}
"""Which key of [gateway] a message is about, by the beginning of its code; others are about the key's URI."""
_OPEN: Final[dict[tuple[str, str, str], TokenSigner]] = {}
"""The keys of this process: a token is asked once, whoever needs the key."""


def named(config: Config) -> str | None:
    """The URI of the statement key in its token; None: the key is a file."""
    return config.document.gateway.statement_key


def open_key(config: Config) -> TokenSigner:
    """The statement key in its token. Raises KeyAway: the token is not there, or does not answer; ConfigError: what
    somebody has to mend."""
    place = _place(config)
    if place not in _OPEN:
        _OPEN[place] = _with(config, lambda token: token.open(_uri(config)))
    return _OPEN[place]


def make_key(config: Config) -> bool:
    """Have the token make the statement key, unless it has one of this name. Whether it was made; raises as
    ``open_key``."""
    try:
        open_key(config)
        return False
    except ConfigError as error:
        if not isinstance(error.what, messages.Message) or error.what.code != _NONE:
            raise
    _OPEN[_place(config)] = _with(config, lambda token: token.generate(_uri(config)))
    return True


def destroy(config: Config, kid: bytes) -> bool:
    """Have the token destroy the key for ever, if it is the one with this thumbprint; False: it has none of the name.
    Raises GatewayError."""
    try:
        key = loaded(config)
    except ConfigError as error:
        if isinstance(error.what, messages.Message) and error.what.code == _NONE:
            return False
        raise
    if key.public.kid != kid:
        raise GatewayError(Message("retire-token-other", key=str(named(config)), kid=base64url(key.public.kid)))
    try:
        _with(config, lambda token: token.destroy(_uri(config)))
    except KeyAway as error:
        raise GatewayError(Message("token-away", key=str(named(config)), why=error.sentence)) from None
    _OPEN.pop(_place(config), None)
    return True


def close_others(key: object) -> None:
    """Look for no other key than this one any more: one that is destroyed would never be found again."""
    for place, other in [*_OPEN.items()]:
        if other is not key:
            other.close()
            del _OPEN[place]


def loaded(config: Config) -> TokenSigner:
    """As ``open_key``, for who does not wait: raises GatewayError where the token does not answer now."""
    try:
        return open_key(config)
    except KeyAway as error:
        raise GatewayError(Message("token-away", key=str(named(config)), why=error.sentence)) from None


def wait_for_key(
    config: Config, now_s: Callable[[], float], pause: Callable[[float], object], tell: Callable[[Message], object]
) -> None:
    """Wait at a start until the statement key is at hand, for ``START_S`` at most; a key in a file is.

    Args:
        config: which key.
        now_s: seconds of the monotonic clock.
        pause: waits so many seconds.
        tell: gets once that the token is waited for.

    Raises:
        ConfigError: somebody has to mend something; waiting helps nothing.
        GatewayError: the token has not come.
    """
    if named(config) is None:
        return
    until_s, quiet = now_s() + START_S, True
    while True:
        try:
            open_key(config)
            return
        except KeyAway as error:
            if now_s() >= until_s:
                late = Message(
                    "token-away-at-start", key=str(named(config)), waited_s=round(START_S), why=error.sentence
                )
                raise GatewayError(late) from None
            if quiet:
                tell(Message("token-awaited", key=str(named(config)), limit_s=round(START_S), why=error.sentence))
                quiet = False
            pause(1.0)


def _place(config: Config) -> tuple[str, str, str]:
    gateway = config.document.gateway
    return str(gateway.statement_key), str(gateway.pkcs11_module), str(config.path.parent / str(gateway.pin_file))


def _with(config: Config, work: Callable[[Token], _T]) -> _T:
    from ledger_client.tokens.pin import Pin
    from ledger_client.tokens.token import Token

    gateway = config.document.gateway
    try:
        pin = Pin(resolve(str(gateway.pin_file), config.path.parent, "pin_file"), config.data / NOTE)
    except AccessError as error:
        raise ConfigError(config.path, "gateway, pin_file", error.what, error.way_out) from None
    demand_folder(config.data, "data")
    if not is_there(config.data):
        config.data.mkdir(mode=0o700, parents=True)
        as_its_folder(config.data)
    try:
        return work(Token(Path(str(gateway.pkcs11_module)), pin))
    except TokenError as error:
        code = error.what.code if isinstance(error.what, messages.Message) else _PIN
        key = next((key for start, key in _KEYS.items() if code.startswith(start)), "statement_key")
        raise ConfigError(config.path, f"gateway, {key}", error.what, error.way_out) from None


def _uri(config: Config) -> TokenUri:
    from ledger_client.tokens.uri import TokenUri

    return TokenUri.parse(str(named(config)))
