"""What the answers of a ledger mean, case by case: no database, no ledger, statements that are really signed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.anchoring.ledger_comparison import (
    MAX_BATCH,
    Agreed,
    Ahead,
    Another,
    LedgerHead,
    Lost,
    Mark,
    Odd,
    Rollback,
    Waiting,
    Walk,
    judge,
    waiting,
)
from gateway.evidence.sealing import Before
from gateway.messages.message import Message
from ledger_client.formats.statement import Range, statement_id
from tests.support.enrolled import EPOCH, Gateway

OURS, THEIRS = b"o" * 32, b"t" * 32
HERE = Before(5, OURS)


@pytest.mark.parametrize(
    ("last", "ours", "settled", "finding"),
    [
        (None, None, None, Agreed()),
        (None, None, 3, Lost(-1, 3)),
        (LedgerHead(5, OURS), OURS, 5, Agreed()),
        (LedgerHead(5, THEIRS), OURS, None, Another(5, THEIRS)),
        (LedgerHead(3, THEIRS), THEIRS, 3, Agreed()),
        (LedgerHead(3, THEIRS), THEIRS, 4, Lost(3, 4)),
        (LedgerHead(3, THEIRS), OURS, 4, Another(3, THEIRS)),
        (LedgerHead(3, THEIRS), None, 3, Agreed()),  # pruned here
        (LedgerHead(6, THEIRS), None, 5, Ahead(LedgerHead(6, THEIRS))),
    ],
)
def test_what_the_last_statement_of_a_ledger_means(
    last: LedgerHead | None, ours: bytes | None, settled: int | None, finding: object
) -> None:
    assert judge(last, HERE, ours, settled) == finding


def test_a_number_that_cannot_be_is_odd() -> None:
    with pytest.raises(Odd, match="reports batch"):
        judge(LedgerHead(MAX_BATCH, THEIRS), HERE, None, None)


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return Gateway("gw")


def walk(gateway: Gateway, here: int, last: int, unsealed: dict[tuple[str, bytes], int] | None = None) -> Walk:
    """A database that ends with batch ``here`` of the gateway's one line, beside a ledger that holds ``last``."""
    ours = Before(here, statement_id(gateway.statement(here)) if here >= 0 else None)
    head = LedgerHead(last, statement_id(gateway.statement(last)))
    return Walk("gw", {gateway.key.public.kid: gateway.key.public}, ours, head, unsealed or {})


def test_ranges_of_unsealed_records_are_marked_and_the_line_goes_on_at_its_end(gateway: Gateway) -> None:
    walking = walk(gateway, 1, 5, {("export-main", EPOCH): 34, ("export-main", b"\x09" * 8): 3})
    assert walking.after == 0
    walking.take([gateway.statement(n) for n in (1, 2, 3)])
    assert (walking.ended, walking.after) == (False, 3)
    walking.take([gateway.statement(n) for n in (4, 5, 6)])  # one more came in the meantime
    assert walking.ended
    marks = tuple(
        Mark(statement_id(gateway.statement(n)), "export-main", Range(EPOCH, 10 * n, 10 * n + 9)) for n in (2, 3)
    )
    assert walking.rollback() == Rollback(LedgerHead(6, statement_id(gateway.statement(6))), marks, complete=True)


def test_a_new_database_asks_for_the_last_statement_only(gateway: Gateway) -> None:
    walking = walk(gateway, -1, 5)
    assert walking.after == 4
    walking.take([gateway.statement(5)])
    assert walking.rollback().last == LedgerHead(5, statement_id(gateway.statement(5)))
    assert walk(gateway, -1, 0).after == -1
    assert walk(gateway, -1, 5, {("export-main", EPOCH): 3}).after == -1


def test_where_the_lines_part_is_another(gateway: Gateway) -> None:
    """Seen at the number itself, or at the one behind it, which says what it follows."""
    other = Gateway("gw")
    other.key = gateway.key
    other._chain = [
        gateway.statement(0),
        gateway.statement(1),
        gateway.sign(2, statement_id(gateway.statement(1)), mark=1),
    ]
    other.statement(4)
    for first in (2, 3):
        walking = walk(gateway, 2, 4)
        walking.last = LedgerHead(4, statement_id(other.statement(4)))
        walking.take([other.statement(n) for n in range(first, 5)])
        assert walking.another == Another(2, statement_id(other.statement(2)))
        assert walking.ended


