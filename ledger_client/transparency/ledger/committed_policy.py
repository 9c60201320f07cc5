"""Committed policy of a ledger: the policy in its log, kept in step with ``policy.toml``.

What the file asks for and the log does not tell yet is registered first and applied then, whoever comes: the ledger at
its start or when the file has changed, ``enroll`` or ``revoke`` behind its own change, or the next of them after one
that was cut short. All do it under the lock of the folder, in one transaction a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from ledger_client.durable_files import alone
from ledger_client.errors import LedgerClientError, LedgerUnavailable, TrustFileError
from ledger_client.formats.cose_key import Signer, base64url
from ledger_client.formats.notes import Vkey
from ledger_client.formats.receipt import sign_receipt
from ledger_client.transparency.ledger.directory import POLICY, RULES, LedgerDir, has_log, open_log
from ledger_client.transparency.ledger.held_key import LedgerSigner, present_key
from ledger_client.transparency.log.entries import Place, Reader, Writer
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.key_entries import applied, changes_of, difference, sign_change
from ledger_client.transparency.policy.ledger_keys import LedgerKey, checkpoint_keys, rules_of, sign_rules
from ledger_client.transparency.policy.policy_file import Mark, Policy, load_policy, look
from ledger_client.verification.trust import Place as KeyPlace
from ledger_client.verification.trust import TrustKey

_LOG = logging.getLogger("meterseal.ledger")

_State = tuple[int, dict[KeyPlace, TrustKey], Policy]
"""The last of the ledger's own entries, and what they tell up to it."""
_UNREAD: Mark = (-1, -1, -1)

Keys = Callable[[Reader], tuple[Signer, list[LedgerKey]]]
"""The key that signs at a state of the log, and the history of all."""


