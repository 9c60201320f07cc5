"""Commands of `meterseal` in order of use: where each is, and what ``--help`` lists of it."""

from __future__ import annotations

from typing import Final

from ledger_client.click_help import Entry, Table

COMMANDS: Final[Table] = {
    "Set up a site": {
        "init": Entry(
            "gateway.cli.setup:init",
            "Create DIR with a commented gateway.toml, device keys and trust.toml; without --web it asks for nothing.",
        ),
        "scan": Entry(
            "gateway.cli.commissioning.scan:scan",
            "Find the meters on a line, say what they are and what is wrong with the line.",
        ),
        "commission": Entry(
            "gateway.cli.commissioning.commission:commission",
            "Put METER into service: compare it with its display, record ratios, direction, seals and photos, and "
            "sign it.",
        ),
        "profiles": Entry(
            "gateway.cli.profiles.command:profiles",
            "List the catalog of meters, or show the points of one profile.",
        ),
        "keys": Entry(
            "gateway.cli.keys:keys",
            "Device keys: list, make and replace them, write the enrolment request for a ledger.",
        ),
        "password": Entry("gateway.cli.access.password:password", "Set the password of NAME for the pages."),
        "token": Entry("gateway.cli.access.token:token", "Add, list and remove tokens of the HTTP API (docs/api.md)."),
        "notify": Entry(
            "gateway.cli.notify:notify",
            "Test the receivers of alarms: `[[notify]]` of CONFIG (docs/notifications.md).",
        ),
        "check": Entry(
            "gateway.cli.setup:check",
            "Validate CONFIG and the files it names, and show what would be polled.",
        ),
        "read": Entry(
            "gateway.cli.read:read",
            "Poll METER once and show what it answers, raw and decoded, to compare with its display.",
        ),
        "listen": Entry(
            "gateway.cli.read:listen",
            "Show what another master asks on a Modbus RTU line and what is answered, as it happens.",
        ),
    },
    "Run it": {
        "run": Entry(
            "gateway.cli.run:run",
            "Poll, sign, store, seal and anchor until stopped (SIGTERM or Ctrl-C).",
        ),
        "reload": Entry(
            "gateway.cli.orders:reload",
            "Apply a changed CONFIG in the running gateway; only changed lines are reopened.",
        ),
        "exchange": Entry(
            "gateway.cli.commissioning.exchange:exchange",
            "Take over the device that now answers for METER: its serial number, the last registers of the old "
            "device and the first of the new one, seals and reason, question by question.",
        ),
        "accept": Entry(
            "gateway.cli.orders:accept",
            "Accept the device that now answers for METER; a signed event names the old and the new one.",
        ),
        "clear-shared": Entry(
            "gateway.cli.orders:clear_shared",
            "Stop flagging values of BUS as SHARED_LINE once another master is removed; a signed event names the user.",
        ),
        "install": Entry(
            "gateway.cli.service:install",
            "Install the gateway as a service: unit, user, folders and device rules.",
        ),
        "uninstall": Entry("gateway.cli.service:uninstall", "Remove the files of `meterseal install`."),
    },
    "See its state": {
        "status": Entry("gateway.cli.show:status", "Show meters, buffer, batches, ledgers and problems."),
        "readings": Entry(
            "gateway.cli.readings:readings",
            "Show the last readings of each METER, or of all meters, with the id of the record that proves each.",
        ),
        "totals": Entry(
            "gateway.cli.totals:totals",
            "Show the site's generation, consumption, grid and storage: power now, energy of days and months.",
        ),
        "doctor": Entry("gateway.cli.show:doctor", "Check everything that the gateway depends on."),
    },
    "Account": {
        "plan": Entry(
            "gateway.cli.accounting.plan:plan",
            "Write, check and publish the accounting plan: what registers mean (docs/accounting.md).",
        ),
        "entry": Entry(
            "gateway.cli.accounting.entry:entry",
            "State what no meter measures, in an event that the running gateway signs.",
        ),
        "statement": Entry(
            "gateway.cli.accounting.statement:statement",
            "State a period: hours, energy and emissions of each node, from the records of sealed batches.",
        ),
    },
    "Prove and archive": {
        "prove": Entry(
            "gateway.cli.prove:prove",
            "Write the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest anchored reading) to one file.",
        ),
        "export": Entry(
            "gateway.cli.prove:export",
            "Write whole batches with their receipts, for later proofs and audits.",
        ),
        "backup": Entry(
            "gateway.cli.backup:backup",
            "Copy the database to FILE, also while the gateway runs; with --site all that the site consists of.",
        ),
        "restore": Entry(
            "gateway.cli.backup:restore",
            "Make the site of a backup (`backup --site`) in DIR, which has to be absent or empty.",
        ),
    },
    "Try it": {
        "demo": Entry(
            "gateway.cli.run:demo",
            "Run the whole chain on this machine: simulated meters, gateway, ledger, proofs.",
        ),
    },
}
