"""Witnesses: notes of a log's head in a bundle, their cosignatures, and the trust files that ask for them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import Key, beyond_l, key
from tests.corpus.making.table import PLAIN_BUNDLE, PLAIN_TRUST, Made, bad, good, refused, rows
from tests.corpus.making.trust_text import meter, moment, trust
from tests.corpus.making.wire import Raw, encode

ORIGIN: Final = "demo-ledger/5f0c1a2b3c4d5e6f"
LOG, WITNESSES = key("checkpoint"), tuple(key(f"witness-{n}") for n in range(3))
NAMES: Final = tuple(f"witness.example/w{n}" for n in range(3))
BEFORE: Final = (b"policy", b"another")
"""What stands in the log before the statement."""


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def key_id(name: str, kind: int, signer: Key) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + _typed(kind, signer)).digest()[:4]


def _typed(kind: int, signer: Key) -> bytes:
    x = signer.fields[-2]
    assert isinstance(x, bytes)
    return bytes((kind,)) + x


def vkey(name: str, kind: int, signer: Key) -> str:
    return f"{name}+{key_id(name, kind, signer).hex()}+{base64_of(_typed(kind, signer))}"


def checkpoint(
    entry: bytes, *, origin: str = ORIGIN, size: object = None, root: bytes | None = None, more: str = ""
) -> str:
    """The text of the note of a log that ends with this entry."""
    leaves = list(map(e.leaf_hash, (*BEFORE, entry)))
    return f"{origin}\n{len(leaves) if size is None else size}\n{base64_of(root or e.root_of(leaves))}\n{more}"


def line(name: str, data: bytes) -> str:
    return f"\u2014 {name} {base64_of(data)}\n"


def log_line(text: str, *, name: str = ORIGIN, signer: Key = LOG, forge: Callable[[bytes], bytes] | None = None) -> str:
    return line(name, key_id(name, 1, signer) + (forge or signer.sign)(text.encode()))


def cosignature(
    text: str, n: int = 0, *, at: int = e.NOW, signer: Key | None = None, forge: Callable[[bytes], bytes] | None = None
) -> str:
    """The line of a witness; ``signer`` signs in the place of its key."""
    message = f"cosignature/v1\ntime {at}\n{text}".encode()
    made = (forge or (signer or WITNESSES[n]).sign)(message)
    return line(NAMES[n], key_id(NAMES[n], 4, WITNESSES[n]) + at.to_bytes(8, "big") + made)


def note(text: str, *lines: str) -> bytes:
    return (text + "\n" + "".join(lines)).encode()


def place(entry: bytes) -> list[object]:
    leaves = list(map(e.leaf_hash, (*BEFORE, entry)))
    return [len(leaves), 2, e.path_of(2, leaves)]


ENTRY: Final = e.statement([e.record()])
TEXT: Final = checkpoint(ENTRY)


def full(*witnesses: int, text: str = TEXT, **parts: Any) -> bytes:
    """A note with the log's line and these witnesses' cosignatures."""
    return note(text, log_line(text, **parts), *(cosignature(text, n) for n in witnesses))


def bundle(*notes: bytes, at: object = None, receipts: e.Receipts | None = None, **changes: object) -> bytes:
    """A proof with these notes, each with the statement's place."""
    found = [{"note": each, "place": place(ENTRY) if at is None else at} for each in notes]
    return e.bundle(entry=ENTRY, receipts=receipts, changes={"witnessed": found, **changes})


def log_entry(ledger: str = e.LEDGER, text: str | None = None) -> str:
    return f'\n[[log]]\nledger = "{ledger}"\nvkey = "{text or vkey(ORIGIN, 1, LOG)}"\n'


def witness_entry(n: int, *, name: str | None = None, text: str | None = None) -> str:
    return f'\n[[witness]]\nname = "{name or f"w{n}"}"\nvkey = "{text or vkey(NAMES[n], 4, WITNESSES[n])}"\n'


