"""New keys come into force by a reload, and a configuration that comes back brings no old key with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.agent.epoch import Epoch
from gateway.agent.renewal import InForce
from gateway.records import GATEWAY
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.formats.record import parse_record
from tests.gateway.agent.test_reload_shapes import METER, PORT, made, reload
from tests.gateway.fieldbus.devices import Pty, addresses
from tests.support.epochs import running
from tests.support.samples import rewrite


def last_signers(epoch: Epoch) -> dict[str, bytes]:
    store = Database(epoch.ready.config.database, read_only=True)
    tails = {owner: store.records.tail(owner) for owner in (GATEWAY, METER)}
    store.close()
    return {owner: parse_record(tail.last_data).kid for owner, tail in tails.items() if tail is not None}


def test_new_keys_come_by_a_reload_and_stay_when_the_configuration_before_comes_back(tmp_path: Path) -> None:
    loaded = made(tmp_path, "800ms")
    new = {GATEWAY: PrivateKey.generate(), METER: PrivateKey.generate()}

    async def work() -> None:
        pty = Pty(loaded.path.parent / PORT, addresses)
        async with running(loaded) as epoch:
            assert (await epoch.site.order("preview"))["nothing"]
            before = epoch.ready
            for name, key in (("statement", new[GATEWAY]), (METER, new[METER])):
                (loaded.keys / f"{name}.pem").unlink()
                save_private_key(loaded.keys / f"{name}.pem", key)
            rewrite(loaded, ('every = "2m"', 'every = "3m"'))
            seen = await epoch.site.order("preview")
            codes = [change["message"] for change in seen["changes_said"] if "message" in change]
            assert codes == ["change-key"] * 4
            await reload(epoch)
            kids = {owner: key.public.kid for owner, key in new.items()}
            assert last_signers(epoch) == kids
            assert await epoch._reload._revert(before, [METER], 60.0) is None
            assert last_signers(epoch) == kids
            assert epoch.ready.config is before.config
            assert isinstance(epoch._in_force, InForce)
            assert epoch.ready.keys.statement.public.kid == kids[GATEWAY]
        pty.unplug()

    asyncio.run(work())
