"""The ledger benchmark in short: its fields, out of a real ledger, a real broker and a real chain."""

from __future__ import annotations

from benchmarks.ledgers.ledger import SMALLEST, run

CEILING = {"gas_per_anchor": 65_000, "gas_first_anchor": 80_000}


def test_every_figure_comes_out_of_real_parts() -> None:
    figures = run(**SMALLEST[0])
    for driver in ("http", "mqtt", "evm"):
        for figure in ("statements_per_s", "p50_ms", "p99_ms"):
            assert float(str(figures[f"{driver}_{figure}"])) > 0
        assert float(str(figures[f"{driver}_p50_ms"])) <= float(str(figures[f"{driver}_p99_ms"]))
    for name, most in CEILING.items():
        assert 21_000 < int(str(figures[name])) < most
    shares = figures["gas_per_gateway"]
    assert isinstance(shares, dict)
    assert list(shares) == ["1", "10", "100"]
    assert shares["1"] < 50_000  # one transaction, however many are under its root
    assert abs(shares["1"] - 10 * shares["10"]) < 100
    assert abs(shares["1"] - 100 * shares["100"]) < 200
