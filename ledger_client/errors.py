"""Exception hierarchy of ledger_client. Callers branch on the class; the message says what, where and the fix.

LedgerClientError
├── EncodeError            the caller's facts cannot be written down as the format allows
├── VerificationError      the evidence does not hold; bears the number of the step that failed
│   ├── Malformed              bytes that are not the format
│   ├── UnknownKey             no key of the trust file for this role, name and kid
│   ├── BadSignature           the signature is not this key's, or is a twin of one
│   ├── NotIncluded            leaf and path do not give the root
│   ├── Inconsistent           the newer state of a log does not begin with the older one
│   ├── OutOfRange             a time or a sequence number outside of what was stated
│   ├── UnknownLedger          a receipt of a ledger that the trust file does not list
│   ├── UnsupportedLog         a receipt over a structure that is not an RFC 9162 tree
│   ├── BadReceipt             a receipt of a known ledger that does not prove this entry
│   ├── Forked                 a ledger holds another statement of the same gateway and number
│   ├── NotAsked               a ledger of the policy could not be asked whether it does
│   ├── KeyNotValid            a known key outside of its time, or revoked
│   ├── PolicyNotMet           fewer ledgers vouch than the trust file asks for
│   └── CertificateError       a certificate file does not hold, at one of its nine steps (certificates/mcert/steps.py)
├── TrustFileError         the trust file is wrong
├── KeyFileError           a private key file is missing, open to others, or not a key
├── KeyUriError            text that names no key in a token (tokens/uri.py)
├── TokenError             a token or a key in it cannot be used until somebody mends the cause
├── KeyAway                a token does not sign just now
├── FileError              a file of evidence cannot be read, or does not hold what was asked of it
├── AccessError            certificate, login or proxy cannot be used (transport/access.py)
├── BrokerUrlError         not the address of a broker (transport/mqtt_options.py)
├── ListenError            an address that cannot be listened at (http_server/listening.py)
├── AccountingError        no statement can be made of a plan, an entry, a period (accounting/formats/refusal.py)
├── UsageError             the command line names what cannot be used (cli/terminal/options.py)
├── BridgeUsageError       … of a bridge (cli/bridge.py)
├── MissingLibrary         a command needs a library that is not installed (cli/evm.py)
├── MissingPsycopg         … a ledger's log in PostgreSQL (transparency/ledger/log_address.py)
├── LedgerDirError         a ledger's folder is wrong (transparency/ledger/directory.py)
├── NoDemonstration        a moved clock for what is no demonstration (transparency/server/demo_clock.py)
├── WitnessError           a witness's folder or one of its logs is wrong (transparency/witness/folder.py)
├── WitnessOptionError     a witness that cannot be asked (transparency/witness/cosigning.py)
├── LogError               a ledger's log cannot be opened (transparency/log/store.py)
├── PartyFolderError       a party's folder is wrong (enrolment/party_folder.py)
├── EnrollError            a gateway or a party cannot be enrolled (transparency/ledger/enroll.py)
├── RevokeError            a key cannot be revoked (transparency/ledger/revoke.py)
├── BackupError            a ledger's log cannot be copied (transparency/ledger/backup.py)
├── BookError              a bridge's book cannot be opened (bridge/backlog.py)
├── BridgeError            a bridge cannot go on (bridge/main.py)
└── LedgerError            talking to a ledger
    ├── Refused                the ledger says no, permanently
    ├── LedgerUnavailable      no answer now; try again
    │   ├── NodeError              a node of a chain says no (ledgers/evm/node.py)
    │   ├── LogBehind              a ledger's log lost what was signed (transparency/log/log.py)
    │   ├── KeyUnavailable         a ledger's key is in a token that is away (transparency/ledger/held_key.py)
    │   └── TooOften               a gateway submits more often than it may (transparency/ledger/service.py)
    ├── Unsupported            the ledger has no such call
    └── ForeignAccount         the account has a past that is not in this bridge's book (bridge/chain_anchoring.py)

WrongText, NotText, NotToml and NoDuration are ValueErrors of text_file.py, for whoever reads a file or a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from ledger_client.messages import Fact, Message, Sentence

STEPS = {
    1: "parse",
    2: "record",
    3: "inclusion",
    4: "statement",
    5: "sequence",
    6: "receipts",
    7: "validity",
    8: "policy",
}


NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class LedgerClientError(Exception):
    """Root of all errors of this package. Made of a message, or of finished English text and the fix.

    ``what`` is the mistake without its place, ``sentence`` with it: what another message quotes. ``problem`` and
    ``way_out`` are the English of ``what``.
    """

    def __init__(self, what: Sentence = "", way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self._way_out = way_out

    @property
    def sentence(self) -> Sentence:
        """The message, or the text without the fix, with the file or the key that it is about."""
        return self.what

    @property
    def problem(self) -> str:
        """What is wrong, in English."""
        return self.what if isinstance(self.what, str) else self.what.problem

    @property
    def way_out(self) -> str:
        """What to do about it, in English; ``""`` where nothing is known to help."""
        return self._way_out or ("" if isinstance(self.what, str) else self.what.way_out)

    @property
    def placed(self) -> str:
        """What is wrong and where, in English."""
        return self.sentence if isinstance(self.sentence, str) else self.sentence.problem

    @property
    def in_lines(self) -> str:
        """As a terminal shows it: the fix on a line of its own."""
        return f"{self.placed}\n  fix: {self.way_out}" if self.way_out else self.placed

    def __str__(self) -> str:
        return f"{self.placed}; fix: {self.way_out}" if self.way_out else self.placed


class EncodeError(LedgerClientError):
    """Facts that the format cannot express: the caller's fault, nothing was written or signed."""


