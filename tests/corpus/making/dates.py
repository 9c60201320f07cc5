"""Dates of a trust file, which is judged before the bundle, and keys that are in hardware as somebody says."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import key
from tests.corpus.making.table import PLAIN_BUNDLE, Made, bad, good, refused, rows
from tests.corpus.making.trust_text import ledger, meter, moment, statement, table, trust


def cases() -> Iterator[Made]:
    yield from _dates()
    yield from _held()


def _until(at: int, made: int | None = None) -> str:
    lines = "" if made is None else f"made = {moment(made)}\n"
    return trust(policy=f"{lines}expires = {moment(at)}\n")


def _dates() -> Iterator[Made]:
    now = e.NOW
    yield good(
        "expires-later", PLAIN_BUNDLE, "the trust file counts for a day more", _until(now + 86_400, now - 86_400)
    )
    yield good("expires-in-1-s", PLAIN_BUNDLE, "verified in the last second of the trust file", _until(now + 1))
    yield refused("expires-now", _until(now), "the trust file counts until now, and no more")
    yield refused("expires-1-s-ago", _until(now - 1), "the trust file has expired a second ago")
    yield refused("expires-before-receipt", _until(e.T0, e.T0 - 1), "it had expired before there was a receipt")
    yield refused("expires-in-1970", _until(0), "it expired in 1970")
    yield refused("expires-and-bad-bundle", _until(now), "an expired trust file says nothing of a bundle", file=b"junk")
    yield bad("parse", "expires-later-bad-bundle", b"junk", "a trust file that counts, and no bundle", _until(now + 1))
    yield good("expires-9999", PLAIN_BUNDLE, "the last second that a file can name", _until(253_402_300_799))
    yield good("made-alone", PLAIN_BUNDLE, "made, and no end", trust(policy=f"made = {moment(now)}\n"))
    yield good("made-later", PLAIN_BUNDLE, "made after now: a warning", trust(policy=f"made = {moment(now + 9999)}\n"))
    offset = "expires = 2026-03-02T16:00:01+08:00\n"
    yield good("expires-offset", PLAIN_BUNDLE, "a second is left, in another time zone", trust(policy=offset))
    past = trust(policy="expires = 2026-03-02T16:00:00+08:00\n")
    yield refused("expires-offset-now", past, "no second is left, in another time zone")
    for name, policy, why in rows(
        ("before-made", f"made = {moment(now)}\nexpires = {moment(now - 1)}\n", "it expires before it was made"),
        ("is-made", f"made = {moment(now + 9)}\nexpires = {moment(now + 9)}\n", "it expires when it was made"),
        ("local", "expires = 2027-03-01T00:00:00\n", "an end without an offset"),
        ("date", "expires = 2027-03-01\n", "an end that is a date"),
        ("text", 'expires = "2027-03-01T00:00:00Z"\n', "an end that is text"),
        ("number", "expires = 1800000000\n", "an end that is a number"),
        ("1969", "expires = 1969-12-31T23:59:59Z\n", "an end before 1970"),
        ("made-local", "made = 2026-03-01T00:00:00\n", "a beginning without an offset"),
        ("made-true", "made = true\n", "a beginning that is true"),
    ):
        yield refused(f"expires-{name}", trust(policy=policy), f"trust file: {why}")


def _held() -> Iterator[Made]:
    at = f"held_at = {moment(e.T0)}"
    three = ('held = "hardware"', 'held_by = "demo-ledger"', at)
    entries = {"meter": meter, "statement": statement, e.LEDGER: ledger}
    for owner, entry in entries.items():
        name = "ledger" if owner == e.LEDGER else owner
        why = f"the {name}'s key is in hardware, as a ledger says: no other verdict"
        yield good(f"held-{name}", PLAIN_BUNDLE, why, trust(keys={owner: entry(*three)}))
    more = (*three, 'evidence = "<script>TPM 2.0</script>, seal 4711"')
    yield good("held-evidence", PLAIN_BUNDLE, "with what was looked at", trust(keys={"statement": statement(*more)}))
    longest = (*three, f'evidence = "{"证" * 1024}"')
    yield good("held-evidence-1024", PLAIN_BUNDLE, "1,024 characters", trust(keys={"meter": meter(*longest)}))
    by_other = ('held = "hardware"', 'held_by = "an-inspector"', f"held_at = {moment(e.NOW + 999)}")
    yield good(
        "held-by-unknown",
        PLAIN_BUNDLE,
        "by whom, and when, changes no verdict",
        trust(keys={"meter": meter(*by_other)}),
    )
    revoked = meter(*three, f"revoked = {moment(e.T0)}")
    yield bad(
        "validity",
        "held-and-revoked",
        PLAIN_BUNDLE,
        "a key in hardware is revoked as any other",
        trust(keys={"meter": revoked}),
    )
    for name, lines, why in rows(
        ("alone", three[:1], "held without who says so, and since when"),
        ("by-missing", (three[0], at), "held without who says so"),
        ("at-missing", three[:2], "held without since when"),
        ("by-alone", three[1:2], "who says so, of nothing"),
        ("at-alone", three[2:], "since when, of nothing"),
        ("evidence-alone", ('evidence = "x"',), "evidence of nothing"),
        ("file", ('held = "file"', *three[1:]), "held in a file is not said"),
        ("capital", ('held = "Hardware"', *three[1:]), "another word"),
        ("true", ("held = true", *three[1:]), "held that is true"),
        ("by-script", (three[0], 'held_by = "<b>"', at), "said by nobody who has a name"),
        ("by-number", (three[0], "held_by = 1", at), "said by a number"),
        ("at-local", (*three[:2], "held_at = 2026-03-01T00:00:00"), "a time without an offset"),
        ("at-text", (*three[:2], 'held_at = "2026"'), "a time that is text"),
        ("evidence-empty", (*three, 'evidence = ""'), "empty evidence"),
        ("evidence-1025", (*three, f'evidence = "{"x" * 1025}"'), "evidence of 1,025 characters"),
        ("evidence-number", (*three, "evidence = 1"), "evidence that is a number"),
    ):
        yield refused(f"held-{name}", trust(keys={"meter": meter(*lines)}), f"trust file: {why}")
    party = "\n" + table("party", key("works"), *three, party="works")
    yield refused("held-party", trust(extra=party), "trust file: nobody attests keys of parties")
