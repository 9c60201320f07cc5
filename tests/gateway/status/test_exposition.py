"""What `/metrics` says of a running epoch is true, and stands in its list, in code and in docs/metrics.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.model import Config
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from gateway.status.exposition import exposition
from gateway.status.metric_names import FIGURES
from tests.support.epochs import due_ms, epoch, until
from tests.support.gateways.sites import believed
from tests.support.samples import finished, site

METER, LINE = "export-main", "rs485-1"
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
OURS = "meterseal_"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    made = site(tmp_path / "site", {"http://127.0.0.1:8700": "http://127.0.0.1:1"})
    believed(tmp_path / "ledger", made)
    return made


def parsed(text: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def value(families: Mapping[str, Metric], name: str, **labels: str) -> float:
    samples = [sample for family in families.values() for sample in family.samples if sample.name == name]
    found = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    assert len(found) == 1, f"{name} {labels}: {samples}"
    return float(found[0])


def silent_lines(running: GatewayContext) -> int:
    return sum(row.code == "line-down" and row.active for row in running.board.listed())


async def scraped(running: GatewayContext) -> dict[str, Metric]:
    return parsed(await exposition(running, LoopHealth().lag))


def test_it_says_what_has_happened(loaded: Config) -> None:
    async def story() -> None:
        async with epoch(loaded) as running:
            moment = await due_ms(running, METER)
            before = await scraped(running)
            assert value(before, "meterseal_polls_total", meter=METER, outcome="recorded") == 0
            assert value(before, "meterseal_line_up", line=LINE) == 0
            now = running.live.meters[METER]
            running.recorder.put(finished(METER, moment, running.clock))
            await until(lambda: now.recorded == 1)
            least = silent_lines(running)  # more may be raised while the figures are put together
            after = await scraped(running)
            assert least <= value(after, "meterseal_alarms", severity="error") <= silent_lines(running)
            assert value(after, "meterseal_polls_total", meter=METER, line=LINE, outcome="recorded") == 1
            assert value(after, "meterseal_polls_total", meter=METER, outcome="line-down") >= 1
            assert value(after, "meterseal_meter_up", meter="stack-co2") == 0
            assert value(after, "meterseal_reading_quality", meter=METER, verdict="good") == 1
            assert value(after, "meterseal_reading_quality", meter=METER, verdict="bad") == 0
            assert now.reading is not None
            assert value(after, "meterseal_reading_timestamp_seconds", meter=METER) == now.reading.time_ms / 1000
            assert value(after, "meterseal_store_records", kind="reading") == 1
            assert value(after, "meterseal_ledger_unanchored_age_seconds", ledger="demo-ledger") > 0
            assert value(after, "meterseal_commit_duration_seconds_count") >= 1
            assert value(after, "meterseal_recording_stopped", reason="disk-full") == 0
            assert value(after, "meterseal_ledger_up", ledger="demo-ledger") == 0
            assert value(after, "process_open_fds") > 3

    asyncio.run(story())


def test_it_says_that_recording_has_stopped_and_still_answers(loaded: Config) -> None:
    async def story() -> None:
        async with epoch(loaded) as running:
            moment = await due_ms(running, METER)
            away = loaded.database.with_name("away.db")
            await asyncio.wrap_future(running.recorder.call(lambda store: store.close()))
            loaded.database.rename(away)
            running.recorder.put(finished(METER, moment, running.clock))
            await until(lambda: running.recorder.trouble is not None)
            metrics = await scraped(running)
            assert value(metrics, "meterseal_recording_stopped", reason="disk-error") == 1
            running.recorder.put(finished(METER, moment, running.clock))
            now = running.live.meters[METER]
            await until(lambda: now.unrecorded)
            assert value(await scraped(running), "meterseal_polls_total", meter=METER, outcome="disk-error") >= 1
            away.rename(loaded.database)
            await until(lambda: running.recorder.trouble is None)

    asyncio.run(story())


def test_the_list_the_document_and_the_figures_are_the_same(loaded: Config) -> None:
    async def story() -> dict[str, Metric]:
        async with epoch(loaded) as running:
            running.recorder.put(finished(METER, await due_ms(running, METER), running.clock))
            await until(lambda: running.live.meters[METER].recorded)
            return await scraped(running)

    families = asyncio.run(story())
    listed = {figure.name.removesuffix("_total"): figure for figure in FIGURES}
    assert {name for name in families if name.startswith(OURS)} == set(listed)
    for name, figure in listed.items():
        assert families[name].type == figure.kind
        used = {label for sample in families[name].samples for label in sample.labels} - {"le"}
        assert used <= set(figure.labels), name
    rows = re.findall(r"^\| `(meterseal_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|", DOCUMENT.read_text(), re.MULTILINE)
    written = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows
        if not name.startswith("meterseal_control_")
    }
    assert written == {figure.name: (figure.kind, figure.labels) for figure in FIGURES}