class VerificationError(LedgerClientError):
    """The evidence does not hold: ``detail`` says why in English, ``step`` (one of ``steps``) where verification
    stopped.

    The detail quotes what others wrote; it is made printable and cut, so that it may go to a terminal or a log.
    """

    steps: ClassVar[Mapping[int, str]] = STEPS

    def __init__(self, what: Sentence, *, step: int = 1) -> None:
        super().__init__(_clean(what))
        self.step = step

    @property
    def detail(self) -> str:
        """Why, in English, printable, of at most about 1,000 characters."""
        return _printable(self.problem)

    def __str__(self) -> str:
        return f"step {self.step} ({self.steps[self.step]}): {self.detail}"


def _clean(sentence: Sentence) -> Sentence:
    """With every text in it printable, so that it may be quoted anywhere."""
    if isinstance(sentence, str):
        return _printable(sentence)
    return type(sentence)(sentence.code, **{name: _clean_fact(fact) for name, fact in sentence.facts.items()})


def _clean_fact(fact: Fact) -> Fact:
    if isinstance(fact, tuple):
        return tuple(map(_clean_fact, fact))
    return _clean(fact) if isinstance(fact, str | Message) else fact


def _printable(text: str) -> str:
    """At most about 1,000 characters, with every one that is not printable as its escape."""
    if len(text) > 1000:
        text = f"{text[:600]} … {text[-300:]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Malformed(VerificationError):
    """The bytes are not what the format says."""


class UnknownKey(VerificationError):
    """The trust file names no key for this role, these names and this kid."""


class BadSignature(VerificationError):
    """The signature does not verify, or is a form of it that is never written."""


class NotIncluded(VerificationError):
    """Leaf and path do not lead to the root."""


class Inconsistent(VerificationError):
    """The newer tree of a log is not shown to begin with the older one."""


class OutOfRange(VerificationError):
    """A time or sequence number lies outside of the range that the evidence itself states."""


class UnknownLedger(VerificationError):
    """A receipt names a ledger that the trust file has no key for or does not list."""


class UnsupportedLog(VerificationError):
    """The receipt is over a verifiable data structure other than RFC9162_SHA256."""


class BadReceipt(VerificationError):
    """The receipt of a known ledger does not prove that the entry is in its log."""


class Forked(VerificationError):
    """A ledger holds another statement under this batch number of this gateway: there are two histories."""


class NotAsked(VerificationError):
    """A ledger of the policy could not be asked what it holds under this batch number."""


class KeyNotValid(VerificationError):
    """A known key, but not at the time that counts, or revoked."""


class PolicyNotMet(VerificationError):
    """Fewer distinct ledgers vouch for the entry than the trust file asks for."""


class TrustFileError(LedgerClientError):
    """The trust file cannot be used: ``source`` (file), ``key`` (place in it; ``""`` for the whole file), ``what``."""

    def __init__(self, source: str, key: str, what: Sentence, way_out: str = "") -> None:
        super().__init__(what, way_out)
        self.source, self.key = source, key

    @property
    def sentence(self) -> Sentence:
        """With the file and the key in it."""
        if self.key:
            return Message("at-key", place=self.source, key=self.key, what=self.what)
        return Message("at", place=self.source, what=self.what)


class KeyFileError(LedgerClientError):
    """A private key file cannot be used: ``path``, ``what``."""

    def __init__(self, path: str, what: Sentence, way_out: str = "") -> None:
        super().__init__(what, way_out)
        self.path = path

    @property
    def sentence(self) -> Sentence:
        """With the file."""
        return Message("at", place=self.path, what=self.what)


class TokenError(LedgerClientError):
    """A token, or a key in it, cannot be used: asking again helps nothing until somebody has mended the cause."""


class KeyAway(LedgerClientError):
    """A token does not sign just now: it is silent, gone or failed, or lost its key. Nothing was signed; it is tried
    again by itself."""


class FileError(LedgerClientError):
    """A file of evidence cannot be read, or does not hold what was asked of it: the caller's or the machine's fault."""


class LedgerError(LedgerClientError):
    """A ledger did not do what was asked."""


class Refused(LedgerError):
    """The ledger says no until somebody mends the cause: ``title`` as it gave it (RFC 9290), ``detail`` as it gave it
    or as its driver says it, and ``more`` for programs (docs/ledger.md)."""

    def __init__(self, title: str, detail: Sentence = "", more: Mapping[str, object] = NOTHING) -> None:
        super().__init__(Message("refused", title=title, detail=detail) if detail else title)
        self.title, self.reason, self.more = title, detail, more

    @property
    def detail(self) -> str:
        """``reason`` in English; ``""`` where the ledger gives none."""
        return self.reason if isinstance(self.reason, str) else self.reason.problem


class LedgerUnavailable(LedgerError):
    """No usable answer now; try again, not before ``retry_after_s`` seconds where the ledger said so."""

    def __init__(self, what: Sentence, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Unsupported(LedgerError):
    """The ledger has no such call."""


class at_step:
    """Give every verification error raised inside the number of this step."""

    __slots__ = ("_step",)

    def __init__(self, step: int) -> None:
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, VerificationError):
            error.step = self._step
