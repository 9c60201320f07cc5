"""Command group ``meterseal-ledger certificate``: what issuers, holders, verifiers and auditors do."""

from __future__ import annotations

from typing import ClassVar

import click

from ledger_client.click_help import HELP, Entry, Grouped


class _Certificates(Grouped):
    headings: ClassVar = {
        "Issue": {
            "issue": Entry(
                "ledger_client.cli.certificates.issue:issue",
                "Issue a certificate for each hour (or quarter) of a statement that may have one, and say why not of "
                "the others.",
            ),
            "withdraw": Entry(
                "ledger_client.cli.certificates.move:withdraw",
                "Take certificates back that you issued, while their first holder has all units: their hours are free "
                "again.",
            ),
            "attest": Entry(
                "ledger_client.cli.certificates.move:attest",
                "Attest a statement or a signed balance, as a verifier.",
            ),
        },
        "Hold": {
            "list": Entry(
                "ledger_client.cli.certificates.show:listed",
                "List the certificates of a holder or of a device, as the registry shows them.",
            ),
            "show": Entry(
                "ledger_client.cli.certificates.show:show",
                "Show a certificate: what was issued, who has which units, and every claim of it.",
            ),
            "transfer": Entry(
                "ledger_client.cli.certificates.move:transfer",
                "Give certificates, or units A to B of them (B not included), to another PARTY.",
            ),
            "retire": Entry(
                "ledger_client.cli.certificates.move:retire",
                "Use certificates, or units A to B of them, up: nobody can use them again.",
            ),
            "export": Entry(
                "ledger_client.cli.certificates.move:export",
                "Let certificates, or units A to B of them, leave for another registry.",
            ),
        },
        "Judge": {
            "prove": Entry(
                "ledger_client.cli.certificates.prove:prove",
                "Write the file that proves units A to B of CERT, B not included; without :A-B all of them.",
            ),
            "verify": Entry(
                "ledger_client.cli.certificates.verify:verify",
                "Walk back from units of a certificate to signed registers: exit 0 verified, 1 not verified.",
            ),
            "audit": Entry(
                "ledger_client.cli.certificates.audit:audit",
                "Replay a registry's log, a copy of its log.db or over HTTP, and name all that its rules do not admit.",
            ),
        },
    }


@click.group(cls=_Certificates, context_settings=HELP)
def certificate() -> None:
    """Issue, hold and judge certificates: claims to the energy of an hour of a device."""
