"""Statement of a period, from the gateway's database to a stranger's recomputation."""

from __future__ import annotations

import asyncio
import json
import re
import time
from decimal import Decimal
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.accounting.plans.history import history_of
from gateway.cli.app import main
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.evidence.sealing import seal_next
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from ledger_client.accounting.formats.rows import Rows
from ledger_client.recompute.run import recompute
from tests.support.audited import FAR_S, exported, trust_of
from tests.support.epochs import running
from tests.support.stated import EVERY_MS, POINT, QUARTER_MS, Site, accounted_site


def accounting_command(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def period(from_ms: int, quarters: int) -> str:
    return "/".join(iso(time_ms) for time_ms in (from_ms, from_ms + quarters * QUARTER_MS))


def iso(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time_ms // 1000))


async def run(*words: object) -> Any:
    done = await asyncio.to_thread(accounting_command, "statement", *words, "--json")
    assert done.exit_code == 0, done.output + done.stderr
    (one,) = json.loads(done.stdout)["statements"]
    return one


def test_two_periods_are_stated_once_and_recomputed_from_the_exports(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish()
    site.polls(90 * 3)
    site.polls(1, quality=1 << 17)  # COUNTER_RESET
    site.polls(90 * 5)
    site.stop()
    first, second = period(site.from_ms, 4), period(site.from_ms + 4 * QUARTER_MS, 3)

    async def work() -> None:
        async with running(site.loaded):
            dry = await run(site.loaded.path, "--period", first, "--dry-run")
            assert (dry["signed"], dry["record"]) == (False, None)
            assert not rows_files(site.loaded)
            stated = await run(site.loaded.path, "--period", first)
            assert stated["nodes"] == dry["nodes"]
            again = await run(site.loaded.path, "--period", first)
            assert (again["record"], again["signed"]) == (stated["record"], False)
            text = await asyncio.to_thread(accounting_command, "statement", site.loaded.path, "--period", second)
            assert text.exit_code == 0, text.stderr
            assert "I8 station: sum of rows" in text.stdout
            assert "differs" not in text.stdout
            anew = await run(site.loaded.path, "--period", second, "--reason", "a late value")
            assert anew["version"] == 2
            gap = await asyncio.to_thread(
                accounting_command, "statement", site.loaded.path, "--period", period(site.from_ms + 30 * QUARTER_MS, 1)
            )
            assert (gap.exit_code, "not stated" in gap.stderr) == (1, True)

    asyncio.run(work())
    assert_recomputed(site.loaded, tmp_path / "out", 3)


def test_a_statement_whose_batch_waits_for_a_ledger_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish()
    site.polls(90 * 3)
    site.hands.store.close()  # as if the power failed: what came behind the last batch is not sealed

    async def work() -> Result:
        async with running(site.loaded):
            first = period(site.from_ms, 3)
            return await asyncio.to_thread(accounting_command, "statement", site.loaded.path, "--period", first)

    done = asyncio.run(work())
    assert done.exit_code == 1, done.stderr
    assert "no batch is sealed for the time being" in done.stderr
    assert "demo-ledger" in done.stderr


def test_a_laboratory_value_that_arrives_late_makes_a_second_version(tmp_path: Path) -> None:
    """A conveyor of coal: stated by defaults, then by what the laboratory found; both are recomputed."""
    loaded = accounted_site(tmp_path / "site")
    text = re.sub(r'(\[seal\]\nevery = )"\w+"', r'\1"1s"', loaded.path.read_text())
    loaded.path.write_text(re.sub(r"\n\[\[ledger\]\][^\[]*", "\n", text))  # sealing waits for no ledger
    site = Site(tmp_path / "site", load_config(loaded.path))
    defaults = {"NCV": Decimal("20.908"), "CC": Decimal("26.1"), "OF": Decimal("0.99")}
    boiler = {"role": "emission", "method": "fuel", "terms": [[1, POINT]], "profile": "own-test", "defaults": defaults}
    counter = {"kind": "counter", "unit": "kg", "sample": EVERY_MS, "max": 100_000, "wraps_at": 1_000_000}
    site.publish(points={POINT: counter}, nodes={"boiler": boiler})
    site.polls(90 * 6, unit="kg")
    site.stop()
    hour = ("--from", iso(site.from_ms), "--to", iso(site.from_ms + 4 * QUARTER_MS))
    stating = (loaded.path, "--period", period(site.from_ms, 4))

    async def work() -> list[Any]:
        async with running(site.loaded):
            await run(*stating, "--dry-run")
            first = await run(*stating)
            lab = ("entry", loaded.path, "lab", "boiler", "NCV=21.3", "CC=25.8", *hour, "--reason", "report 7")
            entered = await asyncio.to_thread(accounting_command, *lab, "--json")
            assert entered.exit_code == 0, entered.output + entered.stderr
            again = ("statement", *stating, "--reason", "report 7 of the laboratory", "--json")
            while "in no sealed batch yet" in (done := await asyncio.to_thread(accounting_command, *again)).stderr:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            assert done.exit_code == 0, done.output + done.stderr
            return [first, *json.loads(done.stdout)["statements"]]

    stated = asyncio.run(work())
    assert [one["version"] for one in stated] == [1, 2]
    store = site.store()
    old, new = history_of(store).periods
    store.close()
    assert (new.fields["supersedes"], len(old.fields["entries"]), len(new.fields["entries"])) == (old.record, 0, 1)
    burnt_kg = 4 * 90
    for one, carbon in zip(stated, ("20.908 26.1 0.99", "21.3 25.8 0.99"), strict=True):
        (node,) = one["nodes"]
        exact = burnt_kg * prod(map(Fraction, carbon.split())) / 1000 * Fraction(44, 12)
        assert Fraction(node["amount"]) == round(exact, 3)
    assert_recomputed(site.loaded, tmp_path / "out", 2)


def rows_files(loaded: Config) -> list[Path]:
    """The rows files of its data folder."""
    return sorted((loaded.data / "statements").glob("*.mrows"))


def assert_recomputed(loaded: Config, out: Path, statements: int) -> None:
    """What the database holds, exported, gives the same statements."""
    keys = load_keys(loaded)
    store = Database(loaded.database)
    with store.transaction():
        store.batches.cut()
    while seal_next(store, Rules.of(loaded).issuer(keys.statement), time.time_ns() // 1_000_000):
        pass
    store.close()
    rows = rows_files(loaded)
    result = recompute(exported(loaded.database, out), trust_of(loaded), FAR_S, rows=rows, processes=1)
    assert [one.differences for one in result.periods] == [[]] * statements
    assert result.equal, result.audit.findings
    assert all(one.rows_compared for one in result.periods)
    assert Rows.parse(rows[0].read_bytes()).rows
