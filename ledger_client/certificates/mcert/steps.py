"""Nine steps of the verification of a certificate file, and the error that says at which one it stopped (V1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Final

from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.errors import Refused, VerificationError
from ledger_client.messages import Sentence

CERTIFICATE_STEPS: Final[Mapping[int, str]] = {
    1: "parse",
    2: "claims",
    3: "state",
    4: "issue",
    5: "row",
    6: "period",
    7: "plan",
    8: "edges",
    9: "attested",
}
PARSE, CLAIMS, STATE, ISSUE, ROW, PERIOD, PLAN, EDGES, ATTESTED = CERTIFICATE_STEPS

_WAYS: Final[Mapping[int, str]] = {
    PARSE: "ask for the file again; `meterseal-ledger certificate prove` writes it",
    CLAIMS: "compare the keys of the parties and of the registry with your trust file (`meterseal-ledger trust check`)",
    STATE: "ask the holder for a file with all claims of these units; the registry shows them",
    ISSUE: "ask the issuer: it certified what the statement does not give",
    ROW: "ask for the file again, with the row of this certificate",
    PERIOD: "ask for the file again, with the statement that the issue names",
    PLAN: "ask for the file again, with the plan that the statement names; else ask the issuer why it was issued",
    EDGES: "ask for the file again, with the readings that the row names; else recompute it from the batches",
    ATTESTED: "ask a verifier that your trust file names to attest the statement, or change policy.attested",
}


class CertificateError(VerificationError):
    """A certificate file does not hold: ``step`` 1 to 9 of ``CERTIFICATE_STEPS``; the detail ends with the rule."""

    steps: ClassVar[Mapping[int, str]] = CERTIFICATE_STEPS

    def __init__(self, what: Sentence, *, step: int, rule: str = "", way_out: str = "") -> None:
        """``way_out``: another than the step's own."""
        super().__init__(what, step=step)
        self.rule = rule
        self._way_out = way_out or _WAYS[step]

    @property
    def detail(self) -> str:
        """Why, in English, printable, with the rule that it breaks."""
        return f"{super().detail} ({self.rule})" if self.rule else super().detail


@contextmanager
def at(step: int, what: str, rule: str = "V1") -> Iterator[None]:
    """Turn whatever stops within into the error of this step; ``what``: the member of the file that it is about."""
    try:
        yield
    except CertificateError:
        raise
    except VerificationError as error:
        inner = "" if step == PARSE or error.step == PARSE else f"{error.steps[error.step]}: "
        raise CertificateError(f"{what}: {inner}{error.detail}", step=step, rule=rule) from error
    except AccountingError as error:
        raise CertificateError(f"{what}: {error.where}: {error.problem}", step=step, rule=error.rule) from error
    except Refused as error:
        problem, _, named = error.detail.partition(" (")
        raise CertificateError(
            f"{what}: {error.title}: {problem}", step=step, rule=named.rstrip(")") or rule
        ) from error
