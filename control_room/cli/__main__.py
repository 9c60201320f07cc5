"""Entry point of ``python -m control_room.cli``."""

from __future__ import annotations

from control_room.cli.app import main

if __name__ == "__main__":
    main()
