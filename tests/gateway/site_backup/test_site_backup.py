"""A site in one file and back: everything that it needs, secrets only encrypted, nothing half, nothing outside."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.profile import CATALOG
from gateway.site_backup.archive import LOCKED, MANIFEST
from gateway.storage.database import Database
from tests.support.commands import Answer, gateway_command
from tests.support.samples import Hands, rewrite, site

PASSPHRASE = "four words behind a door"
TOKEN, USERS, SESSIONS = "token-of-the-ledger", "hash-of-the-installer", "hash-of-a-cookie"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A site whose data, profile and an access file lie outside its folder, with two readings of each meter."""
    root = tmp_path_factory.mktemp("site")
    config = site(root / "etc")
    apart = root / "apart"
    apart.mkdir()
    shutil.copy(CATALOG / "eastron-sdm630.toml", apart / "meter-of-ours.toml")
    shutil.copytree(config.keys, root / "state" / "keys")
    shutil.rmtree(config.keys)
    (apart / "token").write_text(TOKEN)
    (apart / "token").chmod(0o600)
    rewrite(
        config,
        ('data = "data"', f'data = "{root}/state/data"'),
        ('keys = "keys"', f'keys = "{root}/state/keys"'),
        ('profile = "eastron-sdm630" ', f'profile = "{apart}/meter-of-ours.toml" '),
        ('url = "http://127.0.0.1:8700"', f'url = "http://127.0.0.1:8700"\ntoken_file = "{apart}/token"'),
    )
    config = load_config(config.path)
    hands = Hands(config)
    hands.poll(2)
    with hands.store.transaction():
        hands.store.replaced_keys.note([("export-main", bytes(32), 1_800_000_000_000)])
    hands.end()
    (config.keys / "web.users").write_text(USERS)
    (config.data / "web.sessions").write_text(SESSIONS)
    for folder, name in (("commissioning", "export-main.json"), ("statements", "one/rows.csv"), ("documents", "a.pdf")):
        file = config.data / folder / name
        file.parent.mkdir(parents=True)
        file.write_text(name)
    return config


def backup(loaded: Config, target: Path, *options: object) -> Answer:
    return gateway_command("backup", loaded.path, "--site", "-o", target, *options)


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secret") / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    return file


