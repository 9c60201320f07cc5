"""``certificate prove --held`` and ``--retired``: a folder of files, against a registry that runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.accounted import QUARTER_MS
from tests.support.certificates.market import Market, Station, market
from tests.support.commands import Answer, ledger_command

PERIOD = ["--purpose", "RE100", "--period", "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"]
UNITS = 90_000


@dataclass
class Town:
    """Two stations; ``works`` was given the quarters of the first, ``mill`` those of the second and a part of the
    first's, and both retire."""

    market: Market
    first: Station
    second: Station
    certs: list[str]
    others: list[str]

    def prove(self, party: str, status: str, output: Path, *more: object, sites: tuple[Station, ...] = ()) -> Answer:
        files = [file for site in sites or (self.first,) for file in (*site.files, "--rows", site.rows_file)]
        whose = [f"--{status}", "--key", self.market.folder / party, *self.market.there]
        return ledger_command("certificate", "prove", *files, *whose, "-o", output, *more)

    def facts(self, file: Path) -> tuple[str, str, tuple[int, int]]:
        """(certificate, status, units) of a file that is verified."""
        found = ledger_command("certificate", "verify", file, "--trust", self.market.trust, "--json").facts
        assert found["verified"], found
        begin, end = found["slice"]
        return found["certificate"], found["status"], (begin, end)

    def name(self, place: int, begin: int, end: int, station: int = 1) -> str:
        """Of the file of a quarter's units."""
        site, certs = (self.first, self.certs) if station == 1 else (self.second, self.others)
        time = datetime.fromtimestamp(self.begin_s(place, site), UTC).strftime("%Y%m%dT%H%MZ")
        return f"{time}-device-{station}-{certs[place][:8]}-{begin}-{end}.mcert"

    def begin_s(self, place: int, site: Station) -> int:
        return (site.hour_ms + place * QUARTER_MS) // 1000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with market(tmp_path_factory.mktemp("town")) as made:
        first, second = made.station(), made.station()
        certs = made.certified(first)
        second.hour(second.node)
        others = [hour["certificate"] for hour in made.issue(second, holder="mill").facts["hours"]]
        for words in (
            ("transfer", f"{certs[0]}:0-40", "mill"),
            ("transfer", f"{certs[0]}:40-90", "mill"),
            ("retire", f"{certs[1]}:0-500", certs[2], *PERIOD),
        ):
            done = made.run(*words, by="works")
            assert done.code == 0, done
        done = made.run("retire", f"{certs[0]}:0-90", others[0], *PERIOD, by="mill")
        assert done.code == 0, done
        yield Town(made, first, second, certs, others)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_that_a_party_retired_is_proven_at_once(town: Town, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "retired"
    done = town.prove("works", "retired", folder)
    assert (done.code, done.out.splitlines()) == (
        0,
        [f"wrote 2 of 2 files into {folder}: units retired by works at reg"],
    )
    assert names(folder) == [town.name(1, 0, 500), town.name(2, 0, UNITS)]
    assert [town.facts(folder / name) for name in names(folder)] == [
        (town.certs[1], "retired", (0, 500)), (town.certs[2], "retired", (0, UNITS)),
    ]  # fmt: skip
    one = tmp_path / "one.mcert"
    words = (f"{town.certs[1]}:0-500", *town.first.files, "--rows", town.first.rows_file, *town.market.there)
    assert ledger_command("certificate", "prove", *words, "-o", one).code == 0
    assert one.read_bytes() == (folder / town.name(1, 0, 500)).read_bytes()


def test_slices_that_one_claim_moved_have_one_file(town: Town, tmp_path: Path) -> None:
    slices = town.market.slices(town.certs[0])
    assert slices[:2] == [(0, 40, "retired", "mill"), (40, 90, "retired", "mill")]
    done = town.prove("mill", "retired", tmp_path / "both", sites=(town.first, town.second))
    assert done.code == 0, done
    assert names(tmp_path / "both") == sorted([town.name(0, 0, 90), town.name(0, 0, UNITS, station=2)])
    assert town.facts(tmp_path / "both" / town.name(0, 0, 90)) == (town.certs[0], "retired", (0, 90))


def test_what_cannot_be_proven_is_named_and_the_rest_is_written(town: Town, tmp_path: Path) -> None:
    done = town.prove("mill", "retired", tmp_path)
    printed, why = done.out.splitlines()
    assert (done.code, printed[:18]) == (1, "wrote 1 of 2 files"), done
    assert why.startswith(f"  not written: {town.others[0]}:0-{UNITS}: statement: no file holds record ")
    assert why.endswith("(V1); fix: give its batch, or its .mseal")
    assert names(tmp_path) == [town.name(0, 0, 90)]


def test_units_of_whose_claim_a_part_has_moved_on_have_no_file(town: Town, tmp_path: Path) -> None:
    done = town.prove("works", "held", tmp_path)
    assert (done.code, done.out[:18]) == (1, "wrote 1 of 3 files"), done
    for cert, begin in ((town.certs[0], 90), (town.certs[1], 500)):
        assert f"{cert}:{begin}-{UNITS}: claims: the last claim about them is of the units 0-{UNITS}" in done.out
    assert names(tmp_path) == [town.name(3, 0, UNITS)]
    assert town.facts(tmp_path / town.name(3, 0, UNITS)) == (town.certs[3], "held", (0, UNITS))


def test_from_and_to_are_of_the_hours(town: Town, tmp_path: Path) -> None:
    edge = datetime.fromtimestamp(town.begin_s(2, town.first), UTC).isoformat()
    assert town.prove("works", "retired", tmp_path / "before", "--to", edge).code == 0
    assert town.prove("works", "retired", tmp_path / "since", "--from", edge).code == 0
    assert (names(tmp_path / "before"), names(tmp_path / "since")) == (
        [town.name(1, 0, 500)], [town.name(2, 0, UNITS)],
    )  # fmt: skip
    none = town.prove("works", "retired", tmp_path / "none", "--to", "2026-01-01T00:00:00Z")
    assert (none.code, none.out.startswith("wrote 0 of 0 files")) == (1, True), none


def test_a_file_of_another_kind_is_replaced_with_force_only(town: Town, tmp_path: Path) -> None:
    letter, old = tmp_path / town.name(2, 0, UNITS), tmp_path / town.name(1, 0, 500)
    letter.write_text("a letter")
    refused = town.prove("works", "retired", tmp_path)
    assert (refused.code, f"{letter}: exists and is not a certificate file" in refused.err) == (2, True), refused
    assert (names(tmp_path), letter.read_text()) == ([letter.name], "a letter")
    assert town.prove("works", "retired", tmp_path, "--force").code == 0
    old.write_bytes(letter.read_bytes())
    assert town.prove("works", "retired", tmp_path).code == 0
    assert town.facts(old) == (town.certs[1], "retired", (0, 500))


def test_what_cannot_be_used_is_refused(town: Town, tmp_path: Path) -> None:
    def refused(problem: str, *words: object) -> None:
        done = ledger_command("certificate", "prove", *town.first.files, *words, "-o", tmp_path / "x")
        assert (done.code, problem in done.err) == (2, True), done
        assert not (tmp_path / "x").exists()

    key = ["--key", town.market.folder / "works"]
    refused("are two lists", "--held", "--retired", *key, *town.market.there)
    refused("nothing says whose units", "--held", *town.market.there)
    refused("nothing says which registry", "--held", *key)
    refused("have no effect without --held or --retired", *key, *town.market.there)
    (tmp_path / "file").touch()
    done = town.prove("works", "held", tmp_path / "file")
    assert (done.code, "is no folder" in done.err) == (2, True), done