class CommittedPolicy:
    """The policy of the ledger in one folder; safe to ask from any thread."""

    def __init__(
        self, folder: Path, log: Log, keys: Keys, now: Callable[[], float] = time.time, vkey: Vkey | None = None
    ) -> None:
        """``vkey``: of the log's checkpoints, which the log is to name."""
        self._folder, self._log, self._keys, self._now, self._vkey = folder, log, keys, now, vkey
        self._path = folder / POLICY
        self._lock = threading.Lock()
        self._mark: Mark | None = _UNREAD
        self._held: _State = (-1, {}, Policy(()))
        self.flaw: str | None = None
        """Why the policy file is not the policy; ``None`` while it is."""

    @classmethod
    def begun(cls, folder: LedgerDir, now: Callable[[], float] = time.time) -> CommittedPolicy:
        """The policy of a ledger that is to be served, in step with its file.

        Raises ``TrustFileError`` for a file that is not in order, ``LedgerUnavailable`` for a log that takes nothing.
        """
        made = cls(folder.path, folder.log, folder.keys, now, folder.vkey)
        made.register(rules=True)
        return made

    def current(self) -> Policy:
        """The policy in force. A file that has changed is read, what is new of it registered, and then applied.

        A file that cannot be understood, or is gone, changes nothing, and neither does one that cannot be registered:
        then the policy before stays in force, and ``flaw`` says so.
        """
        with self._lock:
            mark = look(self._path)  # taken first: what changes while we read is seen the next time
            if mark != self._mark:
                self._renew(mark)
            return self._held[2]

    def at(self, entries: Reader) -> Policy:
        """The policy that the log tells at this state of it, whatever the file says."""
        return self._state(entries)[2]

    def register(self, *, rules: bool = False) -> None:
        """Register what the file asks for and the log does not tell; ``rules``: those of this program, too.

        Raises ``TrustFileError``, ``LedgerUnavailable``: then nothing was registered.
        """
        with alone(self._folder):
            self.register_alone(load_policy(self._path), rules=rules)

    def register_alone(self, wanted: Policy, *, rules: bool = False) -> None:
        """The same for a policy that the caller has read, or has just written, within ``alone``."""
        with self._log.read() as entries:
            changed = rules and self._are_others(entries.own_entry_bytes())
            differs = any(difference(self._state(entries)[1], wanted.keys, 0))
        if changed or differs:
            with self._log.write() as entries:
                self._append(entries, wanted, changed)
        with self._log.read() as entries:
            self.at(entries)

    def _are_others(self, own_entries: list[bytes]) -> bool:
        """Whether the log tells other rules than this program's, or another key of its checkpoints."""
        vkey = () if self._vkey is None else (self._vkey,)
        return rules_of(own_entries) != list(RULES) or tuple(checkpoint_keys(own_entries)[-1:]) != vkey

    def _append(self, entries: Writer, wanted: Policy, rules: bool) -> None:
        signer, keys = self._keys(entries)
        iat = max(int(self._now()), keys[-1].since)
        if rules:
            self._add(entries, sign_rules(self._log.name, iat, RULES, signer, self._vkey), iat, signer)
        for change in difference(self._state(entries)[1], wanted.keys, iat):
            numbered = replace(change, number=entries.size())
            self._add(entries, sign_change(self._log.name, numbered, signer), iat, signer)

    def _add(self, entries: Writer, entry: bytes, iat: int, signer: Signer) -> None:
        sub = base64url(sha256(entry).digest())

        def sign(place: Place) -> bytes:
            return sign_receipt(self._log.name, sub, iat, place.size, place.index, place.path, place.root, signer)

        entries.append(entry, sign)

    def _state(self, entries: Reader) -> _State:
        last, (number, keys, policy) = entries.last_own(), self._held
        if last == number:
            return number, keys, policy
        if last < number:  # a look at the log from before a change
            number, keys = -1, {}
        changes = ((number, entry) for number, entry, _ in entries.own_entries(number))
        keys = applied(keys, changes_of(changes))
        state = (last, keys, Policy(tuple(keys.values())))
        if last > self._held[0]:
            self._held = state
        return state

    def _renew(self, mark: Mark | None) -> None:
        try:
            self.register()
        except (LedgerClientError, OSError) as error:
            if str(error) != self.flaw:
                _LOG.error("%s (the policy before it stays in force)", error)
            self.flaw = str(error)
            with suppress(LedgerUnavailable), self._log.read() as entries:
                self._state(entries)  # what a command has registered before
            self._mark = mark if isinstance(error, TrustFileError) else _UNREAD  # the disk may take it the next time
        else:
            if self._mark != _UNREAD:
                _LOG.info("%s was read again: %d keys", self._path, len(self._held[2].keys))
            self._mark, self.flaw = mark, None


@contextmanager
def changing(folder: Path) -> Iterator[Callable[[], None]]:
    """For a command that changes the policy file of the ledger in ``folder``, which may be serving: nobody else does
    meanwhile, what was cut short before is registered, and so is the change when the caller calls what it is given.

    A bridge to a chain has no log: there the file is the policy. Raises ``LedgerClientError`` before anything changes.
    """
    if not has_log(folder):
        with alone(folder):
            yield lambda: None
        return
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        log = stack.enter_context(closing(open_log(folder)))
        signers: list[LedgerSigner] = []

        def keys(entries: Reader) -> tuple[Signer, list[LedgerKey]]:
            held, history = present_key(folder, log.name, entries.own_entry_bytes())
            if not signers or signers[-1].public != held.public:
                signers.append(stack.enter_context(closing(held.signer())))
            return signers[-1], history

        policy = CommittedPolicy(folder, log, keys)

        def register() -> None:
            try:
                policy.register_alone(load_policy(folder / POLICY))
            except LedgerUnavailable as error:
                problem = f"{folder / POLICY}: is changed, but the log does not take it ({error.problem})"
                raise LedgerUnavailable(f"{problem}; whoever comes next, the ledger too, will see to it") from None

        with log.read() as entries:
            present_key(folder, log.name, entries.own_entry_bytes())  # without the key nothing could be registered
        policy.register_alone(load_policy(folder / POLICY))
        yield register