def asks(k: object, witnesses: int = 3, logs: str | None = None, **more: Any) -> str:
    """A trust file that asks for k of these witnesses."""
    extra = (log_entry() if logs is None else logs) + "".join(map(witness_entry, range(witnesses)))
    return trust(policy=f"witnesses = {k}\n" + more.pop("policy", ""), extra=more.pop("extra", "") + extra, **more)


def cases() -> Iterator[Made]:
    yield from _counted()
    yield from _notes()
    yield from _cosignatures()
    yield from _ledgers()
    yield from _parts()
    yield from _files()


def _counted() -> Iterator[Made]:
    """k of n."""
    for k in (1, 2, 3):
        for n in (0, 1, 2, 3):
            file, why = bundle(full(*range(n))), f"{n} of three have cosigned, {k} must have"
            name = f"witnesses-{k}-asked-{n}-given"
            yield good(name, file, why, asks(k)) if n >= k else bad("policy", name, file, why, asks(k))
    yield good("witnesses-none-asked", bundle(full(0)), "a note in a bundle, and nobody asks for it")
    yield good("witnesses-0-asked", PLAIN_BUNDLE, "0 witnesses are asked for", asks(0))
    yield bad("policy", "witnesses-no-note", PLAIN_BUNDLE, "a bundle without a note", asks(1))
    twice = note(TEXT, log_line(TEXT), cosignature(TEXT, 0), cosignature(TEXT, 0, at=e.NOW + 1))
    yield bad("policy", "witnesses-one-twice", bundle(twice), "one witness that signed twice is one", asks(2))
    spread = bundle(full(0), full(1))
    yield bad("policy", "witnesses-over-two-notes", spread, "each note by itself must have enough", asks(2))
    yield good("witnesses-second-note", bundle(full(), full(0, 1)), "the second note has enough", asks(2))
    yield good("witnesses-behind-junk", bundle(b"junk", full(0)), "a note that is none spoils nothing", asks(1))
    yield good("witnesses-16-notes", bundle(*[b"junk"] * 15, full(0)), "the last of sixteen notes has it", asks(1))
    unknown = line("elsewhere.example/w", b"\1\2\3\4" + bytes(72))
    mixed = note(TEXT, unknown, log_line(TEXT), unknown, cosignature(TEXT, 0))
    yield good("witnesses-unknown-beside", bundle(mixed), "lines of unknown keys say nothing", asks(1))
    swapped = note(TEXT, cosignature(TEXT, 0), log_line(TEXT))
    yield good("witnesses-before-log", bundle(swapped), "the lines have no order", asks(1))
    hundred = note(TEXT, log_line(TEXT), cosignature(TEXT, 0), *[unknown] * 98)
    yield good("witnesses-100-lines", bundle(hundred), "100 signature lines", asks(1))
    many = note(TEXT, log_line(TEXT), cosignature(TEXT, 0), *[unknown] * 99)
    yield bad("policy", "witnesses-101-lines", bundle(many), "101 signature lines", asks(1))
    late = note(TEXT, log_line(TEXT), cosignature(TEXT, 0, at=253_402_300_799))
    yield good("witnesses-time-9999", bundle(late), "the times of cosignatures prove nothing", asks(1))
    early = note(TEXT, log_line(TEXT), cosignature(TEXT, 0, at=1))
    yield good("witnesses-time-1970", bundle(early), "nor does one before the record", asks(1))


