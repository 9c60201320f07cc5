"""Records that are not there, or not provable: each says why, and what it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import cast

import pytest

from gateway.api import records
from gateway.api.route import Call, Rest
from gateway.api.shapes import route
from gateway.api.shapes.parameters import OfRecord
from gateway.api.shapes.problems import Refusal
from gateway.records import StoredRecord
from gateway.runtime.context import GatewayContext
from gateway.storage.capacity.pruning import prune
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from tests.gateway.api.test_readings import Here, rows_of
from tests.support.samples import Hands, settle, site

Look = Callable[[Call[OfRecord]], Rest]
Gone = tuple[list[StoredRecord], Callable[[Look, StoredRecord], tuple[int, str]]]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gone]:
    """A site whose anchored readings were pruned, but for the newest and those that no ledger has; all of them as they
    were."""
    loaded = site(tmp_path_factory.mktemp("pruned") / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.poll(150)
    settle(hands.store, range(hands.store.batches.count() - 1), PrivateKey.generate())
    rows = rows_of(loaded)
    while prune(hands.store, ["demo-ledger"], 1 << 60, lambda store, batch: None):
        pass

    def refused(look: Look, row: StoredRecord) -> tuple[int, str]:
        here = cast(GatewayContext, Here(loaded, hands.clock))
        asked = OfRecord(gateway=loaded.gateway_id, meter=row.meter, epoch=row.epoch.hex(), seq=row.seq)
        with closing(Database(loaded.database, read_only=True)) as store, pytest.raises(Refusal) as found:
            look(route.Call(here, "/api/v1/records", asked, None))(store)
        return found.value.status, found.value.refused.code

    yield rows, refused
    hands.end()


@pytest.mark.parametrize("look", [records.record, records.bundle])
def test_a_pruned_record_is_gone_and_one_that_never_was_is_unknown(look: Look, pruned: Gone) -> None:
    rows, refused = pruned
    assert refused(look, rows[0]) == (410, "pruned")
    assert refused(look, rows[-1]._replace(seq=10**6)) == (404, "record-unknown")


def test_the_proof_of_what_no_ledger_has_is_not_there_yet(pruned: Gone) -> None:
    rows, refused = pruned
    assert refused(records.bundle, rows[-1]) == (409, "not-anchored")
