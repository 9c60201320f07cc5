"""Rotation from a file into a token, within it and back: gateway.toml names what is in use, and nothing else does."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.keys import _edit
from gateway.commissioning.key_rotation import prepare, retire, states, use
from gateway.config import token_key
from gateway.config.device_keys import load_keys
from gateway.config.key_folder import TokenPlace
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.evidence.key_match import listed_as_replaced
from gateway.storage.database import Database
from ledger_client.tokens.token import forget_modules
from tests.gateway.commissioning.test_key_rotation import NOW_S, code, killed_at, listed
from tests.gateway.commissioning.test_key_rotation import request as request_of
from tests.support.samples import site
from tests.support.tokens.engine import Engine
from tests.support.tokens.softhsm import softhsm
from tests.support.tokens.swtpm import swtpm


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with softhsm(tmp_path_factory.mktemp("token")) as made:
        yield made
    forget_modules()


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with swtpm(tmp_path_factory.mktemp("tpm")) as made:
        yield made
    forget_modules()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = site(tmp_path / "site")
    Database(made.database).close()  # of a gateway that has recorded nothing
    return made.path


def place(token: Engine, name: str) -> TokenPlace:
    return TokenPlace(f"pkcs11:token={token.label};object={name}", str(token.module), str(token.pin_file))


def config(path: Path) -> Config:
    """As a command reads it: what was opened is asked for anew."""
    token_key._OPEN.clear()
    return load_config(path)


def in_use(path: Path) -> bytes:
    return load_keys(config(path)).statement.public.kid


def moved(path: Path, to: TokenPlace | None) -> tuple[bytes, bytes]:
    """A whole rotation; the thumbprints before and behind it."""
    old = in_use(path)
    new = prepare(config(path), "statement", NOW_S, {}, to).kid
    assert prepare(config(path), "statement", NOW_S, {}, to).kid == new
    asked = request_of(config(path))
    assert [key.kid for key in (asked.statement, asked.before) if key] == [new, old]
    assert in_use(path) == old
    for _ in range(2):
        assert use(config(path), "statement", NOW_S, listed, _edit).kid == new
    assert in_use(path) == new
    assert [key.state for key in states(config(path)) if key.public.kid == old] == ["replaced"]
    return old, new


@pytest.mark.parametrize("kind", ["token", "tpm"])
def test_into_a_token_within_it_and_back(path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    token: Engine = request.getfixturevalue(kind)
    first, second, third = (place(token, f"way-{n}") for n in range(3))
    olds = []
    # without a resource manager a TPM has room for two keys at a time
    for to in (first, second, None, third) if kind == "token" else (first, None):
        old, _ = moved(path, to)
        olds.append(old)
        assert TokenPlace.of(config(path)) == to
        assert (path.parent / "keys" / "statement.pem").exists() is (to is None)
        assert retire(config(path), old.hex(), "planned", NOW_S, {})[1]
        assert not retire(config(path), old.hex(), "again", NOW_S, {})[1]  # nothing is left to destroy
    assert [key.kid for key in request_of(config(path)).retired] == olds
    with pytest.raises(GatewayError):
        token_key.loaded(first.in_use(config(path)))


def test_what_cannot_be(path: Path, token: Engine) -> None:
    one, two = place(token, "bad-1"), place(token, "bad-2")
    moved(path, one)
    cases: list[tuple[str, Callable[[], object]]] = [
        ("rotate-meter-in-token", lambda: prepare(config(path), "stack-co2", NOW_S, {}, two)),
        ("rotate-same-key", lambda: prepare(config(path), "statement", NOW_S, {}, one)),
    ]
    for wanted, step in cases:
        with pytest.raises(GatewayError) as refused:
            step()
        assert code(refused.value) == wanted
    prepare(config(path), "statement", NOW_S, {}, two)
    with pytest.raises(GatewayError) as refused:
        prepare(config(path), "statement", NOW_S, {}, one)
    assert code(refused.value) == "rotate-other-waits"


def without_threads() -> None:
    """Threads of tokens would not be in the process that is killed; one that ends holds a lock of OpenSSL, which that
    process would find locked for ever."""
    ending = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("token ")]
    forget_modules()
    while any(Path(f"/proc/self/task/{thread}").exists() for thread in ending):
        time.sleep(0.001)


def test_the_change_of_place_may_be_killed_in_front_of_each_write_and_repeated(path: Path, token: Engine) -> None:
    folder, template = path.parent, path.parent.with_name("template")
    for to in (place(token, "kill"), None):
        old = in_use(path)
        new = prepare(config(path), "statement", NOW_S, {}, to).kid
        shutil.rmtree(template, ignore_errors=True)
        shutil.copytree(folder, template)
        number = 0
        without_threads()
        while killed_at(number, lambda: use(config(path), "statement", NOW_S, listed, _edit)):
            kid = in_use(path)
            assert kid in (old, new)
            assert listed_as_replaced(config(path), "statement", kid) is None  # a start would go on with it
            if kid == new:  # whoever has a copy of the old one
                assert listed_as_replaced(config(path), "statement", old) is not None
            use(config(path), "statement", NOW_S, listed, _edit)
            assert in_use(path) == new
            assert (folder / "keys" / "statement.pem").exists() is (to is None)
            assert list((folder / "keys" / "next").iterdir()) == []
            shutil.rmtree(folder)
            shutil.copytree(template, folder)
            number += 1
            without_threads()
        assert number > 3
        assert in_use(path) == new
