"""``scripts/campaign NAME [--json] [--OPTION VALUE …]``: prove one thing at length. Options and fields are those of
``scripts/bench NAME``, which runs the same; the short form of each is a test."""

from __future__ import annotations

from benchmarks.__main__ import CAMPAIGNS, run_command

if __name__ == "__main__":
    run_command(CAMPAIGNS, "scripts/campaign")
