"""The cabinet in short: README's way from an empty folder to an anchored reading and a page, the line's speed given."""

from __future__ import annotations

from benchmarks.commissioning.cabinet import SMALLEST, commands, run


def test_an_installer_gets_from_an_empty_folder_to_an_anchored_reading_by_what_readme_says() -> None:
    figures = run(**SMALLEST[0])
    assert (figures["meters_right"], figures["wrong"]) == (2, []), figures
    assert (figures["reversed_named"], figures["verified"]) == (True, True), figures
    assert figures["records_signed"] == 2, figures
    assert int(str(figures["page_bytes"])) > 1000, figures
    assert len(commands()) <= 8
