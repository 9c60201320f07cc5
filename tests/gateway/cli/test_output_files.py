"""`-o` of any command replaces what is of its own kind, or empty, and nothing else without `--force`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from firmware_sim.cli.app import main as simulator
from gateway.cli.app import main
from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.submit import submit
from gateway.config.device_keys import REQUEST_FILE
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.cli.app import cli as ledger
from ledger_client.errors import LedgerClientError
from ledger_client.formats.statement import attach_receipts
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust_text import key_entry
from tests.firmware_sim.sim_bench import running as simulated
from tests.firmware_sim.sim_bench import scenario
from tests.gateway.evidence.test_export import LEDGER
from tests.ledger_client.recompute.test_recompute import hour
from tests.support.certificates.exported import exported_site, write_trust
from tests.support.certificates.mcert import ISSUER, Certified, cert_of
from tests.support.processes import embedded_ledger
from tests.support.samples import START_S, Hands, settle, site

LETTER = b"Dear Sir or Madam\n"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    made = site(tmp_path_factory.mktemp("output") / "site", {'every = "60s"': 'every = "10s"'})
    with made.trust.open("a") as file:
        file.write(key_entry("ledger", LEDGER.public, 1_700_000_000, ledger="demo-ledger"))
    hands = Hands(made)
    hands.poll(18)
    settle(hands.store, [0], LEDGER)
    hands.end()
    submit(made, record_of(made, "export-main", identity=None, by="somebody", at_ms=START_S * 1000))
    open_dir(made.path.parent / "ledger", "demo-ledger").close()
    served = made.path.parent / "served"
    with embedded_ledger(served, "demo-ledger") as running, simulated(scenario(made.path.parent)) as plant:
        enroll(served, made.keys / REQUEST_FILE)
        served.with_name("ledger-key.toml").write_text(trust_entry(served))
        served.with_name("served.url").write_text(running.url)
        made.path.with_name("meter.at").write_text("{}:{}".format(*plant.tcp))
        yield made


def from_words(loaded: Config) -> list[object]:
    folder = loaded.path.parent
    return [
        (folder / "served.url").read_text(), "--gateway", loaded.gateway_id, "--ledger-key", folder / "ledger-key.toml",
    ]  # fmt: skip


def stated_files(folder: Path) -> list[object]:
    """Batches with a statement, its rows, and the trust file by which it is proven."""
    if not folder.exists():
        folder.mkdir()
        stated, rows, _ = hour(folder)
        trust = write_trust(folder / "trust.toml")
        words = [*stated.files, "--trust", trust, "--rows", rows]
        (folder / "words").write_text("\n".join(map(str, words)))
    return list((folder / "words").read_text().splitlines())


def certified_files(folder: Path) -> list[object]:
    """A certificate, its claim, the batches with its statement, and the rows."""
    folder.mkdir()
    made = Certified.made(folder, quarters=1)
    issue = made.registry.claim(ISSUER, made.issue())
    claim, rows = folder / "0.claim", folder / "station.mrows"
    claim.write_bytes(attach_receipts(issue.entry, issue.receipts))
    rows.write_bytes(made.rows.encode())
    return [cert_of(issue).hex(), claim, *made.site.files, "--rows", rows]


def exported_files(folder: Path, kind: str) -> list[object]:
    """What the exports of a station with a device are made of."""
    if not folder.exists():
        station = exported_site(folder)
        proven = [*station.files, "--trust", station.trust]
        for name, words in (("energytag", [station.ledger, *proven]), ("irec", [*proven, "--rows", station.rows])):
            (folder / name).write_text("\n".join(map(str, words)))
    return list((folder / kind).read_text().splitlines())


def table_of_points(folder: Path) -> Path:
    """The table of a device with one point."""
    path = folder / "table.csv"
    path.write_text("name,fc,address,type,unit\npower,4,1,int16,W\n")
    return path


def words_of(case: str, loaded: Config, folder: Path) -> tuple[click.Command, list[object]]:
    """The command of a case, but for its output."""
    batch = loaded.path.parent / "kept.mbatch"
    if case == "ledger prove" and not batch.exists():
        run(main, ["export", loaded.path, "--batch", 0, "-o", batch])
    words: dict[str, tuple[click.Command, list[object]]] = {
        "prove": (main, ["prove", loaded.path, "export-main"]),
        "commission": (main, ["commission", loaded.path, "export-main"]),
        "export": (main, ["export", loaded.path, "--batch", 0]),
        "backup": (main, ["backup", loaded.path]),
        "readings csv": (main, ["readings", loaded.path, "--format", "csv"]),
        "readings jsonl": (main, ["readings", loaded.path, "--format", "jsonl"]),
        "readings parquet": (main, ["readings", loaded.path, "--format", "parquet"]),
        "enrol-request": (main, ["keys", "enrol-request", loaded.path]),
        "profiles csv": (main, ["profiles", "eastron-sdm630", "--csv"]),
        "profiles toml": (main, ["profiles", "--from-csv", table_of_points(folder), "--base", "1"]),
        "profiles new": (main, ["profiles", "--new"]),
        "truth": (simulator, ["truth", "demo", "--for", "1s", "--every", "1s"]),
        "record": (
            simulator,
            ["record", loaded.path.with_name("meter.at").read_text(), "--profile", "sunspec-inverter", "--for", 0],
        ),
        "ledger prove": (ledger, ["prove", batch, "export-main"]),
        "ledger verifier-page": (ledger, ["verifier-page"]),
        "ledger from": (ledger, ["trust", "from", *from_words(loaded)]),
        "ledger backup": (ledger, ["backup", loaded.path.parent / "ledger"]),
        "ledger energytag": (ledger, ["energytag", *exported_files(loaded.path.parent / "exported", "energytag")]),
        "ledger irec": (ledger, ["irec", *exported_files(loaded.path.parent / "exported", "irec")]),
        "ledger table": (ledger, ["table", "hours", *stated_files(loaded.path.parent / "stated")]),
        "ledger certificate prove": (ledger, ["certificate", "prove", *certified_files(folder / "certified")]),
    }
    return words[case]


CASES = (
    "enrol-request", "prove", "commission", "export", "backup", "readings csv", "readings jsonl", "readings parquet",
    "profiles csv", "profiles toml", "truth", "record",
    "ledger prove", "ledger backup", "ledger from", "ledger table", "ledger energytag", "ledger irec",
    "ledger certificate prove", "ledger verifier-page",
)  # fmt: skip


def run(command: click.Command, words: Sequence[object]) -> tuple[int, str]:
    result = CliRunner().invoke(command, [*map(str, words)])
    code = 2 if isinstance(result.exception, LedgerClientError) else result.exit_code  # as its main() ends
    return code, " ".join((result.output + str(result.exception or "")).split())


@pytest.mark.parametrize("case", CASES)
def test_output_refuses_to_replace_what_is_not_of_its_kind_without_force(
    case: str, loaded: Config, tmp_path: Path
) -> None:
    command, words = words_of(case, loaded, tmp_path)
    output = tmp_path / "output"
    output.write_bytes(LETTER)
    code, printed = run(command, [*words, "-o", output])
    assert (code, output.read_bytes()) == (2, LETTER)
    assert f"{output}: " in printed
    assert "--force to replace it" in printed
    code, printed = run(command, [*words, "-o", output, "--force"])
    assert code == 0, printed
    assert output.read_bytes() != LETTER
    code, printed = run(command, [*words, "-o", output])
    replaces = case != "record"  # no meter shows it again
    assert code == (0 if replaces else 2), f"its own kind is replaced: {printed}"
    empty = tmp_path / "empty"
    empty.touch()
    assert run(command, [*words, "-o", empty])[0] == (2 if case == "ledger backup" else 0)  # no older state of the log


@pytest.mark.parametrize(
    ("case", "other"),
    [
        ("prove", lambda loaded: loaded.keys / "gateway.enrol"),
        ("export", lambda loaded: loaded.trust),
        ("readings csv", lambda loaded: loaded.path),
        ("backup", lambda loaded: loaded.path.parent / "ledger" / "log.db"),
        ("ledger backup", lambda loaded: loaded.database),
    ],
)
def test_what_looks_much_like_it_is_not_replaced(
    case: str, other: Callable[[Config], Path], loaded: Config, tmp_path: Path
) -> None:
    command, words = words_of(case, loaded, tmp_path)
    output = tmp_path / other(loaded).name
    shutil.copyfile(other(loaded), output)
    held = output.read_bytes()
    assert run(command, [*words, "-o", output])[0] == 2
    assert output.read_bytes() == held


def test_a_database_that_is_in_use_is_not_replaced_by_a_backup(loaded: Config, tmp_path: Path) -> None:
    used = Database(tmp_path / "gateway.db")
    command, words = words_of("backup", loaded, tmp_path)
    code, printed = run(command, [*words, "-o", used.path])
    assert code == 2, printed
    used.close()


def test_every_output_option_of_every_command_has_force() -> None:
    def commands(group: click.Command) -> list[click.Command]:
        inner = list(group.commands.values()) if isinstance(group, click.Group) else []
        return [group, *(one for sub in inner for one in commands(sub))]

    with_output = {
        command.name: {option for each in command.params for option in each.opts}
        for root in (main, ledger, simulator)
        for command in commands(root)
        if any("-o" in each.opts and each.metavar != "DIR" for each in command.params if isinstance(each, click.Option))
    }
    assert {name for name, options in with_output.items() if "--force" not in options} == set()
    assert {case.split(" ")[-1 if case.startswith("ledger") else 0] for case in CASES} == set(with_output)
