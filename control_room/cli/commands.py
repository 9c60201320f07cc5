"""Commands of `meterseal-control` in order of use: where each is, and what ``--help`` lists of it."""

from __future__ import annotations

from typing import Final

from ledger_client.click_help import Entry, Table

COMMANDS: Final[Table] = {
    "Set up": {
        "init": Entry(
            "control_room.cli.init:init",
            "Make DIR/CONTROL.toml, the tables of the database and the consumer at the broker; with an existing "
            "CONTROL.toml what it names.",
        ),
        "password": Entry("control_room.cli.password:password", "Set the password of NAME for the pages."),
        "token": Entry(
            "control_room.cli.token:token", "Add, list and remove tokens of the HTTP API (docs/control-room.md)."
        ),
    },
    "Run it": {
        "run": Entry(
            "control_room.cli.run:run",
            "Receive, verify and store the records of every gateway until stopped (SIGTERM or Ctrl-C).",
        ),
    },
    "Look at it": {
        "web": Entry(
            "control_room.cli.web:web",
            "Serve the pages, the API and the metrics until stopped (SIGTERM or Ctrl-C).",
        ),
    },
    "Batches": {
        "load": Entry(
            "control_room.cli.load:load",
            "Bring in exported batches (.mbatch), by the same checks as what gateways send: exit 0 all are proven, "
            "1 not all.",
        ),
    },
}
