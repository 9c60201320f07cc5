"""A key that another one has replaced signs nothing again: at `check`, at a start, at a reload, behind a repair."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from gateway.agent.epoch import begin
from gateway.anchoring.ledger_drivers import trust_of
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.evidence.key_match import replaced
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.startup.preflight import Ready
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.verification.trust_text import key_entry
from tests.gateway.config.refusals import refused
from tests.gateway.storage.recovery.test_repair import PAGE, checkpointed, open_again, overwrite
from tests.support.commands import gateway_command
from tests.support.epochs import running
from tests.support.samples import Hands, Machine, site

METER, CO2, PV = "export-main", "stack-co2", "pv-inverter"
WORDS = "was replaced at 2027-01-15T08:00:10Z, and a replaced key signs nothing again"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def works(loaded: Config, number: int, machine: Machine) -> None:
    """An epoch of 10 s."""
    hands = Hands(loaded, machine, epoch=bytes((number,)) * 8)
    hands.poll(1)
    hands.end()


def swap(loaded: Config, *names: str) -> None:
    """Each of these gets the key of the one before."""
    files = [loaded.keys / f"{name}.pem" for name in names]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[-1:] + contents[:-1], strict=True):
        file.write_bytes(content)


def renew(loaded: Config, name: str) -> bytes:
    """A new key in place of this one, whose file is given back."""
    path = loaded.keys / f"{name}.pem"
    old = path.read_bytes()
    path.unlink()
    save_private_key(path, PrivateKey.generate())
    return old


def found(loaded: Config) -> list[tuple[str, str]]:
    """Whose keys were replaced, and under which message."""
    keys = load_keys(loaded)
    kids = {name: key.public.kid for name, key in {**keys.meters, "statement": keys.statement}.items()}
    with closing(Database(loaded.database, read_only=True)) as store:
        return [(name, why.code) for name, why in replaced(loaded, kids, store)]


def replaced_once(loaded: Config, machine: Machine, *names: str) -> None:
    """These keys were replaced, and their files are put back."""
    works(loaded, 1, machine)
    old = {name: renew(loaded, name) for name in names}
    works(loaded, 2, machine)
    for name, content in old.items():
        (loaded.keys / f"{name}.pem").write_bytes(content)


def start(loaded: Config) -> None:
    async def work() -> None:
        begin(Ready(loaded, load_keys(loaded), trust_of(loaded), (), ()), asyncio.Event())

    asyncio.run(work())


@pytest.mark.parametrize(
    ("name", "whose"), [(METER, f"the key of meter '{METER}'"), ("statement", "the statement key")]
)
def test_check_run_and_doctor_refuse_a_key_that_was_replaced(loaded: Config, name: str, whose: str) -> None:
    with loaded.trust.open("a") as trust:
        trust.write(key_entry("ledger", PrivateKey.generate().public, 1_700_000_000, ledger="demo-ledger"))
    replaced_once(loaded, Machine(), name)
    words = (f"keys/{name}.pem", whose, WORDS, f"meterseal keys {loaded.path} --make-missing")
    refused(loaded.path, *words)
    for command in (("run", loaded.path), ("doctor", loaded.path)):
        code, out, err = gateway_command(*command)
        assert code != 0
        assert all(word in " ".join((out + err).split()) for word in words[:3]), (out, err)


def test_a_reload_refuses_it(loaded: Config) -> None:
    machine = Machine()
    machine.wall_ms = 1_700_000_000_000
    works(loaded, 1, machine)
    old = renew(loaded, CO2)

    async def work() -> None:
        async with running(loaded) as epoch:
            await asyncio.wrap_future(epoch.site.recorder.call(lambda _: None))  # its first records are written
            (loaded.keys / f"{CO2}.pem").write_bytes(old)
            with pytest.raises(ConfigError, match="a replaced key signs nothing again"):
                await epoch.site.order("preview")

    asyncio.run(work())


def test_a_key_may_move_to_another_meter_as_long_as_it_was_not_replaced(loaded: Config) -> None:
    machine = Machine()
    works(loaded, 1, machine)
    swap(loaded, METER, CO2)
    assert found(loaded) == []
    works(loaded, 2, machine)
    assert found(loaded) == []  # both go on, though each was replaced where it was
    swap(loaded, METER, CO2)
    assert found(loaded) == [(METER, "key-replaced"), (CO2, "key-replaced")]
    swap(loaded, METER, CO2)
    (loaded.keys / f"{PV}.pem").write_bytes((loaded.keys / f"{CO2}.pem").read_bytes())
    assert found(loaded) == [(PV, "key-replaced-elsewhere")]


def test_a_renamed_meter_takes_its_key_along_though_the_old_name_gets_another(loaded: Config) -> None:
    machine = Machine()
    works(loaded, 1, machine)
    (loaded.keys / f"{CO2}.pem").rename(loaded.keys / "renamed.pem")
    whole = loaded.path.read_text()
    loaded.path.write_text(whole.replace(f'name = "{CO2}"', 'name = "renamed"'))
    works(load_config(loaded.path), 2, machine)
    save_private_key(loaded.keys / f"{CO2}.pem", PrivateKey.generate())
    loaded.path.write_text(whole.replace(f'name = "{PV}"', 'name = "renamed"'))
    works(load_config(loaded.path), 3, machine)
    assert found(load_config(loaded.path)) == []


def test_a_repair_keeps_what_was_replaced_and_has_the_rest_from_the_events(loaded: Config) -> None:
    machine = Machine()
    works(loaded, 1, machine)
    for name in (METER, "statement"):
        renew(loaded, name)
    works(loaded, 2, machine)
    checkpointed(loaded)
    with closing(Database(loaded.database)) as store:
        before = store.replaced_keys.all()
        assert [owner for owner, *_ in before] == [METER, GATEWAY]
        (root,) = store.one("SELECT rootpage FROM sqlite_master WHERE name = 'replaced_keys'") or ()
    for page in (0, root - 1):
        overwrite(loaded.database, page * PAGE, os.urandom(PAGE))
    with closing(open_again(loaded)) as store:
        assert store.repairs.all()
        assert store.replaced_keys.all() == before


def test_the_words_say_which_meter_had_it() -> None:
    message = Message(
        "key-replaced-elsewhere",
        whose=Message("own-meter-key", meter=PV),
        other=Message("own-meter-key", meter=CO2),
        replaced_s=1_800_000_010,
        config="gateway.toml",
    )
    assert message.problem == f"the key of meter '{PV}' was once the key of meter '{CO2}', which {WORDS}"
