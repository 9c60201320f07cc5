"""Entry point of ``python -m firmware_sim.cli``."""

from __future__ import annotations

from firmware_sim.cli.app import main

if __name__ == "__main__":
    main()