def _notes() -> Iterator[Made]:
    """Notes that count for nothing; k = 1, and one witness has cosigned what there is."""

    def of(text: str, **parts: Any) -> bytes:
        return bundle(full(0, text=text, **parts))

    other = checkpoint(ENTRY, root=bytes(range(32)))
    crlf = TEXT.replace("\n", "\r\n")
    whole = full(0)
    log, witness = log_line(TEXT), cosignature(TEXT)
    for name, file, why in rows(
        ("crlf", bundle(whole.replace(b"\n", b"\r\n")), "lines that end in CR LF"),
        ("crlf-signed", of(crlf), "lines of the text that end in CR LF, signed so"),
        ("origin-unknown", of(checkpoint(ENTRY, origin="elsewhere/1"), name="elsewhere/1"), "another log's origin"),
        (
            "origin-other-line",
            of(checkpoint(ENTRY, origin="elsewhere/1")),
            "another origin, under this log's signature",
        ),
        ("two-origins", of(f"{ORIGIN}\n{TEXT}"), "two origins, one under the other"),
        ("origin-empty", of(TEXT.replace(ORIGIN, "")), "an empty origin"),
        ("two-notes", bundle(whole + whole), "one note behind another"),
        ("unsigned", bundle(note(TEXT, witness)), "without the log's own signature"),
        (
            "forged",
            bundle(note(TEXT, log_line(TEXT, forge=lambda _: bytes(64)), witness)),
            "a log's signature of zeros",
        ),
        (
            "log-one-bad",
            bundle(note(TEXT, log, log_line(TEXT, forge=lambda _: bytes(64)), witness)),
            "of two lines of the log one does not hold",
        ),
        (
            "log-s-plus-l",
            bundle(note(TEXT, log_line(TEXT, forge=lambda m: beyond_l(LOG.sign(m))), witness)),
            "the log's S is L higher",
        ),
        (
            "log-63-bytes",
            bundle(note(TEXT, log_line(TEXT, forge=lambda m: LOG.sign(m)[:63]), witness)),
            "a signature of 63 bytes",
        ),
        (
            "by-ledger-key",
            bundle(note(TEXT, log_line(TEXT, signer=e.LEDGER_KEY), witness)),
            "by the ledger's key of receipts",
        ),
        (
            "other-head",
            bundle(note(other, log_line(other), cosignature(other))),
            "the head of a log without the statement",
        ),
        ("cosigned-other-head", bundle(note(TEXT, log, cosignature(other))), "the cosignature is of another head"),
        ("size-text", of(checkpoint(ENTRY, size="three")), "a size in words"),
        ("size-zeros", of(checkpoint(ENTRY, size="03")), "a size with a leading zero"),
        ("size-plus", of(checkpoint(ENTRY, size="+3")), "a size with a sign"),
        ("size-4", of(checkpoint(ENTRY, size=4)), "another size than that of the place"),
        ("size-2-to-63", of(checkpoint(ENTRY, size=2**63)), "a size beyond 2^63 - 1"),
        ("root-31", of(checkpoint(ENTRY, root=bytes(31))), "a root of 31 bytes"),
        ("root-base64url", of(TEXT.replace("=\n", "\n")), "a root without padding"),
        ("root-loose-bits", of(_loose(TEXT)), "a root of which bits are lost"),
        ("text-of-two", of("\n".join(TEXT.split("\n")[:2]) + "\n"), "a text of two lines"),
        ("line-empty", of(f"{TEXT}\nmore\n"), "an empty line within the text"),
        ("empty-line-missing", bundle((TEXT + log + witness).encode()), "no empty line before the signatures"),
        ("no-lines", bundle((TEXT + "\n").encode()), "no signature lines"),
        ("end-missing", bundle(whole[:-1]), "the last line has no end"),
        ("more-behind", bundle(whole + b"more\n"), "a line that is none behind the signatures"),
        ("hyphen", bundle(whole.replace("\u2014".encode(), b"-")), "a hyphen in place of the dash"),
        ("not-utf8", bundle(whole + b"\xff"), "a byte that is not UTF-8"),
        ("null", bundle(whole.replace(b"\n\n", b"\0\n\n")), "a U+0000"),
        ("tab", bundle(whole.replace(b" ", b"\t")), "tabs in place of spaces"),
        ("bom", bundle(b"\xef\xbb\xbf" + whole), "a byte order mark before the origin"),
        ("line-without-signature", bundle(note(TEXT, log, witness, line("x", bytes(4)))), "a line with a key ID alone"),
        ("line-plus-in-name", bundle(note(TEXT, log, witness, line("a+b", bytes(9)))), "a name with a plus"),
        ("line-padding", bundle(whole.replace(b"=\n", b"\n")), "signatures without padding"),
    ):
        yield bad("policy", f"note-{name}", file, f"note: {why}", asks(1))
    longer = checkpoint(ENTRY, more="an extension of the log\n")
    yield good("note-extension", of(longer), "lines of the log's own behind the root", asks(1))
    unicode = note(TEXT, log, witness, line("éñ", bytes(9)))
    yield good("note-name-unicode", bundle(unicode), "an unknown line with a name of other letters", asks(1))
    shortest = note(TEXT, log, witness, line("x", bytes(5)))
    yield good("note-line-of-5-bytes", bundle(shortest), "an unknown line of one byte behind its key ID", asks(1))


