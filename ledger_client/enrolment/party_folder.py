"""Folder of a party: its key ``key.pem`` and its enrolment request ``NAME.enrol``, made once, and a key that follows.

The request says name and role; the key that it names, or the one before that, is the folder's. A next key is on disk
before the request that names it, and takes its place last: a rotation that was cut short goes on where it was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger_client.durable_files import rename, whole_file
from ledger_client.enrolment.party_request import PartyEnrolment, parse_any, sign_party
from ledger_client.errors import LedgerClientError, VerificationError
from ledger_client.formats.checks import MAX_BUNDLE, is_name
from ledger_client.formats.cose_key import PrivateKey, PublicKey, base64url, load_private_key, save_private_key
from ledger_client.verification.trust import PARTY_ROLES
from ledger_client.verification.trust_text import key_entry

KEY: Final = "key.pem"
NEXT_KEY: Final = "key.next.pem"


class PartyFolderError(LedgerClientError):
    """The folder is not one of a party, or cannot become one: what, where, and the way out."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who signs claims with ``key``: its name, its role of ``PARTY_ROLES``, and the request in its folder."""

    name: str
    role: str
    key: PrivateKey
    request: PartyEnrolment
    file: Path

    def entry(self) -> str:
        """Its ``[[key]]`` entry for a trust file, valid from the request's time on."""
        return key_entry(self.role, self.key.public, self.request.time, party=self.name)


def make(folder: Path, name: str, role: str, now_s: int) -> Party:
    """Make a key and its request in ``folder``, which is made, too, where it is not there.

    Raises ``PartyFolderError``: no such name or role, or a key is there; ``KeyFileError``.
    """
    if not is_name(name):
        raise PartyFolderError(f"{name!r}: a party's name is [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}", "give another name")
    if role not in PARTY_ROLES:
        raise PartyFolderError(f"{role!r}: is no role of a party", f"use one of {', '.join(PARTY_ROLES)}")
    if (folder / KEY).exists():
        raise PartyFolderError(f"{folder / KEY}: there is a key already", "give another folder, or rotate this one")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f"{KEY}.new"
        new.unlink(missing_ok=True)  # half a key, of a start that was cut short
        key = PrivateKey.generate()
        save_private_key(new, key)
        _write(folder, PartyEnrolment(name, role, now_s, key.public), key)
        rename(new, folder / KEY)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return load(folder)


def load(folder: Path) -> Party:
    """The party of a folder. Raises ``PartyFolderError``, ``KeyFileError``."""
    if not (folder / KEY).exists():
        raise PartyFolderError(f"{folder}: no party here", f"make one: meterseal-ledger party new NAME -o {folder}")
    key = load_private_key(folder / KEY)
    for file in sorted(folder.glob("*.enrol")):
        asked = _read(file)
        if asked is not None and key.public.kid in {one.kid for one in asked.signing_keys()}:
            return Party(asked.party, asked.role, key, asked, file)
    problem = f"{folder}: no enrolment request here is by the key in {KEY}, so that nothing says whose it is"
    raise PartyFolderError(problem, "restore NAME.enrol and the key from one backup")


def rotate(folder: Path, now_s: int) -> tuple[PublicKey, Party]:
    """Sign with a new key from now on, and ask for it with a request that the key before signs, too.

    Returns (the key before, the party as it is now). The key before stays in the folder under its thumbprint. Raises
    ``PartyFolderError``, ``KeyFileError``.
    """
    party = load(folder)
    before = party.key
    try:
        following = _next_key(folder)
        _write(
            folder, PartyEnrolment(party.name, party.role, now_s, following.public, before.public), following, before
        )
        with suppress(FileExistsError):  # of a rotation that was cut short
            os.link(folder / KEY, folder / f"key.{base64url(before.public.kid)}.pem")
        rename(folder / NEXT_KEY, folder / KEY)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return before.public, load(folder)


def _write(folder: Path, asked: PartyEnrolment, *signers: PrivateKey) -> None:
    with whole_file(folder / f"{asked.party}.enrol") as file:
        file.write(sign_party(asked, {key.public.kid: key for key in signers}))


def _read(file: Path) -> PartyEnrolment | None:
    """The request in a file; None where it is none of a party."""
    try:
        with file.open("rb") as stream:
            asked = parse_any(stream.read(2 * MAX_BUNDLE))
    except (OSError, VerificationError):
        return None
    return asked if isinstance(asked, PartyEnrolment) else None


def _next_key(folder: Path) -> PrivateKey:
    path = folder / NEXT_KEY
    if not path.exists():
        new = folder / f"{NEXT_KEY}.new"
        new.unlink(missing_ok=True)
        save_private_key(new, PrivateKey.generate())
        rename(new, path)
    return load_private_key(path)


def _not_writable(folder: Path, error: OSError) -> PartyFolderError:
    return PartyFolderError(f"{folder}: {error.strerror}", "give a folder that this user may write in")
