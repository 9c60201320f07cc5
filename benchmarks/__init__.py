"""Benchmarks: each module has ``run() -> dict`` with the figures as medians; ``scripts/bench NAME --json`` prints them."""
