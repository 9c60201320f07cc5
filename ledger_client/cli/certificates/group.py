"""Command group ``meterseal-ledger certificate``: what issuers, holders, verifiers and auditors do."""

from __future__ import annotations

from typing import ClassVar

import click

from ledger_client.cli.certificates import move, show
from ledger_client.cli.certificates.audit import audit
from ledger_client.cli.certificates.issue import issue
from ledger_client.cli.certificates.prove import prove
from ledger_client.cli.certificates.verify import verify
from ledger_client.click_help import HELP, Grouped


class _Certificates(Grouped):
    headings: ClassVar = {
        "Issue": ("issue", "withdraw", "attest"),
        "Hold": ("list", "show", "transfer", "retire", "export"),
        "Judge": ("prove", "verify", "audit"),
    }


@click.group(cls=_Certificates, context_settings=HELP)
def certificate() -> None:
    """Issue, hold and judge certificates: claims to the energy of an hour of a device."""


for command in (
    issue,
    move.withdraw,
    move.attest,
    show.listed,
    show.show,
    move.transfer,
    move.retire,
    move.export,
    prove,
    verify,
    audit,
):
    certificate.add_command(command)
