"""The books of meters that push and of meters that are asked, in short: silence, an outage, a kill and a clock step."""

from __future__ import annotations

from tests.campaigns.endurance.books import SMALLEST, run


def test_the_books_of_both_protocols_close_and_anyone_counts_the_same() -> None:
    figures = run(**SMALLEST[0])
    for protocol in ("hj212", "dlt645"):
        zero = {name: figures[f"{protocol}_{name}"] for name in ("unbalanced", "lost", "doubled")}
        assert zero == {"unbalanced": 0, "lost": 0, "doubled": 0}, figures
        assert figures[f"{protocol}_due_recounted"] == figures[f"{protocol}_due"], figures
        assert int(str(figures[f"{protocol}_missed_timeout"])) >= 1, figures  # the silence
        assert int(str(figures[f"{protocol}_recorded"])) > 5, figures
    assert figures["audit_findings"] == 0
