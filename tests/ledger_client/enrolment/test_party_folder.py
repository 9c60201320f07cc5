"""A party's folder: a key that is never overwritten, a request by it, and a rotation that can be cut short."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ledger_client.enrolment.party_folder import Party, PartyFolderError, load, make, rotate
from ledger_client.enrolment.party_request import PartyEnrolment, parse_any, sign_party
from ledger_client.errors import KeyFileError
from ledger_client.formats.cose_key import PrivateKey, base64url, load_private_key, save_private_key
from ledger_client.verification.trust import PARTY_ROLES
from ledger_client.verification.trust_file import parse_trust

NOW = 1_795_000_000


@pytest.mark.parametrize("role", PARTY_ROLES)
def test_a_new_party_has_a_key_of_its_own_and_a_request_by_it(tmp_path: Path, role: str) -> None:
    made = make(tmp_path / "deep" / "works", "works", role, NOW)
    found = load(made.file.parent)
    assert (found.name, found.role, found.key.public, found.request) == ("works", role, made.key.public, made.request)
    assert stat.S_IMODE((made.file.parent / "key.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in made.file.parent.iterdir()) == ["key.pem", "works.enrol"]
    assert parse_any(made.file.read_bytes()) == PartyEnrolment("works", role, NOW, made.key.public)
    (entry,) = parse_trust(made.entry(), "t", anchored=False).keys
    assert (entry.role, entry.party, entry.kid, entry.valid_from) == (role, "works", made.key.public.kid, NOW)


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    made = make(tmp_path, "works", "party", NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("works", "other"):
        with pytest.raises(PartyFolderError, match="there is a key already"):
            make(tmp_path, name, "issuer", NOW + 1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load(tmp_path).key.public == made.key.public


def test_a_start_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    save_private_key(tmp_path / "key.pem.new", PrivateKey.generate())
    made = make(tmp_path, "works", "party", NOW)
    assert load(tmp_path).key.public == made.key.public
    assert not (tmp_path / "key.pem.new").exists()


@pytest.mark.parametrize(
    ("name", "role", "says"),
    [
        ("no name", "party", "a party's name is"),
        ("", "party", "a party's name is"),
        ("a", "meter", "no role of a party"),
    ],
)
def test_names_and_roles_that_cannot_be(tmp_path: Path, name: str, role: str, says: str) -> None:
    with pytest.raises(PartyFolderError, match=says):
        make(tmp_path / "new", name, role, NOW)
    assert not (tmp_path / "new").exists()


def test_what_is_no_partys_folder(tmp_path: Path) -> None:
    with pytest.raises(PartyFolderError, match="no party here"):
        load(tmp_path / "nowhere")
    made = make(tmp_path, "works", "party", NOW)
    stranger = PrivateKey.generate()
    asked = sign_party(PartyEnrolment("works", "party", NOW, stranger.public), {stranger.public.kid: stranger})
    for data in (asked, b"", made.file.read_bytes()[:-1]):
        made.file.write_bytes(data)
        with pytest.raises(PartyFolderError, match="nothing says whose it is"):
            load(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.raises(KeyFileError):
        load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PartyFolderError, match="give a folder"):
        make(tmp_path / "file", "works", "party", NOW)


def followed(folder: Path, first: Party, now: Party) -> None:
    asked = parse_any(now.file.read_bytes())
    assert asked == PartyEnrolment("works", "issuer", NOW + 9, now.key.public, first.key.public)
    kept = load_private_key(folder / f"key.{base64url(first.key.public.kid)}.pem")
    assert kept.public == first.key.public != now.key.public
    assert load(folder).key.public == now.key.public
    assert not (folder / "key.next.pem").exists()


def test_the_key_before_signs_for_the_next_one_and_is_kept(tmp_path: Path) -> None:
    first = make(tmp_path, "works", "issuer", NOW)
    before, now = rotate(tmp_path, NOW + 9)
    assert before == first.key.public
    followed(tmp_path, first, now)
    again, last = rotate(tmp_path, NOW + 10)
    assert again == now.key.public
    assert last.request.before == again


@pytest.mark.parametrize("done", ["the next key", "its request", "the copy of the key before"])
def test_a_rotation_that_was_cut_short_goes_on_with_the_same_key(tmp_path: Path, done: str) -> None:
    first, following = make(tmp_path, "works", "issuer", NOW), PrivateKey.generate()
    save_private_key(tmp_path / "key.next.pem", following)
    if done != "the next key":
        asked = PartyEnrolment("works", "issuer", NOW + 5, following.public, first.key.public)
        first.file.write_bytes(sign_party(asked, {key.public.kid: key for key in (following, first.key)}))
    if done == "the copy of the key before":
        (tmp_path / f"key.{base64url(first.key.public.kid)}.pem").hardlink_to(tmp_path / "key.pem")
    assert load(tmp_path).key.public == first.key.public
    _, now = rotate(tmp_path, NOW + 9)
    assert now.key.public == following.public
    followed(tmp_path, first, now)
