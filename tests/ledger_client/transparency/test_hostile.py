"""The ledger against strangers, in short: hostile requests of every kind, then honest clients, then its books."""

from __future__ import annotations

from tests.campaigns.ledgers.hostile import Hostile
from tests.campaigns.ledgers.ledger_hostile import SMALLEST, run
from tests.support.enrolled import Gateway

REQUESTS, SEED = SMALLEST[0]["requests"], SMALLEST[0]["seed"]


def test_no_hostile_request_is_the_ledgers_fault() -> None:
    figures = run(**SMALLEST[0])
    assert figures["server_errors"] == 0
    assert figures["statements"] == SMALLEST[0]["clients"] * SMALLEST[0]["statements"]
    assert figures["refused"] == {}
    answers = figures["answers_by_status"]
    assert isinstance(answers, dict)
    assert {"200", "400", "403", "404", "405", "413", "415", "none"} <= answers.keys()


def test_every_kind_of_attack_is_among_them() -> None:
    source = Hostile(SEED, Gateway("known"))
    kinds = {attack.name for attack in (source.next() for _ in range(REQUESTS))}
    assert len(kinds) == 18
