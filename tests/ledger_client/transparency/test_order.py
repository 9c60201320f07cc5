"""One id, one record: a ledger takes each number of a meter and epoch once, in order, and in the order of time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.bridge.backlog import Backlog
from ledger_client.errors import Refused
from ledger_client.formats.statement import Range, parse_statement, statement_id
from ledger_client.transparency.ledger import admission
from ledger_client.transparency.ledger.admission import MALFORMED, OUT_OF_ORDER, TAKEN, admitted
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log import ranges
from ledger_client.transparency.policy.policy_file import Policy
from ledger_client.transport.wire import MAX_RECEIPT, encode_problem, parse_problem
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from tests.support.enrolled import TIMES_MS, Gateway, policy_with

NOW = 1_700_000_100
A, B = b"epoch--a", b"epoch--b"
Take = Callable[[bytes], object]
Meters = dict[str, tuple[Range, ...]]
Given = Mapping[str, tuple[Range, ...]]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway("plant")


def policy_of(gateway: Gateway) -> Policy:
    entry = key_entry("statement", gateway.key.public, 0, gateway=gateway.name)
    return Policy(parse_trust(f'[policy]\nreceipts = 1\nledgers = ["none"]\n{entry}', "t").keys)


@pytest.fixture(params=["ledger", "bridge"])
def take(request: pytest.FixtureRequest, tmp_path: Path, gateway: Gateway) -> Iterator[Take]:
    """Whoever keeps the order: the ledger, and a bridge to a chain. Takes a statement or raises ``Refused``."""
    if request.param == "ledger":
        with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
            yield Service(folder, policy_with(folder, [gateway]), now=lambda: NOW).submit
    else:
        policy = policy_of(gateway)
        with closing(Backlog(tmp_path / "bridge.db", "to a chain")) as book:
            yield lambda entry: book.keep_next(admitted(entry, policy, NOW))


class Chain:
    """Statements of one gateway, each the next one unless it is said otherwise; ``facts`` of the last refusal."""

    def __init__(self, gateway: Gateway, take: Take, begin: int = 0) -> None:
        self._gateway, self._take = gateway, take
        self.batch, self.prev = begin, None if begin == 0 else bytes(32)
        self.facts: Mapping[str, object] = {}
        self.detail = ""

    def give(
        self,
        meters: Mapping[str, tuple[Range, ...]],
        *,
        resume: str | None = None,
        times_ms: tuple[int, int] = TIMES_MS,
        iat: int | None = None,
    ) -> str | None:
        """Offer a batch; the title of its refusal, None when it is taken."""
        batch = self.batch
        entry = self._gateway.sign(batch, self.prev, resume=resume, meters=meters, times_ms=times_ms, iat=iat)
        try:
            self._take(entry)
        except Refused as error:
            self.facts, self.detail = error.more, error.detail
            return error.title
        self.batch, self.prev = batch + 1, statement_id(entry)
        return None


def main(*stretches: tuple[bytes, int, int]) -> Meters:
    return {"main": tuple(Range(*stretch) for stretch in stretches)}


def test_a_number_is_registered_once(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    assert chain.give(main((A, 0, 9))) is None
    for stretch in ((A, 0, 9), (A, 5, 12), (A, 9, 9)):
        assert chain.give(main(stretch)) == OUT_OF_ORDER
        assert chain.give(main(stretch), resume="restored") == OUT_OF_ORDER  # resume is no way to twins
    assert chain.give(main((A, 10, 12))) is None
    assert chain.give(main((A, 0, 3))) == OUT_OF_ORDER  # over all batches, not only the last


def test_a_number_is_left_out_only_under_resume(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    assert chain.give(main((A, 0, 9))) is None
    assert chain.give(main((A, 11, 12))) == OUT_OF_ORDER
    assert chain.give(main((A, 10, 12), (A, 14, 15))) == OUT_OF_ORDER
    assert chain.give(main((A, 10, 12), (A, 13, 15))) is None  # two ranges without a number between them
    assert chain.give(main((A, 17, 18), (A, 20, 21)), resume="repaired") is None
    assert chain.give(main((A, 22, 22))) is None


def test_an_epoch_begins_with_number_0_for_each_meter(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    assert chain.give(main((A, 0, 0)) | {"other": (Range(A, 0, 4),)}) is None
    assert chain.give(main((B, 1, 2))) == OUT_OF_ORDER
    assert chain.give({"third": (Range(A, 1, 1),)}) == OUT_OF_ORDER
    assert chain.give(main((A, 1, 1), (B, 0, 2)) | {"third": (Range(A, 0, 1),)}) is None
    assert chain.give(main((B, 3, 3)) | {"other": (Range(A, 5, 5), Range(B, 0, 0))}) is None


def test_a_first_statement_begins_anywhere_and_is_whole(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take, begin=7)
    assert chain.give(main((A, 40, 45), (A, 47, 50))) == OUT_OF_ORDER
    assert chain.give(main((A, 40, 50), (B, 3, 4))) is None
    assert chain.give(main((B, 4, 5))) == OUT_OF_ORDER
    # a meter that was taken out before the ledger came, and comes back in the same epoch
    assert chain.give(main((B, 5, 5)) | {"back": (Range(B, 17, 18),)}) is None
    assert chain.give({"back": (Range(B, 18, 18),)}) == OUT_OF_ORDER
    assert chain.give({"back": (Range(b"epoch--c", 3, 3),)}) == OUT_OF_ORDER
    # an older epoch that comes after a restore, and a meter of it that is not in the first batch
    assert chain.give(main((b"before-a", 7, 9)), resume="restored") is None
    assert chain.give({"other": (Range(b"before-a", 2, 2),)}) is None
    assert chain.give({"other": (Range(b"before-a", 2, 2),)}) == OUT_OF_ORDER


def test_a_refusal_says_what_is_held(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    meters = main((A, 0, 9)) | {"other": (Range(A, 0, 4),)}
    assert chain.give(meters) is None
    assert chain.give(main((A, 10, 11))) is None
    last = chain.prev
    assert chain.give(meters) == OUT_OF_ORDER
    assert chain.facts == {"held": {"id": last, "batch": 1, "ranges": [["main", A, 11, 1], ["other", A, 4, 0]]}}
    assert "the numbers of main in epoch 65706f63682d2d61 have come to 11, in batch 1; 0 to 9" in chain.detail
    assert parse_problem(encode_problem(OUT_OF_ORDER, chain.detail, chain.facts)) == (
        OUT_OF_ORDER,
        chain.detail,
        chain.facts,
    )
    chain.batch = 1
    assert chain.give(main((A, 10, 13))) == TAKEN  # as a gateway offers that was put back to an older state
    assert chain.facts == {"held": {"id": last, "batch": 1, "ranges": [["main", A, 11, 1]]}}


def test_a_refusal_of_many_meters_fits_an_answer(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    meters = {f"{number:064}": (Range(A, 0, 2**40),) for number in range(1000)}
    assert chain.give(meters) is None
    assert chain.give(meters) == OUT_OF_ORDER
    assert len(encode_problem(OUT_OF_ORDER, chain.detail, chain.facts)) < MAX_RECEIPT


def test_a_statement_of_the_future_is_taken_when_its_time_has_come(gateway: Gateway, take: Take) -> None:
    chain = Chain(gateway, take)
    ahead_s = NOW + 300
    ahead_ms = ahead_s * 1000
    assert chain.give(main((A, 0, 9)), times_ms=(NOW * 1000, ahead_ms + 1)) == admission.NOT_YET
    assert chain.facts == {"at": NOW + 1, "now": NOW}
    assert "2023-11-14T22:15:01Z" in chain.detail
    assert chain.give(main((A, 0, 9)), iat=ahead_s + 1) == admission.NOT_YET
    assert chain.facts == {"at": NOW + 1, "now": NOW}
    assert "it was signed at 2023-11-14T22:20:01Z" in chain.detail
    assert chain.give(main((A, 0, 9)), times_ms=(NOW * 1000, ahead_ms)) is None


def test_a_statement_that_was_signed_before_its_last_record_is_malformed(gateway: Gateway, take: Take) -> None:
    chain, to_ms = Chain(gateway, take), NOW * 1000
    for iat in (0, NOW - 3):
        assert chain.give(main((A, 0, 9)), times_ms=(to_ms, to_ms), iat=iat) == MALFORMED
        assert "before its last record" in chain.detail
    assert chain.give(main((A, 0, 9)), times_ms=(to_ms, to_ms), iat=NOW - 2) is None


def test_time_goes_on_from_batch_to_batch(gateway: Gateway, take: Take) -> None:
    """Within a second: an event's time is in whole seconds, and a grid may be a little off the clock."""
    chain = Chain(gateway, take)
    begin = 1_700_000_000_000
    assert chain.give(main((A, 0, 9)), times_ms=(begin, begin + 9000)) is None
    assert chain.give(main((A, 10, 10)), times_ms=(begin - 1001, begin)) == OUT_OF_ORDER
    assert chain.give(main((A, 10, 10)), times_ms=(begin - 1000, begin)) is None
    assert chain.give(main((A, 11, 11)), times_ms=(begin - 2000, begin)) == OUT_OF_ORDER  # nor step by step
    assert chain.give(main((A, 11, 11)), times_ms=(0, begin), resume="restored") is None
    assert chain.give(main((A, 12, 12)), times_ms=(0, begin)) is None


def test_numbers_beyond_the_table_are_malformed(gateway: Gateway, take: Take) -> None:
    assert Chain(gateway, take).give(main((A, 2**63 - 5, 2**63))) == MALFORMED


def test_what_is_held_of_an_epoch_never_shrinks(tmp_path: Path, gateway: Gateway) -> None:
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        chain = Chain(gateway, Service(folder, policy_with(folder, [gateway]), now=lambda: NOW).submit)
        assert chain.give(main((A, 0, 9))) is None
    with closing(sqlite3.connect(tmp_path / "ledger" / "log.db")) as db:
        with pytest.raises(sqlite3.IntegrityError, match="never shrink"):
            db.execute("DELETE FROM ranges")
        ranges.take(db, parse_statement(gateway.sign(1, bytes(32), meters=main((A, 2, 3)))))
        assert db.execute("SELECT last FROM ranges").fetchall() == [(9,)]
