"""Rotation of a key: the next one is made and asked for, put into use once the ledgers know it, the old one retired.

Each step is a function that can be killed between two writes and be repeated (config/key_folder.py). What it changes
lies in the folder of keys, in the trust file and in the enrolment request; a gateway takes its keys from that folder at
a start and a reload, by a signed ``keys`` event, and until then the old key signs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from gateway.commissioning.key_receipts import receipts_until
from gateway.commissioning.site_init import end_in_trust, trust_next
from gateway.config.device_keys import REQUEST_FILE, enrol_request, key_fault, key_names, load_keys, write_request
from gateway.config.key_folder import (
    STATEMENT,
    Edit,
    FormerKey,
    TokenPlace,
    destroy,
    former_keys,
    is_half_way,
    make_next,
    make_next_in_token,
    next_in_token,
    next_key,
    next_public,
    take_next,
    took_next,
    write_former,
)
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.evidence.key_match import listed_as_replaced
from gateway.messages.message import Message
from gateway.process.file_owner import as_its_folder, demand_folder
from ledger_client.durable_files import alone
from ledger_client.formats.cose_key import PublicKey, Signer, base64url

State = Literal["in use", "next", "replaced", "retired"]


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key of a gateway: whose (a meter, or ``statement``), how it stands, and of one that was replaced or retired
    when (Unix seconds; of a retired one until when it counts) and why."""

    owner: str
    state: State
    public: PublicKey
    since: int | None = None
    reason: str | None = None


def states(config: Config) -> list[KeyState]:
    """Every key in the folder or on its list: those in use, then the next ones, replaced and retired ones. Raises
    GatewayError, KeyFileError."""
    keys = load_keys(config)
    used = {STATEMENT: keys.statement, **keys.meters}
    found = [KeyState(name, "in use", key.public) for name, key in used.items()]
    for name, key in used.items():
        waiting = next_public(config, name)
        if waiting is not None and waiting.kid != key.public.kid:
            found.append(KeyState(name, "next", waiting))
    former = [key for key in former_keys(config) if not is_half_way(config, key)]
    kept = [KeyState(key.owner, "replaced", key.key, key.replaced) for key in former if key.retired is None]
    gone = [KeyState(k.owner, "retired", k.key, k.retired, k.reason) for k in former if k.retired is not None]
    return [*found, *kept, *gone]


def prepare(
    config: Config, name: str, now_s: int, identities: Mapping[str, str], place: TokenPlace | None = None
) -> PublicKey:
    """Make the next key of a meter, or of the statements, if none waits; have it in the trust file, and write the
    enrolment request, signed by both. ``place``: the next statement key is made in a token.

    Raises GatewayError, LedgerClientError.
    """
    with _alone(config, name):
        if place is not None and name != STATEMENT:
            raise GatewayError(Message("rotate-meter-in-token", name=name))
        present = _present(config, name)
        if (former := _former(config, present.public.kid)) is not None and is_half_way(config, former):
            raise GatewayError(Message("rotate-half-way", name=name, config=str(config.path)))
        waiting = next_key(config, name)
        if waiting is None and place is None:
            waiting = make_next(config, name)
        elif waiting is None and place is not None:
            used = [present.public.kid, *(key.kid for key in former_keys(config))]
            waiting = make_next_in_token(config, name, place, used)
        elif (place and (place, waiting and waiting.public)) != (place and next_in_token(config, name)):
            raise GatewayError(Message("rotate-other-waits", name=name, path=str(config.keys), config=str(config.path)))
        assert waiting is not None
        trust_next(config, name, waiting.public, now_s)
        _request(config, now_s, identities)
        return waiting.public


def use(config: Config, name: str, now_s: int, ask: Callable[[str, PublicKey], object], edit: Edit) -> PublicKey:
    """Put the next key in the place of the one in use; ``ask`` raises GatewayError where a ledger does not know it,
    ``edit`` changes gateway.toml where a token has one of the two. Returns the key in use, also where that was done
    before. Raises GatewayError, LedgerClientError."""
    with _alone(config, name):
        present, waiting = _present(config, name), next_public(config, name)
        if waiting is None:
            if any(key.owner == name and key.by == present.public.kid.hex() for key in former_keys(config)):
                return present.public
            raise GatewayError(Message("rotate-no-next", name=name, config=str(config.path)))
        if waiting.kid == present.public.kid:  # a command was killed behind the change
            took_next(config, name, in_token=next_in_token(config, name) is not None)
            return present.public
        ask(name, waiting)
        token = TokenPlace.of(config) if name == STATEMENT else None
        former = FormerKey(name, present.public.to_text(), waiting.kid.hex(), now_s, token=token)
        write_former(config, [*(key for key in former_keys(config) if key.kid != former.kid), former])
        take_next(config, former, edit)
        return waiting


def retire(
    config: Config, kid: str, reason: str, now_s: int, identities: Mapping[str, str]
) -> tuple[FormerKey, bool, bool]:
    """Destroy a replaced key, once every batch with a record or statement by it has the receipts of all ledgers, and
    have the next enrolment request and the trust file say until when it counted. ``kid``: base64url or hex.

    Returns the key, whether there was something to destroy, and whether the trust file could be changed. Raises
    GatewayError, LedgerClientError.
    """
    with _alone(config):
        former = _to_retire(config, kid)
        if former.retired is None:
            until_s = receipts_until(config, former)
            gone = destroy(config, former)
            former = replace(former, retired=max(now_s, until_s + 1), reason=reason)
            write_former(config, [former if key.kid == former.kid else key for key in former_keys(config)])
        else:
            gone = destroy(config, former)
        _request(config, now_s, identities)
        return former, gone, end_in_trust(config, former.kid, former.retired or now_s)


def _to_retire(config: Config, kid: str) -> FormerKey:
    for state in states(config):
        if kid not in (base64url(state.public.kid), state.public.kid.hex()):
            continue
        if state.state == "in use":
            raise GatewayError(Message("retire-in-use", name=state.owner, config=str(config.path)))
        if state.state == "next":
            raise GatewayError(Message("retire-next", name=state.owner, path=str(config.keys)))
        return next(key for key in former_keys(config) if key.kid == state.public.kid)
    raise GatewayError(Message("retire-unknown", kid=kid[:64], config=str(config.path)))


@contextmanager
def _alone(config: Config, name: str = STATEMENT) -> Iterator[None]:
    """One command at a time; raises GatewayError where nobody has that name."""
    if name not in key_names(config):
        meters = tuple(config.meters)
        raise GatewayError(Message("rotate-no-owner", name=name, meters=meters, config=str(config.path)))
    demand_folder(config.keys, "keys")
    load_keys(config)  # that the folder is there, and in order
    with alone(config.keys):
        yield


def _present(config: Config, name: str) -> Signer:
    keys = load_keys(config)
    key = keys.statement if name == STATEMENT else keys.meters[name]
    if (why := listed_as_replaced(config, name, key.public.kid)) is not None:
        raise key_fault(config, name, why)
    return key


def _former(config: Config, kid: bytes) -> FormerKey | None:
    return next((key for key in former_keys(config) if key.kid == kid), None)


def _request(config: Config, now_s: int, identities: Mapping[str, str]) -> None:
    path = config.keys / REQUEST_FILE
    write_request(path, enrol_request(config, load_keys(config), now_s, identities))
    as_its_folder(path)
