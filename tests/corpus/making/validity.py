"""Step 7: times, each bound on both sides, and keys before and after each of their own times, at the exact second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.corpus.making import evidence as e
from tests.corpus.making import trust_text as t
from tests.corpus.making.keys import key
from tests.corpus.making.table import PLAIN_BUNDLE, Made, bad, good
from tests.corpus.making.trust_text import moment, trust
from tests.corpus.making.wire import milliseconds

AT = e.RECEIPT_S
LAST = 253_402_300_799


def cases() -> Iterator[Made]:
    yield from _keys()
    yield from _now()
    yield from _records()
    yield from _delay()
    yield from _kth()


def _keys() -> Iterator[Made]:
    make = {"meter": t.meter, "statement": t.statement, e.LEDGER: t.ledger}
    for owner, entry in make.items():
        name = "ledger" if owner == e.LEDGER else owner
        for form, times, counts, why in (
            ("from-at", {"valid_from": AT}, True, "valid from the second of the receipt on"),
            ("from-after", {"valid_from": AT + 1}, False, "valid from a second after the receipt on"),
            ("to-after", {"valid_to": AT + 1}, True, "valid until a second after the receipt"),
            ("to-at", {"valid_to": AT}, False, "valid until the second of the receipt"),
            ("to-before", {"valid_to": AT - 1}, False, "valid until a second before the receipt"),
            ("revoked-after", {"revoked": AT + 1}, name != "ledger", "revoked a second after the receipt"),
            ("revoked-at", {"revoked": AT}, False, "revoked at the second of the receipt"),
            ("revoked-before", {"revoked": AT - 1}, False, "revoked a second before the receipt"),
            ("revoked-later", {"revoked": e.NOW + 1000}, name != "ledger", "revoked long after, in the future"),
        ):
            lines = [f"{word} = {moment(at)}" for word, at in times.items() if word != "valid_from"]
            trusted = trust(keys={owner: entry(*lines, valid_from=times.get("valid_from", e.VALID_FROM))})
            more = "; a ledger's revoked key never counts" if name == "ledger" and "revoked" in times else ""
            text = f"the {name}'s key is {why}{more}"
            yield _answer(f"key-{name}-{form}", text, trusted, counts=counts)


def _answer(name: str, why: str, trusted: str, *, counts: bool) -> Made:
    return good(name, PLAIN_BUNDLE, why, trusted) if counts else bad("validity", name, PLAIN_BUNDLE, why, trusted)


def _now() -> Iterator[Made]:
    yield good("now-at-receipt", PLAIN_BUNDLE, "verified in the second of the receipt", now=AT)
    yield good("now-300-before", PLAIN_BUNDLE, "the receipt is 300 s ahead", now=AT - 300)
    yield bad("validity", "now-301-before", PLAIN_BUNDLE, "the receipt is 301 s ahead", now=AT - 301)
    yield bad("validity", "now-1970", PLAIN_BUNDLE, "verified in 1970", now=0)
    yield good("now-9999", PLAIN_BUNDLE, "verified in the last second of 9999", now=LAST)


def _records() -> Iterator[Made]:
    late = {6: AT + 301}
    yield bad("validity", "record-iat-301", e.bundle(e.record(claims=late)), "signed 301 s after the receipt")
    coverage = e.coverage(claims=late, seq=0)
    yield bad("validity", "coverage-iat-301", e.bundle(coverage), "coverage signed 301 s after the receipt")
    yield bad("validity", "record-iat-9999", e.bundle(e.record(claims={6: LAST})), "signed in the last second of 9999")
    event = e.event({"event": "odd"}, seq=0, claims=late, time_ms=(AT + 301) * 1000)
    yield bad("validity", "event-iat-301", e.bundle(event, claims=late), "an event of 301 s after the receipt")
    last = (AT + 300) * 1000
    event = e.event({"event": "odd"}, seq=0, claims={6: AT + 300}, time_ms=last)
    yield good("event-iat-300", e.bundle(event, claims={6: AT + 300}), "an event of 300 s after the receipt")
    ahead = e.record(e.pack(e.VALUES[:1], time=milliseconds(last + 1)), time_ms=last + 1)
    yield bad(
        "validity", "record-time-beyond", e.bundle(ahead, claims={6: AT + 300}), "made 300.001 s after the receipt"
    )
    for name, offset in (("beyond", 304_878), ("9999", 253_402_300_799_999)):
        values = ({0: "a", 2: 1}, {0: "b", 2: 2, 6: milliseconds(offset)})
        yield bad(
            "validity",
            f"value-offset-{name}",
            e.bundle(e.record(e.pack(values))),
            "a value read too long after the receipt",
        )
    yield bad("validity", "statement-iat-301", e.bundle(claims=late), "a statement signed 301 s after the receipt")
    yield bad(
        "validity", "statement-iat-9999", e.bundle(claims={6: LAST}), "a statement signed in the last second of 9999"
    )
    early = e.record(e.pack(time=milliseconds(0)), time_ms=0, claims={6: 0})
    yield good("record-of-1970", e.bundle(early), "a clock that was never set: 1970, and no limit to the delay")


def _delay() -> Iterator[Made]:
    def most(text: str) -> str:
        return trust(policy=f'max_delay = "{text}"\n')

    yield good("delay-within", PLAIN_BUNDLE, "held back for 4.877 s, 5 s are allowed", most("5s"))
    yield bad("validity", "delay-beyond", PLAIN_BUNDLE, "held back for 4.877 s, 4 s are allowed", most("4s"))
    exact = e.record(e.pack(e.VALUES[:1], time=milliseconds(e.T0 * 1000)), time_ms=e.T0 * 1000)
    yield good("delay-exact", e.bundle(exact), "held back for 5 s, 5 s are allowed", most("5s"))
    just = e.record(e.pack(e.VALUES[:1], time=milliseconds(e.T0 * 1000 - 1)), time_ms=e.T0 * 1000 - 1)
    yield bad("validity", "delay-1-ms", e.bundle(just), "held back for 5.001 s, 5 s are allowed", most("5s"))
    ahead = e.record(e.pack(e.VALUES[:1], time=milliseconds(AT * 1000 + 1)), time_ms=AT * 1000 + 1)
    yield good("delay-negative", e.bundle(ahead, claims={6: AT}), "by its clock made after the receipt", most("1s"))
    for text in ("8d", "0.5h", "192h", "1000ms", "100m", "100min", "36500d"):
        name, why = f"delay-in-{text.replace('.', '-')}", f"held back for 4.877 s, {text} are allowed"
        yield _answer(name, why, most(text), counts=text != "1000ms")


def _kth() -> Iterator[Made]:
    """T is the moment from which as many ledgers had it as the policy asks for."""
    a, b = "ledger-a", "ledger-b"
    file = e.bundle(receipts=[lambda entry: e.receipt(entry, a), lambda entry: e.receipt(entry, b, iat=AT + 100)])

    def asks(k: int, **more: Any) -> str:
        return trust(receipts=k, ledgers=(a, b), **more)

    yield good(
        "kth-delay-first", file, "one is enough: the first one's time counts", asks(1, policy='max_delay = "10s"\n')
    )
    yield bad(
        "validity",
        "kth-delay-second",
        file,
        "two are asked for: the second one's time counts",
        asks(2, policy='max_delay = "10s"\n'),
    )
    keys = {"meter": t.meter(f"revoked = {moment(AT + 50)}")}
    yield good("kth-revoked-first", file, "revoked between the two, one is enough", asks(1, keys=keys))
    yield bad("validity", "kth-revoked-second", file, "revoked between the two, two are asked for", asks(2, keys=keys))
    twice = e.bundle(
        receipts=[
            lambda entry: e.receipt(entry, a, iat=AT + 90),
            lambda entry: e.receipt(entry, a),
            lambda entry: e.receipt(entry, b, iat=AT + 60),
        ]
    )
    yield bad(
        "validity",
        "kth-earliest-of-each",
        twice,
        "of each ledger its earliest counts; the second is at 60 s",
        asks(2, policy='max_delay = "60s"\n'),
    )
    yield good(
        "kth-earliest-of-each-within",
        twice,
        "of each ledger its earliest counts; the second is at 60 s",
        asks(2, policy='max_delay = "65s"\n'),
    )
    older = t.ledger(f"revoked = {moment(AT + 10)}", name=a, public=key("ledger-a"))
    yield good(
        "kth-revoked-ledger-beside", file, "a ledger's revoked key beside one that counts", asks(1, keys={a: older})
    )
    yield bad(
        "validity",
        "kth-revoked-ledger",
        file,
        "a ledger's revoked key, and both are asked for",
        asks(2, keys={a: older}),
    )
