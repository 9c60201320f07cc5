"""Claims of a party on their way to a registry: signed, kept, sent, receipted, in that order. Files and network.

In the party's folder ``outbox/REGISTRY/N.claim`` is a claim that was signed and has no receipt yet, and
``claims/REGISTRY/N.claim`` one that has: its entry with the receipt in header 394, or beside its place on a chain. Each
is on disk before the next step begins. Whoever begins repeats first what is left in the outbox: the registry gives the
same claim its first receipt (R5), so that nothing is done twice, and nothing that was receipted is lost.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ledger_client.claims.claim import Claim, Deed, Retire, SignedClaim, parse_claim, sign_claim
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.durable_files import sync_folder, whole_file
from ledger_client.enrolment.party_folder import Party, PartyFolderError
from ledger_client.errors import BadReceipt, Refused, VerificationError
from ledger_client.formats.bundle import decode_locator, is_locator
from ledger_client.ledgers.registry import RegistryClient
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import check_receipt

OUTBOX: Final = "outbox"
CLAIMS: Final = "claims"
SUFFIX: Final = ".claim"

Check = Callable[[bytes, bytes], tuple[str, int]]
"""(registry, Unix seconds) of an entry and what its registry gave for it; raises VerificationError."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A claim that the registry has, its receipt, and since when by that (Unix seconds)."""

    signed: SignedClaim
    receipt: bytes
    time_s: int


@dataclass(slots=True)
class Sender:
    """Sends the claims of one party to one registry; made by ``sending``, which holds the folder's lock."""

    party: Party
    registry: RegistryClient
    trust: Trust
    now_s: Callable[[], int]
    check: Check
    _following: int | None = field(default=None, init=False)

    def repeat(self) -> list[Sent | Refused]:
        """Send again what an earlier run left in the outbox. Raises as ``send`` does, but for Refused."""
        done: list[Sent | Refused] = []
        for path in _files(self._folder(OUTBOX)):
            try:
                done.append(self._sent(path, path.read_bytes()))
            except Refused as error:
                done.append(error)
        return done

    def send(self, deed: Deed) -> Sent:
        """Claim it under the party's next number.

        Raises Refused: the registry says no for good, and nothing is left in the outbox; LedgerUnavailable: no answer
        now; VerificationError: its receipt does not hold. After these two the claim is repeated by the next run.
        """
        sent = self._sent(*self._signed(deed, 0))
        self._following = sent.signed.claim.number + 1
        return sent

    def send_all(self, deeds: Sequence[Deed]) -> list[Sent | Refused]:
        """``send`` each of these, together where the registry takes several at once; what it refuses changes nothing of
        the others."""
        signed = [self._signed(deed, n) for n, deed in enumerate(deeds)]
        done: list[Sent | Refused] = []
        try:
            receipts = self.registry.submit_many([entry for _, entry in signed])
            done += [self._settled(*one, receipt) for one, receipt in zip(signed, receipts, strict=True)]
        except Refused:  # one of them; the same claim again is harmless
            for path, entry in signed:
                try:
                    done.append(self._sent(path, entry))
                except Refused as error:
                    done.append(error)
                    break
        taken = [one.signed.claim.number for one in done if isinstance(one, Sent)]
        self._following = max(taken) + 1 if taken else None
        for path, _ in signed[len(done) :]:
            path.unlink()
        return done + (self.send_all(deeds[len(done) :]) if len(done) < len(deeds) else [])

    def _signed(self, deed: Deed, ahead: int) -> tuple[Path, bytes]:
        """A claim so far ahead of the party's next one, in the outbox: its file and its entry."""
        if self._following is None:
            self._following = self.registry.party(self.party.name)[0]
        claim = Claim(self.party.name, self._following + ahead, self.registry.name, self.now_s(), deed)
        entry = sign_claim(claim, self.party.key)
        path = self._folder(OUTBOX) / f"{claim.number}{SUFFIX}"
        with whole_file(path) as file:
            file.write(entry)
        return path, entry

    def deeds(self) -> list[Deed]:
        """What this party has claimed at this registry and has the receipt of."""
        return [signed.claim.deed for signed, _ in kept(self.party.file.parent, self.registry.name)]

    def pending(self) -> bool:
        """Whether a claim waits for its receipt."""
        return bool(_files(self._folder(OUTBOX)))

    def _sent(self, path: Path, entry: bytes) -> Sent:
        try:
            receipt = self.registry.submit(entry)
        except Refused:
            path.unlink()
            raise
        return self._settled(path, entry, receipt)

    def _settled(self, path: Path, entry: bytes, receipt: bytes) -> Sent:
        ledger, time_s = self.check(entry, receipt)
        if ledger != self.registry.name:
            raise BadReceipt(f"the receipt is of the ledger {ledger}, not of {self.registry.name}", step=6)
        with whole_file(self._folder(CLAIMS) / path.name) as file:
            given = GivenClaim(entry, (), decode_locator(receipt)) if is_locator(receipt) else None
            file.write((given or GivenClaim(entry, (receipt,))).encode())
        path.unlink()
        return Sent(parse_claim(entry), receipt, time_s)

    def _folder(self, name: str) -> Path:
        return _made(self.party.file.parent, name, self.registry.name)


@contextmanager
def sending(
    party: Party, registry: RegistryClient, trust: Trust, now_s: Callable[[], int], check: Check | None = None
) -> Iterator[Sender]:
    """A sender that nobody else of this folder sends beside. Raises PartyFolderError.

    ``check``: of places on a chain; without it what comes is a receipt, checked by the trust file.
    """

    def by_receipt(entry: bytes, receipt: bytes) -> tuple[str, int]:
        return check_receipt(entry, receipt, trust, now_s())

    lock = party.file.parent / f".{OUTBOX}.lock"
    try:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                way_out = "wait for it, then repeat this command"
                raise PartyFolderError(f"{lock.parent}: another command sends claims from here", way_out) from None
            yield Sender(party, registry, trust, now_s, check or by_receipt)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PartyFolderError(f"{lock.parent}: {error.strerror}", "give a folder that may be written in") from None


def kept(folder: Path, registry: str) -> Iterator[tuple[SignedClaim, tuple[bytes, ...]]]:
    """The claims of a party's folder that have their receipts, in order of number. Raises PartyFolderError."""
    for path in _files(folder / CLAIMS / registry):
        try:
            given = GivenClaim.decode(path.read_bytes())
            yield parse_claim(given.entry), given.receipts
        except (OSError, VerificationError) as error:
            raise PartyFolderError(f"{path}: is no claim: {error}", "restore it from a backup, or remove it") from None


def bare(deed: Deed) -> Deed:
    """A deed without whom it is for, which each claim hides anew: to be compared with another."""
    return replace(deed, beneficiary=None) if isinstance(deed, Retire) else deed


def _files(folder: Path) -> list[Path]:
    """Claims in order of number."""
    return sorted(
        (path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()), key=lambda path: int(path.stem)
    )


def _made(*parts: Path | str) -> Path:
    """A folder, durably."""
    folder = Path(*parts)
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)
    return folder
