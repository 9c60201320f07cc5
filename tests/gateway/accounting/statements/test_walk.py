"""The accountant's walk through a month in docs/accounting.md: its commands, one after the other, on a site's last hour
of a month."""

from __future__ import annotations

import asyncio
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli.app import main
from gateway.config.load import load_config
from ledger_client.accounting.formats.civil_time import civil_text, month_ms
from tests.support.epochs import running
from tests.support.stated import QUARTER_MS, Site, accounted_site

ROOT = Path(__file__).parents[4]
NODE = '\n[nodes.station]\nrole = "production"\nterms = [[1, "export-main/energy_export"]]\nprofile = "hourly"\n'
UNUSED = '\n[site.unused]\npv-inverter = "behind the meter"\nstack-co2 = "stated by a plan of its own"\n'


def commands() -> list[str]:
    """The commands to the gateway in the section."""
    section = (ROOT / "docs/accounting.md").read_text().partition("## A month, step by step")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"meterseal (plan|entry|statement) ", line)]


def test_every_command_of_the_walk_does_what_it_is_there_for(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    end_ms = month_ms(now.year, now.month, 0)
    before = datetime.fromtimestamp(end_ms / 1000 - 1, UTC)
    begin_ms = month_ms(before.year, before.month, 0)
    loaded = accounted_site(tmp_path / "site")
    text = re.sub(r'(\[seal\]\nevery = )"\w+"', r'\1"1s"', loaded.path.read_text())
    loaded.path.write_text(re.sub(r"\n\[\[ledger\]\][^\[]*", "\n", text))  # sealing waits for no ledger
    site = Site(tmp_path / "site", load_config(loaded.path), began_ms=end_ms - 2 * QUARTER_MS * 4)
    site.polls(3 * 360 - 30)
    site.stop()
    plan = site.loaded.path.with_name("plan.toml")
    results = list[Result]()

    def run(line: str) -> Result:
        line = line.replace("2026-10-17T09:20:00+08:00", civil_text(end_ms - 3_600_000, 0))
        words = shlex.split(line.replace("2026-10", f"{before:%Y-%m}").replace("gateway.toml", str(site.loaded.path)))
        return CliRunner().invoke(main, words[1:])

    def fill_in() -> None:
        text = plan.read_text().replace("# max = ", "max = 100000 #").replace("# wraps_at = ", "wraps_at = 1000000 #")
        plan.write_text(re.sub(r'from = ".*?"', f'from = "{civil_text(begin_ms, 0)}"', text) + NODE + UNUSED)

    async def work() -> None:
        async with asyncio.timeout(30), running(site.loaded):
            for line in commands():
                results.append(await asyncio.to_thread(run, line))
                while "in no sealed batch yet" in results[-1].stderr:  # the entry
                    await asyncio.sleep(0.2)
                    results[-1] = await asyncio.to_thread(run, line)
                assert results[-1].exit_code == 0, f"{line}: {results[-1].output}{results[-1].stderr}"
                if line.startswith("meterseal plan init"):
                    fill_in()

    asyncio.run(work())
    assert "intervals of 60 min can be measured" in results[1].stdout
    assert "nothing was written or signed" in results[-2].stdout
    assert re.search(r"station +measured +2 ", results[-1].stdout), results[-1].stdout
    assert "I8 station: sum of rows 720,000.000 = registers 720,000.000 Wh" in results[-1].stdout
    (rows,) = (site.loaded.data / "statements").iterdir()
    assert rows.name == f"main-{before:%Y-%m}-v1.mrows"
