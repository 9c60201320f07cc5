"""Benchmarks: ``run() -> dict`` of each module gives medians; ``scripts/bench NAME --json`` prints them."""
