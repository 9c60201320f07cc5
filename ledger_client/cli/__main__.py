"""Entry point of ``python -m ledger_client.cli``."""

from __future__ import annotations

from ledger_client.cli.app import main

if __name__ == "__main__":
    main()