Statements = Callable[[Gateway], list[bytes]]


def worn(entry: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


def without_reason(gateway: Gateway) -> list[bytes]:
    return [gateway.statement(2), gateway.sign(3, THEIRS), gateway.statement(4)]


def with_reason(gateway: Gateway) -> list[bytes]:
    third = gateway.sign(3, THEIRS, resume="restored")
    return [gateway.statement(2), third, gateway.sign(4, statement_id(third))]


def later_ledger(gateway: Gateway) -> list[bytes]:
    return [gateway.statement(4)]


def a_step_missing(gateway: Gateway) -> list[bytes]:
    return [gateway.statement(2), gateway.statement(4)]


@pytest.mark.parametrize("statements", [with_reason, later_ledger])
def test_a_gap_is_no_oddity_but_not_all_is_told(statements: Statements, gateway: Gateway) -> None:
    entries = statements(gateway)
    walking = walk(gateway, 1, 4)
    walking.last = LedgerHead(4, statement_id(entries[-1]))
    walking.take(entries)
    assert walking.rollback().complete is False


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (lambda _: [], "returns none above"),
        (lambda _: [b"nonsense"], "is not valid"),
        (lambda gw: [worn(gw.statement(2))], "is not valid"),
        (lambda _: [Gateway("gw").sign(2, OURS)], "key that is not in trust.toml"),
        (lambda gw: [gw.statement(3), gw.statement(2)], "follows batch 3"),
        (lambda gw: [gw.statement(2), gw.statement(2)], "follows batch 2"),
        (lambda gw: [gw.statement(0)], "follows batch 1"),
        (without_reason, "states no reason"),
        (a_step_missing, "states no reason"),
        (
            lambda gw: [gw.statement(2), gw.statement(3), gw.sign(4, statement_id(gw.statement(3)), mark=7)],
            "another statement",
        ),
        (lambda gw: [gw.statement(2), gw.sign(9, THEIRS, resume="lost")], "another statement"),
    ],
)
def test_an_answer_that_cannot_be_true_is_odd(statements: Statements, why: str, gateway: Gateway) -> None:
    with pytest.raises(Odd, match=why):
        walk(gateway, 1, 4).take(statements(gateway))


def test_statements_of_another_gateway_are_odd(gateway: Gateway) -> None:
    stranger = Gateway("other")
    stranger.key = gateway.key
    with pytest.raises(Odd, match="another gateway"):
        walk(gateway, -1, 0).take([stranger.statement(0)])


def names(*listed: str) -> frozenset[str]:
    return frozenset(listed)


def test_sealing_waits_for_every_required_ledger_that_can_tell() -> None:
    waiting = Waiting(names("a", "b", "c"), names())
    assert waiting.for_whom() == ["a", "b", "c"]
    waiting.asked |= {"a", "b", "c"}
    waiting.compared.add("b")
    waiting.unable.add("c")
    assert waiting.for_whom() == ["a"]
    waiting.compared.add("a")
    assert waiting.for_whom() == []


def test_an_optional_ledger_is_asked_once_and_not_waited_for() -> None:
    waiting = Waiting(names("a"), names("o"))
    waiting.compared.add("a")
    assert waiting.for_whom() == ["o"]
    waiting.asked.add("o")
    assert waiting.for_whom() == []


def test_where_none_is_required_any_one_will_do() -> None:
    waiting = Waiting(names(), names("o", "p"))
    waiting.asked |= {"o", "p"}
    assert waiting.for_whom() == ["o", "p"]
    waiting.unable.add("o")
    assert waiting.for_whom() == ["p"]
    waiting.compared.add("p")
    assert waiting.for_whom() == []
    assert Waiting(names(), names("o"), unable={"o"}).for_whom() == []
    assert Waiting(names(), names()).for_whom() == []


def test_the_text_names_whom_sealing_waits_for_and_what_is_odd() -> None:
    assert waiting(["a"], {}) == Message("sealing-waits", n=1, ledgers=("a",))
    odd = Message("odd-order", batch=1, before=2)
    both = Message("sealing-waits", n=2, ledgers=("a", "b"))
    assert waiting(["a", "b"], {"b": odd}) == Message(
        "sealing-waits-for-odd", waits=both, odd=(Message("ledger-odd", ledger="b", odd=odd),)
    )