def _loose(text: str) -> str:
    """The root in base64 with a bit set that says nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text[-3]
    return text[:-3] + alphabet[alphabet.index(last) | 1] + text[-2:]


def _cosignatures() -> Iterator[Made]:
    log = log_line(TEXT)
    first = cosignature(TEXT, 0)

    def with_line(*lines: str) -> bytes:
        return bundle(note(TEXT, log, *lines))

    for name, file, why in rows(
        ("zeros", with_line(cosignature(TEXT, forge=lambda _: bytes(64))), "64 zeros"),
        ("other-key", with_line(cosignature(TEXT, signer=key("thief"))), "by another key, under the witness's name"),
        ("s-plus-l", with_line(cosignature(TEXT, forge=lambda m: beyond_l(WITNESSES[0].sign(m)))), "S is L higher"),
        ("time-0", with_line(cosignature(TEXT, at=0)), "at no time"),
        ("time-beyond-9999", with_line(cosignature(TEXT, at=253_402_300_800)), "after 9999"),
        ("time-unsigned", with_line(_later(first)), "another time than was signed"),
        ("short", with_line(cosignature(TEXT, forge=lambda m: WITNESSES[0].sign(m)[:63])), "71 bytes"),
        (
            "without-time",
            with_line(line(NAMES[0], key_id(NAMES[0], 4, WITNESSES[0]) + WITNESSES[0].sign(TEXT.encode()))),
            "a log's form, without a time",
        ),
        (
            "as-log",
            with_line(line(NAMES[0], key_id(NAMES[0], 1, WITNESSES[0]) + WITNESSES[0].sign(TEXT.encode()))),
            "by the key ID of a log's key",
        ),
        (
            "one-bad",
            with_line(first, cosignature(TEXT, forge=lambda _: bytes(64))),
            "of two lines of one witness one does not hold",
        ),
        (
            "other-bad",
            with_line(first, cosignature(TEXT, 1, forge=lambda _: bytes(64))),
            "another witness's line does not hold",
        ),
        ("by-log-key", with_line(log), "the log's own line twice is no witness"),
        ("other-name", with_line(first.replace(NAMES[0], "witness.example/x")), "under another name"),
    ):
        yield bad("policy", f"cosignature-{name}", file, f"cosignature: {why}", asks(1))
    good_one = bundle(note(TEXT, log, cosignature(TEXT, 1, forge=lambda _: bytes(64))), full(0))
    yield good("cosignature-bad-in-other-note", good_one, "the second note holds by itself", asks(1))
    stranger = with_line(first, cosignature(TEXT, 2, forge=lambda _: bytes(64)))
    yield good(
        "cosignature-bad-of-stranger", stranger, "a bad line of a witness that the file does not have", asks(1, 2)
    )


def _later(text: str) -> str:
    """A cosignature with a second more in its time."""
    head, _, encoded = text.rstrip("\n").rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[11] ^= 1
    return f"{head} {base64_of(bytes(data))}\n"


def _ledgers() -> Iterator[Made]:
    """Each ledger that counts needs a note of its own log."""
    two = ("demo-ledger", "ledger-b")
    other, signer = "ledger-b/1", key("checkpoint-b")
    logs = log_entry() + log_entry("ledger-b", vkey(other, 1, signer))
    text = checkpoint(ENTRY, origin=other)
    second = note(text, log_line(text, name=other, signer=signer), cosignature(text, 0))
    given: Sequence[Callable[[bytes], bytes]] = [e.receipt, partial(e.receipt, ledger="ledger-b", iat=e.RECEIPT_S + 60)]

    def asked(receipts: int, **more: Any) -> str:
        return asks(1, logs=logs, receipts=receipts, ledgers=two, **more)

    both = bundle(full(0), second, receipts=given)
    yield good("witnessed-both", both, "two ledgers, each with a note", asked(2))
    one = bundle(full(0), receipts=given)
    yield bad("policy", "witnessed-one-of-two", one, "two are asked for, one is witnessed", asked(2))
    yield good("witnessed-one-is-enough", one, "one is asked for, one is witnessed", asked(1))
    later = bundle(second, receipts=given)
    limit = 'max_delay = "30s"\n'
    yield bad(
        "validity", "witnessed-later-one", later, "the time is that of the ledger that counts", asked(1, policy=limit)
    )
    yield good("witnessed-earlier-one", one, "the time is that of the ledger that counts", asked(1, policy=limit))
    alone = asks(1, logs="", receipts=1)
    yield bad("policy", "witnessed-without-log", bundle(full(0)), "the trust file has no key of the log", alone)
    elsewhere = asks(1, logs=log_entry("ledger-b"))
    yield bad("policy", "witnessed-log-of-other", bundle(full(0)), "the log is another ledger's", elsewhere)
    newer = log_entry() + log_entry(text=vkey(ORIGIN, 1, key("checkpoint-new")))
    yield good("witnessed-older-key", bundle(full(0)), "a log that has had two keys", asks(1, logs=newer))
    fresh = bundle(full(0, signer=key("checkpoint-new")))
    yield good("witnessed-newer-key", fresh, "the newer of two keys of a log", asks(1, logs=newer))
    wrong = note(
        TEXT, log_line(TEXT), log_line(TEXT, signer=key("checkpoint-new"), forge=lambda _: bytes(64)), cosignature(TEXT)
    )
    yield bad(
        "policy",
        "witnessed-one-key-bad",
        bundle(wrong),
        "of two keys of a log one line does not hold",
        asks(1, logs=newer),
    )
    none = bundle(full(0), receipts=[])
    yield bad("policy", "witnessed-without-receipt", none, "a witnessed head is no receipt", asks(1))
    junk = bundle(full(0), receipts=[b"junk"])
    yield bad("receipts", "witnessed-junk", junk, "without witnesses it is judged first", asks(1))
    chain = '\n[[chain]]\nledger = "chain"\nchain_id = 1\n'
    chain += f'contract = "0x{bytes(20).hex()}"\nsender = "0x{bytes(20).hex()}"\n'
    known = asks(1, extra=chain)
    yield good("witnessed-chain-beside", bundle(full(0), anchors=[e.locator()]), "a locator beside it", known)
    revoked = asks(1, keys={"meter": meter(f"revoked = {moment(e.T0)}")})
    yield bad("validity", "witnessed-and-revoked", bundle(full(0)), "witnesses say nothing of keys", revoked)
    early = bundle(full())
    yield bad("policy", "unwitnessed-and-revoked", early, "step 8 with witnesses comes before the rest of 7", revoked)


def _parts() -> Iterator[Made]:
    """The map in the bundle."""
    whole = full(0)
    at = place(ENTRY)
    for name, value, why in rows(
        ("empty", [], "an empty list"),
        ("17", [{"note": whole, "place": at}] * 17, "17 notes"),
        ("map", {"note": whole, "place": at}, "a note that is in no list"),
        ("null", None, "null"),
        ("note-text", [{"note": whole.decode(), "place": at}], "a note that is text"),
        ("note-empty", [{"note": b"", "place": at}], "an empty note"),
        ("note-65537", [{"note": b"x" * 65_537, "place": at}], "a note of 65,537 bytes"),
        ("note-missing", [{"place": at}], "a place without a note"),
        ("place-missing", [{"note": whole}], "a note without a place"),
        ("more", [{"note": whole, "place": at, "x": 1}], "a key that is not known"),
        ("place-of-two", [{"note": whole, "place": [3, 2]}], "a place of two parts"),
        ("place-negative", [{"note": whole, "place": [3, -1, []]}], "an index below 0"),
        ("place-hash", [{"note": whole, "place": [3, 2, [bytes(31)]]}], "a hash of 31 bytes"),
        ("place-65", [{"note": whole, "place": [3, 2, [bytes(32)] * 65]}], "a path of 65 hashes"),
        (
            "unsorted",
            [Raw(b"\xa2" + encode("place") + encode(at) + encode("note") + encode(whole))],
            "keys out of order",
        ),
    ):
        file = e.bundle(entry=ENTRY, changes={"witnessed": value})
        yield bad("parse", f"witnessed-{name}", file, f"witnessed: {why}", asks(1))
    for name, found, why in rows(
        ("index", [3, 1, at[2]], "another entry's place"),
        ("index-beyond", [3, 3, at[2]], "an index that is the size"),
        ("path-short", [3, 2, []], "no path"),
        ("path-other", [3, 2, [bytes(32)]], "a path that leads elsewhere"),
        ("path-long", [3, 2, [*e.path_of(2, [bytes(32)] * 3), bytes(32)]], "a path that is too long"),
        ("size", [4, 2, at[2]], "another size than the note's"),
    ):
        yield bad("policy", f"witnessed-place-{name}", bundle(whole, at=found), f"place: {why}", asks(1))
    only = checkpoint(ENTRY, size=1, root=e.leaf_hash(ENTRY))
    yield good(
        "witnessed-log-of-one", bundle(full(0, text=only), at=[1, 0, []]), "a log of the statement alone", asks(1)
    )


def _files() -> Iterator[Made]:
    """Trust files."""
    yield good(
        "witness-file-unused",
        PLAIN_BUNDLE,
        "witnesses that nobody asks for",
        PLAIN_TRUST + log_entry() + witness_entry(0),
    )
    x = WITNESSES[0].fields[-2]
    assert isinstance(x, bytes)
    plain = vkey(NAMES[0], 4, WITNESSES[0])
    weak = Key("weak", "Ed25519", {1: 1, -1: 6, -2: bytes(32)}, WITNESSES[0].private)
    for name, extra, why in rows(
        ("vkey-missing", '\n[[witness]]\nname = "w0"\n', "a witness without a key"),
        ("name-missing", f'\n[[witness]]\nvkey = "{plain}"\n', "a witness without a name"),
        ("name-space", witness_entry(0, name="a b"), "a name with a space"),
        ("name-plus", witness_entry(0, name="a+b"), "a name with a plus"),
        ("name-empty", witness_entry(0).replace('"w0"', '""'), "an empty name"),
        ("name-256", witness_entry(0, name="w" * 256), "a name of 256 characters"),
        ("name-unicode", witness_entry(0, name="证人"), "a name that is not ASCII"),
        ("more", witness_entry(0) + "x = 1\n", "a key that is not known"),
        ("table", f'\n[witness]\nname = "w0"\nvkey = "{plain}"\n', "a witness in no list"),
        ("id-other", witness_entry(0, text=plain.replace("+", "+0", 1)), "a key ID of nine digits"),
        ("id-capitals", witness_entry(0, text=_capital(plain)), "a key ID in capitals"),
        ("id-of-other-name", witness_entry(0, text=plain.replace("/w0", "/w9")), "the key ID of another name"),
        ("type-01", witness_entry(0, text=vkey(NAMES[0], 1, WITNESSES[0])), "a log's kind of key"),
        ("type-02", witness_entry(0, text=vkey(NAMES[0], 2, WITNESSES[0])), "a kind of key that is not known"),
        ("key-31", witness_entry(0, text=_short(x)), "a key of 31 bytes"),
        ("key-weak", witness_entry(0, text=vkey(NAMES[0], 4, weak)), "a key of small order"),
        ("padding", witness_entry(0, text=plain.rstrip("=") + "=="), "padding that does not belong there"),
        ("two-parts", witness_entry(0, text=plain.partition("+")[0]), "a name without a key"),
        ("name-twice", witness_entry(0) + witness_entry(1, name="w0"), "one name of two witnesses"),
        (
            "key-twice",
            witness_entry(0) + witness_entry(1, text=vkey(NAMES[1], 4, WITNESSES[0])),
            "one key of two witnesses",
        ),
        (
            "vkey-name-twice",
            witness_entry(0) + witness_entry(1, text=vkey(NAMES[0], 4, WITNESSES[1])),
            "one name of two keys",
        ),
        (
            "name-is-other-vkey",
            witness_entry(0) + witness_entry(1, name=NAMES[0]),
            "a name that is another's key's name",
        ),
        ("log-as-witness", log_entry() + witness_entry(0, text=vkey(NAMES[0], 4, LOG)), "a log's key as a witness"),
        ("ledger-as-witness", witness_entry(0, text=vkey(NAMES[0], 4, e.LEDGER_KEY)), "a ledger's key as a witness"),
        ("meter-as-witness", witness_entry(0, text=vkey(NAMES[0], 4, e.METER)), "a meter's key as a witness"),
        ("ledger-as-log", log_entry(text=vkey(ORIGIN, 1, e.LEDGER_KEY)), "a ledger's key of receipts as its log's"),
        ("log-type-04", log_entry(text=vkey(ORIGIN, 4, LOG)), "a witness's kind of key of a log"),
        ("log-ledger-missing", f'\n[[log]]\nvkey = "{vkey(ORIGIN, 1, LOG)}"\n', "a log of no ledger"),
        ("log-ledger-name", log_entry("<b>"), "a log of a ledger whose name is none"),
        ("log-more", log_entry() + "x = 1\n", "a key that is not known, of a log"),
        (
            "log-two-origins",
            log_entry() + log_entry(text=vkey("demo-ledger/2", 1, key("second"))),
            "two origins of one ledger",
        ),
        (
            "log-origin-twice",
            log_entry() + log_entry("ledger-b", vkey(ORIGIN, 1, key("second"))),
            "one origin of two ledgers",
        ),
    ):
        yield refused(f"witness-file-{name}", PLAIN_TRUST + extra, f"trust file: {why}")
    for name, k, why in rows(
        ("4-of-3", 4, "more than there are"),
        ("negative", -1, "less than none"),
        ("float", 1.0, "a number that is a float"),
        ("true", "true", "a number that is true"),
        ("text", '"1"', "a number that is text"),
    ):
        yield refused(f"witness-file-{name}", asks(k), f"trust file: witnesses: {why}")
    yield refused("witness-file-1-of-0", asks(1, 0), "trust file: one of no witnesses")


def _capital(text: str) -> str:
    name, id_, rest = text.split("+", 2)
    return f"{name}+{id_.upper()}+{rest}"


def _short(x: bytes) -> str:
    data = b"\4" + x[:31]
    id_ = hashlib.sha256(f"{NAMES[0]}\n".encode() + data).hexdigest()[:8]
    return f"{NAMES[0]}+{id_}+{base64_of(data)}"
