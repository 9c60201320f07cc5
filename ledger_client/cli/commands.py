"""Commands of ``meterseal-ledger`` in order of use: where each is, and what ``--help`` lists of it."""

from __future__ import annotations

from typing import Final

from ledger_client.click_help import Entry, Table

COMMANDS: Final[Table] = {
    "Judge proofs": {
        "verify": Entry(
            "ledger_client.cli.proofs:verify",
            "Check a proof with nothing but the trust file: exit 0 verified, 1 not verified.",
        ),
        "audit": Entry(
            "ledger_client.cli.proofs:audit",
            "Check whole batches, and that nothing is missing between them: exit 0 all holds, 1 something does not.",
        ),
        "prove": Entry(
            "ledger_client.cli.proofs:prove",
            "Take the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest reading) out of a batch file.",
        ),
        "trust": Entry(
            "ledger_client.cli.trust:trust",
            "Make, fill and look at a trust file: whom a verifier believes.",
        ),
        "verifier-page": Entry(
            "ledger_client.cli.verifier_page:verifier_page",
            "Write the page that verifies proofs (.mseal) in a browser, offline, and print its SHA-256.",
        ),
    },
    "Run a ledger": {
        "init": Entry(
            "ledger_client.cli.run_ledger:init",
            "Make a new ledger in DIR, for `enroll` and `show` before it is served.",
        ),
        "serve": Entry(
            "ledger_client.cli.run_ledger:serve",
            "Serve the ledger in DIR until SIGTERM or Ctrl-C; the first start makes it.",
        ),
        "show": Entry(
            "ledger_client.cli.run_ledger:show",
            "Say what the ledger in DIR holds; it may be serving meanwhile.",
        ),
        "enroll": Entry(
            "ledger_client.cli.run_ledger:enroll",
            "Let in the gateway, with its meters, or the party that made a request; asks first.",
        ),
        "revoke": Entry(
            "ledger_client.cli.run_ledger:revoke",
            "Have a key of a gateway or a party count no more; may run while the ledger serves.",
        ),
        "rotate": Entry(
            "ledger_client.cli.run_ledger:rotate",
            "Sign with a new key from now on; the ledger in DIR may be serving.",
        ),
        "backup": Entry(
            "ledger_client.cli.run_ledger:backup",
            "Copy the log of the ledger in DIR, which may be serving, and read the copy through.",
        ),
        "witness": Entry(
            "ledger_client.cli.run_ledger:witness",
            "Cosign what the logs of ledgers say, as long as each only grows, until SIGTERM or Ctrl-C.",
        ),
    },
    "Certificates": {
        "party": Entry(
            "ledger_client.cli.party:party",
            "Make, show and rotate the key of a party, an issuer or a verifier.",
        ),
        "certificate": Entry(
            "ledger_client.cli.certificates.group:certificate",
            "Issue, hold and judge certificates: claims to the energy of an hour of a device.",
        ),
        "energytag": Entry(
            "ledger_client.cli.exports:energytag",
            "Write a registry's certificates as devices and bundles in the words of EnergyTag's registry API, as JSON.",
        ),
        "irec": Entry(
            "ledger_client.cli.exports:irec",
            "Write the evidence of a device and a period for an issuer of I-RECs: a zip with a manifest.",
        ),
    },
    "Account": {
        "recompute": Entry(
            "ledger_client.cli.recompute:recompute",
            "Say YES or NO to what folders hold, of any gateways: batches, proofs (.mseal), rows (.mrows), documents.",
        ),
        "table": Entry(
            "ledger_client.cli.table:table",
            "Write a table of statements: their hours, their periods, the MRR's hours, China's months of "
            "electricity and of devices, or what fuel was burnt.",
        ),
        "factors": Entry(
            "ledger_client.cli.factors:factors",
            "List the emission factors that plans can name, all or one SERIES, with the document of each.",
        ),
        "balance": Entry(
            "ledger_client.cli.balance:balance",
            "Balance a party's load with what was retired for it, hour by hour, and its emissions by both methods.",
        ),
        "neutrality": Entry(
            "ledger_client.cli.balance:neutrality",
            "As `balance`, with the verdict: exit 0 only where offsets leave nothing of scope 1 and 2, and "
            "nothing is open.",
        ),
    },
    "Chains": {
        "evm": Entry(
            "ledger_client.cli.evm:evm",
            "Own a contract on an EVM chain for gateways that anchor or parties that claim: deploy it, let them "
            "in and out.",
        ),
        "bridge": Entry(
            "ledger_client.cli.bridge:bridge",
            "Take statements from MQTT and submit them to an http or evm ledger, until SIGTERM or Ctrl-C.",
        ),
    },
}
