"""Rotation of keys in files: each step may be killed between two writes, and nothing is destroyed that is needed."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.commissioning.key_rotation import prepare, retire, states, use
from gateway.config.device_keys import REQUEST_FILE, load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.evidence.key_match import listed_as_replaced
from gateway.messages.message import Message
from gateway.storage.database import Database
from gateway.storage.rows import Anchor
from ledger_client.enrolment.request import Enrolment, MeterKey, parse_request
from ledger_client.formats.cose_key import PublicKey, base64url
from ledger_client.verification.trust_file import load_trust
from tests.support.audited import receipted
from tests.support.samples import Hands, Machine, rewritten, site

METER, CO2 = "export-main", "stack-co2"
NOW_S = 1_800_000_000
CHANGING = frozenset({"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod"})
"""What the interpreter audits of a change to a folder (PEP 578); ``open`` where it is to write."""


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    made = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    Database(made.database).close()  # of a gateway that has recorded nothing
    return made


def listed(name: str, key: PublicKey) -> None:
    """A ledger that lists every key."""


def no_edit(loaded: Config, settings: Mapping[str, str | None]) -> None:
    """gateway.toml, which keys in files do not stand in."""
    raise AssertionError(settings)


def request(loaded: Config) -> Enrolment:
    return parse_request((loaded.keys / REQUEST_FILE).read_bytes())


def kids(loaded: Config, name: str) -> dict[str, bytes]:
    return {key.state: key.public.kid for key in states(loaded) if key.owner == name}


def code(error: BaseException) -> str:
    what = error.what if isinstance(error, ConfigError) else error.args[0]
    assert isinstance(what, Message)
    return what.code


@pytest.mark.parametrize("name", ["statement", METER])
def test_the_way_of_a_key(loaded: Config, name: str) -> None:
    old = kids(loaded, name)["in use"]
    new = prepare(loaded, name, NOW_S, {}).kid
    assert kids(loaded, name) == {"in use": old, "next": new}
    asked = request(loaded)
    of_meter = asked.meters.get(name, MeterKey(asked.statement, None, asked.before))
    assert [key and key.kid for key in (of_meter.key, of_meter.before)] == [new, old]
    entries = [key for key in load_trust(loaded.trust, anchored=False).keys if key.kid == new]
    assert [(key.valid_from, key.meter or "statement") for key in entries] == [(NOW_S, name)]
    assert prepare(loaded, name, NOW_S + 1, {}).kid == new
    assert use(loaded, name, NOW_S + 2, listed, no_edit).kid == new
    assert kids(loaded, name) == {"in use": new, "replaced": old}
    assert request(loaded).signing_keys() == asked.signing_keys()  # signed by both until it is retired
    assert use(loaded, name, NOW_S + 3, listed, no_edit).kid == new
    (kept,) = (loaded.keys / "replaced").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    former, gone, in_trust = retire(loaded, base64url(old), "planned", NOW_S + 4, {})
    assert (former.retired, gone, in_trust, kept.exists()) == (NOW_S + 4, True, True, False)
    assert kids(loaded, name) == {"in use": new, "retired": old}
    assert [(key.kid, key.time, key.reason) for key in request(loaded).retired] == [(old, NOW_S + 4, "planned")]
    assert old not in [key.kid for key in request(loaded).signing_keys()]
    ends = {key.kid: key.valid_to for key in load_trust(loaded.trust, anchored=False).keys}
    assert [kid for kid, end in ends.items() if end is not None] == [old]
    assert ends[old] == NOW_S + 4
    assert retire(loaded, old.hex(), "again", NOW_S + 9, {})[0] == former


def test_what_a_thief_of_the_folder_may_try(loaded: Config) -> None:
    """The old key in the place of the new one, of another meter's, or with the new one called the next again."""
    stolen = (loaded.keys / "statement.pem").read_bytes()
    old = kids(loaded, "statement")["in use"]
    prepare(loaded, "statement", NOW_S, {})
    use(loaded, "statement", NOW_S, listed, no_edit)
    new = (loaded.keys / "statement.pem").read_bytes()
    for name, found in (("statement", "key-replaced"), (METER, "key-replaced-elsewhere")):
        why = listed_as_replaced(loaded, name, old)
        assert why is not None
        assert why.code == found
    prepare(loaded, "statement", NOW_S, {})  # another next key is no excuse
    assert listed_as_replaced(loaded, "statement", old) is not None
    retire(loaded, old.hex(), "planned", NOW_S, {})
    (loaded.keys / "statement.pem").write_bytes(stolen)
    for step in (
        lambda: retire(loaded, old.hex(), "x", NOW_S, {}),
        lambda: use(loaded, "statement", NOW_S, listed, no_edit),
    ):
        with pytest.raises(GatewayError) as refused:
            step()
        assert code(refused.value) in ("retire-in-use", "key-replaced")
    (loaded.keys / "statement.pem").write_bytes(new)
    (loaded.keys / "former.json").write_text('[{"owner": "statement"}]')
    with pytest.raises(ConfigError):
        listed_as_replaced(loaded, "statement", old)