@pytest.fixture(scope="module")
def whole(loaded: Config, passphrase: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup with keys."""
    target = tmp_path_factory.mktemp("backup") / "site.tar"
    done = backup(loaded, target, "--with-keys", "--passphrase-file", passphrase, "--json")
    assert done.code == 0, done.err
    assert (done.facts["with_keys"], done.facts["without"]) == (True, [])
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.stat().st_mode & 0o777 == 0o600
    return target


@pytest.fixture(scope="module")
def bare(loaded: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup without keys."""
    target = tmp_path_factory.mktemp("backup") / "site.tar"
    done = backup(loaded, target)
    assert done.code == 0, done.err
    for name in ("access/token", "keys/statement.pem", "keys/export-main.pem", "keys/web.users"):
        assert name in done.out
    return target


def totals(config: Config) -> object:
    store = Database(config.database, read_only=True)
    try:
        assert store.flaws(whole=True) == []
        return store.totals(), store.replaced_keys.all()
    finally:
        store.close()


@pytest.mark.parametrize("apart", [False, True], ids=["in one folder", "keys and records apart"])
def test_a_site_comes_back_whole(loaded: Config, whole: Path, passphrase: Path, tmp_path: Path, apart: bool) -> None:
    new, state = tmp_path / "new", tmp_path / "state" if apart else tmp_path / "new"
    options = ("--state", state) if apart else ()
    done = gateway_command("restore", whole, new, "--passphrase-file", passphrase, "--json", *options)
    assert done.code == 0, done.err
    assert (done.facts["missing_keys"], done.facts["missing_files"]) == ([], [])
    restored = load_config(new / "gateway.toml")
    assert (restored.data, restored.keys) == (state / "data", state / "keys")
    assert totals(restored) == totals(loaded)
    assert restored.profiles["export-main"] == loaded.profiles["export-main"]
    assert (restored.path.parent / str(restored.document.ledger[0].token_file)).read_text() == TOKEN
    assert restored.trust.read_bytes() == loaded.trust.read_bytes()
    for name in ("statement.pem", "export-main.pem", "web.users"):
        assert (restored.keys / name).read_bytes() == (loaded.keys / name).read_bytes()
        assert (restored.keys / name).stat().st_mode & 0o777 == 0o600
    assert (restored.data / "commissioning" / "export-main.json").exists()
    assert (restored.data / "statements" / "one" / "rows.csv").exists()
    assert (restored.data / "documents" / "a.pdf").exists()
    assert "# Meterseal gateway." in restored.path.read_text(), "comments are kept"


def test_without_keys_a_site_says_what_it_lacks_and_can_be_given_new_ones(
    loaded: Config, bare: Path, tmp_path: Path
) -> None:
    done = gateway_command("restore", bare, tmp_path / "new")
    assert done.code == 0, done.err
    assert "the keys of statement, export-main, stack-co2, pv-inverter" in done.out
    assert "keys enrol-request" in done.out
    assert "the old machine must stay off" in done.out
    assert str(tmp_path / "new" / "access" / "token") in done.out
    path = tmp_path / "new" / "gateway.toml"
    assert gateway_command("keys", path, "--make-missing").code == 0
    assert gateway_command("keys", "enrol-request", path, "-o", tmp_path / "request.enrol").code == 0


def test_no_secret_stands_in_a_backup_in_the_clear(loaded: Config, whole: Path, bare: Path) -> None:
    secrets = [
        TOKEN.encode(),
        USERS.encode(),
        SESSIONS.encode(),
        *(path.read_bytes()[30:90] for path in loaded.keys.glob("*.pem")),
    ]
    for archive in (whole, bare):
        content = archive.read_bytes()
        assert [secret for secret in secrets if secret in content] == []
    with tarfile.open(whole) as tar:
        assert LOCKED in tar.getnames()
    with tarfile.open(bare) as tar:
        assert not {LOCKED, "keys/statement.pem", "access/token"} & {*tar.getnames()}


def test_a_folder_in_use_is_left_as_it_is(loaded: Config, bare: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("mine")
    done = gateway_command("restore", bare, tmp_path / "new")
    assert (done.code, "in use" in done.err) == (2, True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["notes.txt"]
    (tmp_path / "state" / "data").mkdir(parents=True)
    (tmp_path / "state" / "data" / "meterseal.db").write_bytes(b"")
    assert gateway_command("restore", bare, tmp_path / "other", "--state", tmp_path / "state").code == 2
    assert not (tmp_path / "other").exists()


def test_another_passphrase_opens_nothing_and_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("four words before a door")
    done = gateway_command("restore", whole, tmp_path / "new", "--passphrase-file", wrong)
    assert done.code == 2
    assert "do not open with this passphrase" in done.err
    assert not (tmp_path / "new").exists()
    assert gateway_command("restore", whole, tmp_path / "new", "--without-keys").code == 0
    assert not (tmp_path / "new" / "keys").exists()


def test_a_short_passphrase_is_refused(loaded: Config, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("secret\n")
    done = backup(loaded, tmp_path / "x.tar", "--with-keys", "--passphrase-file", tmp_path / "short")
    assert (done.code, "fewer than 12" in done.err) == (2, True)
    assert not (tmp_path / "x.tar").exists()


def test_a_backup_replaces_backups_only(loaded: Config, bare: Path, tmp_path: Path) -> None:
    other = tmp_path / "letters.tar"
    other.write_bytes(b"not ours")
    assert backup(loaded, other).code == 2
    assert other.read_bytes() == b"not ours"
    shutil.copy(bare, tmp_path / "old.tar")
    assert backup(loaded, tmp_path / "old.tar").code == 0


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        streams = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: stream.read() for name, stream in streams if stream is not None}


def written(target: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(target, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in more:
            tar.addfile(member)
    return target


def listing(change: Callable[[dict[str, object]], object]) -> Callable[[dict[str, bytes]], None]:
    def changed(files: dict[str, bytes]) -> None:
        manifest = json.loads(files[MANIFEST])
        change(manifest)
        files[MANIFEST] = json.dumps(manifest).encode()

    return changed


def outside(files: dict[str, bytes], place: str) -> None:
    files[place] = b"x"
    listing(lambda m: m["files"].append({"place": place, "size": 1, "sha256": "0" * 64}))(files)  # type: ignore[attr-defined]


def other_database(files: dict[str, bytes]) -> None:
    files["data/meterseal.db"] = files["data/meterseal.db"][:-4096] + bytes(4096)


HOSTILE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "no list": lambda files: files.pop(MANIFEST),
    "a file more": lambda files: files.update({"data/extra": b"x"}),
    "a file less": lambda files: files.pop("trust.toml"),
    "another text": lambda files: files.update({"trust.toml": files["trust.toml"].replace(b"Public", b"public")}),
    "a longer text": lambda files: files.update({"trust.toml": files["trust.toml"] + b"x"}),
    "another database": other_database,
    "above the folder": lambda files: outside(files, "../outside"),
    "at the root": lambda files: outside(files, "/tmp/meterseal-outside"),
    "a list of another kind": lambda files: files.update({MANIFEST: b"[]"}),
    "a list of a later form": listing(lambda m: m.update(format="meterseal-site/2")),
    "a key of no table": listing(lambda m: m.update(moved=[{"key": ["bus", "x", "port"], "place": "y"}])),
    "data outside": listing(lambda m: m.update(data="../data")),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_what_was_changed_is_refused_and_nothing_is_left(
    bare: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object]
) -> None:
    files = members(bare)
    change(files)
    done = gateway_command("restore", written(tmp_path / "changed.tar", files), tmp_path / "new")
    assert done.code in (1, 2), done.out
    assert "Traceback" not in done.err
    assert "fix:" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed.tar"]
    assert not (tmp_path.parent / "outside").exists()
    assert not Path("/tmp/meterseal-outside").exists()


def test_a_link_or_a_file_twice_is_refused(bare: Path, tmp_path: Path) -> None:
    files = members(bare)
    link = tarfile.TarInfo("trust.toml")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    files_without = {name: data for name, data in files.items() if name != "trust.toml"}
    for number, archive in enumerate((({**files_without}, link), ({**files}, tarfile.TarInfo("trust.toml")))):
        content, member = archive
        done = gateway_command("restore", written(tmp_path / f"{number}.tar", content, member), tmp_path / "new")
        assert done.code == 2, done.out
        assert not (tmp_path / "new").exists()


def test_a_backup_that_was_cut_off_is_refused(bare: Path, tmp_path: Path) -> None:
    content = bare.read_bytes()
    for size in (0, 1, 511, 512, 5000, len(content) // 2, len(content) - 10240 - 700):
        (tmp_path / "cut.tar").write_bytes(content[:size])
        done = gateway_command("restore", tmp_path / "cut.tar", tmp_path / "new")
        assert (done.code, "Traceback" in done.err) == (2, False), (size, done.err)
        assert not (tmp_path / "new").exists()


def test_the_recipe_of_the_documentation_opens_the_secrets(
    loaded: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = members(whole)
    for name in (MANIFEST, LOCKED):
        (tmp_path / name).write_bytes(files[name])
    text = (Path(__file__).parents[3] / "docs" / "storage.md").read_text()
    (recipe,) = (block for block in text.split("```python\n")[1:] if LOCKED in block)
    monkeypatch.chdir(tmp_path)
    exec(recipe.partition("```")[0].replace("the passphrase", PASSPHRASE), {})
    assert members(tmp_path / "secrets.tar")["keys/statement.pem"] == (loaded.keys / "statement.pem").read_bytes()


def test_what_cannot_be_read_is_no_backup_and_said_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.tar"):
        done = gateway_command("restore", path, tmp_path / "new")
        assert (done.code, "cannot be read" in done.err) == (2, True), done.err