def test_each_step_that_cannot_be_done_says_why_and_changes_nothing(loaded: Config) -> None:
    def refuse(name: str, key: PublicKey) -> None:
        raise GatewayError(Message("rotate-no-list"))

    old = kids(loaded, "statement")["in use"]
    cases: list[tuple[str, Callable[[], object]]] = [
        ("rotate-no-owner", lambda: prepare(loaded, "nobody", NOW_S, {})),
        ("rotate-no-next", lambda: use(loaded, METER, NOW_S, listed, no_edit)),
        ("rotate-no-list", lambda: use(loaded, "statement", NOW_S, refuse, no_edit)),
        ("retire-in-use", lambda: retire(loaded, old.hex(), "x", NOW_S, {})),
        ("retire-next", lambda: retire(loaded, kids(loaded, "statement")["next"].hex(), "x", NOW_S, {})),
        ("retire-unknown", lambda: retire(loaded, "x" * 43, "x", NOW_S, {})),
    ]
    prepare(loaded, "statement", NOW_S, {})
    before = {path: path.read_bytes() for path in loaded.path.parent.rglob("*") if path.is_file()}
    for wanted, step in cases:
        with pytest.raises(GatewayError) as refused:
            step()
        assert code(refused.value) == wanted
    assert {path: path.read_bytes() for path in loaded.path.parent.rglob("*") if path.is_file()} == before


# — killed —


def killed_at(number: int, step: Callable[[], object]) -> bool:
    """Do a step in a process that ends in front of its change of this number; False: it has no so many."""
    if (child := os.fork()) == 0:
        left = iter(range(number))

        def hook(event: str, facts: tuple[object, ...]) -> None:
            writes = event != "open" or (type(facts[2]) is int and facts[2] & (os.O_WRONLY | os.O_RDWR))
            if event in CHANGING and writes and next(left, None) is None:
                os._exit(9)

        sys.addaudithook(hook)
        try:
            step()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


@pytest.mark.parametrize("name", ["statement"])
def test_each_step_may_be_killed_in_front_of_each_change_and_repeated(loaded: Config, name: str) -> None:
    old = kids(loaded, name)["in use"]
    steps: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: prepare(loaded, name, NOW_S, {}), {"in use", "next"}),
        (lambda: use(loaded, name, NOW_S + 1, listed, no_edit), {"in use", "replaced"}),
        (lambda: retire(loaded, old.hex(), "planned", NOW_S + 2, {}), {"in use", "retired"}),
    ]
    folder, template = loaded.path.parent, loaded.path.parent.with_name("template")
    for step, states_then in steps:
        shutil.rmtree(template, ignore_errors=True)
        shutil.copytree(folder, template)
        number = 0
        while killed_at(number, step):
            present = load_keys(loaded)
            key = present.statement if name == "statement" else present.meters[name]
            assert listed_as_replaced(loaded, name, key.public.kid) is None  # a start would go on with it
            assert key.public.kid == old or "next" not in kids(loaded, name)
            step()
            assert set(kids(loaded, name)) == states_then
            assert request(loaded).gateway == loaded.gateway_id
            left = [path for path in loaded.keys.rglob("*") if path.is_file() and path.suffix == ".pem"]
            assert len(left) == 4 + (states_then != {"in use", "retired"})
            shutil.rmtree(folder)
            shutil.copytree(template, folder)
            number += 1
        assert number > 2
        assert set(kids(loaded, name)) == states_then


# — what still needs the key —


def refused_to_retire(loaded: Config, kid: bytes) -> str:
    with pytest.raises(GatewayError) as refused:
        retire(loaded, kid.hex(), "planned", NOW_S, {})
    return code(refused.value)


@pytest.mark.parametrize("name", ["statement", CO2])
def test_a_key_is_destroyed_only_once_every_batch_that_needs_it_has_all_receipts(loaded: Config, name: str) -> None:
    second = '[[ledger]]\nname = "second"\ntype = "http"\nurl = "http://127.0.0.1:9"\n[[ledger]]'
    loaded = rewritten(loaded, ("[[ledger]]", second))
    hands = Hands(loaded, Machine(), epoch=bytes((1,)) * 8)
    hands.poll(8)
    old = kids(loaded, name)["in use"]
    prepare(loaded, name, NOW_S, {})
    use(loaded, name, NOW_S, listed, no_edit)
    assert refused_to_retire(loaded, old) == "retire-signs-on"
    hands.end()
    assert refused_to_retire(loaded, old) == "retire-signs-on"
    loaded.data.rename(loaded.data.with_name("elsewhere"))  # its disk is not mounted
    assert refused_to_retire(loaded, old) == "retire-no-database"
    loaded.data.with_name("elsewhere").rename(loaded.data)
    machine = Machine()
    machine.wall_ms += 600_000
    hands = Hands(loaded, machine, epoch=bytes((2,)) * 8)
    hands.poll(1)
    assert refused_to_retire(loaded, old) == "retire-not-sealed"
    hands.poll(8)
    hands.journal.cut()
    hands.journal.keep_time()
    hands.end()
    assert refused_to_retire(loaded, old) == "retire-no-receipt"
    receipted(loaded.database)
    with closing(Database(loaded.database)) as store, store.transaction():
        last = store.batches.last()
        assert last is not None
        store.run("DROP TRIGGER receipts_stay")  # the second ledger was away, and gives one later
        store.run("UPDATE anchors SET state = 'queued' WHERE ledger = 'second' AND batch = 0")
    assert refused_to_retire(loaded, old) == "retire-no-receipt"
    receipted(loaded.database)
    latest_ms = max(anchor.updated_ms for anchor in anchors_of(loaded) if anchor.batch <= 1)  # which holds the event
    former, gone, _ = retire(loaded, old.hex(), "planned", 5, {})
    assert gone
    assert former.retired is not None
    assert former.retired * 1000 > latest_ms  # no ledger had a batch by it so late


def test_a_key_whose_batches_no_ledger_has_stays(loaded: Config) -> None:
    loaded.path.write_text(loaded.path.read_text().partition("[[ledger]]")[0])
    alone, machine = load_config(loaded.path), Machine()
    for number in (1, 2):
        hands = Hands(alone, machine, epoch=bytes((number,)) * 8)
        hands.poll(8)
        hands.journal.cut()
        hands.journal.keep_time()
        hands.end()
        old = kids(alone, CO2)["in use"]
        if number == 1:
            first = old
            prepare(alone, CO2, NOW_S, {})
            use(alone, CO2, NOW_S, listed, no_edit)
    assert refused_to_retire(alone, first) == "retire-never-sent"


def anchors_of(loaded: Config) -> list[Anchor]:
    with closing(Database(loaded.database, read_only=True)) as store:
        return store.anchors.of()
