"""``[[feed]]``: what is refused, where, and with which way out; names that would mean something in a topic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.feed import check_feeds
from gateway.config.load import load_config
from gateway.devices.profile import catalog, load_profile
from gateway.errors import ConfigError
from tests.gateway.feeds.conformance import shows
from tests.gateway.feeds.rig import feed_site
from tests.support.samples import site

PLAIN = 'type = "json"\nurl = "mqtt://127.0.0.1:1883"\n'
FAR = 'type = "json"\nurl = "mqtt://10.0.0.9"\n'
RECORDS = 'type = "records"\nurl = "mqtt://127.0.0.1:1883"\n'
SPARKPLUG = 'type = "sparkplug"\nurl = "mqtt://127.0.0.1:1883"\n'


def refused(folder: Path, text: str) -> ConfigError:
    loaded = site(folder)
    with loaded.path.open("a") as file:
        file.write(f"\n{text}")
    with pytest.raises(ConfigError) as caught:
        load_config(loaded.path)
    return caught.value


@pytest.mark.parametrize(
    ("entry", "key", "problem"),
    [
        (f'name = "a"\n{SPARKPLUG}', "group", "is missing"),
        (f'name = "a"\n{PLAIN}group = "plant"\n', "group", "applies to feeds of type sparkplug only"),
        (f'name = "a"\n{PLAIN}primary_host = "scada"\n', "primary_host", "applies to feeds of type sparkplug only"),
        (f'name = "a"\n{PLAIN}backfill_rate = 0\n', "backfill_rate", "at least 1"),
        (f'name = "a"\n{PLAIN}since = "oldest"\n', "since", "type records"),
        (f'name = "a"\n{PLAIN}again_rate = 5\n', "again_rate", "type records"),
        (f'name = "a"\n{RECORDS}backfill_rate = 5\n', "backfill_rate", "again_rate"),
        (f'name = "a"\n{RECORDS}since = "then"\n', "since", "oldest"),
        (f'name = "a"\n{RECORDS}again_rate = 0\n', "again_rate", "at least 1"),
        (f'name = "a"\n{RECORDS}form = "flat"\n', "form", "type json"),
        ('name = "a"\ntype = "json"\nurl = "http://127.0.0.1"\n', "url", "mqtt://HOST:PORT"),
        ('name = "a"\ntype = "json"\nurl = "mqtt://user:word@127.0.0.1"\n', "url", "written to logs"),
        (f'name = "a"\n{FAR}user = "u"\npassword_file = "p"\n', "password_file", "unencrypted"),
        (f'name = "a"\n{FAR}ca = "ca.pem"\n', "ca", "does not use TLS"),
        (f'name = "a"\n{PLAIN}topic = "x"\n', "topic", "unknown key"),
    ],
)
def test_a_feed_that_cannot_work_is_refused_by_its_key(tmp_path: Path, entry: str, key: str, problem: str) -> None:
    error = refused(tmp_path, f"[[feed]]\n{entry}")
    assert error.key.endswith(key)
    assert problem in f"{error.problem} {error.way_out}"


@shows(
    "intro-group-id-chars intro-edge-node-id-chars intro-device-id-chars topic-structure-namespace-valid-group-id",
    "topic-structure-namespace-valid-edge-node-id topic-structure-namespace-valid-device-id",
)
@pytest.mark.parametrize("evil", ["+", "#", "a/b", "a+", "$SYS", "$share", "", "a\\u0000b", "a\\nb"])
def test_no_name_in_a_topic_can_be_a_wildcard_or_the_brokers_own(tmp_path: Path, evil: str) -> None:
    for number, entry in enumerate(
        [
            f'name = "{evil}"\n{PLAIN}',
            f'name = "a"\n{SPARKPLUG}group = "{evil}"\n',
            f'name = "a"\n{SPARKPLUG}group = "plant"\nprimary_host = "{evil}"\n',
        ]
    ):
        assert "feed" in refused(tmp_path / str(number), f"[[feed]]\n{entry}").key
    for number, name in enumerate(['id = "test-gateway"', 'name = "export-main"']):
        with pytest.raises(ConfigError):
            site(tmp_path / f"n{number}", {name: f'{name.split(" = ")[0]} = "{evil}"'})


def test_two_feeds_of_one_name_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, f'[[feed]]\nname = "a"\n{PLAIN}[[feed]]\nname = "a"\n{PLAIN}')
    assert "used 2 times" in error.problem


@shows("topic-structure-namespace-unique-device-id")
def test_two_meters_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="used 2 times"):
        site(tmp_path, {'name = "stack-co2"': 'name = "export-main"'})


@shows("case-sensitivity-metric-names")
def test_no_two_points_of_a_profile_differ_in_capitals_only() -> None:
    for name in catalog():
        points = [point.name for point in load_profile(name).points]
        assert len({point.lower() for point in points}) == len(points)


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_files_of_a_feed_are_looked_at_before_anything_is_started(tmp_path: Path, command: str) -> None:
    loaded = feed_site(tmp_path / "a", "mqtts://10.0.0.9", 'user = "u"\npassword_file = "word"\n')
    text = loaded.path.read_text()
    loaded.path.write_text(text[: text.index("[[ledger]]")] + text[text.index("[[feed]]") :])
    line = [sys.executable, "-m", "gateway.cli", command, str(loaded.path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    word = loaded.path.parent / "word"
    assert f"feed 'scada', password_file: {word} does not exist" in done.stderr
    assert "fix: set the path of a file" in done.stderr
    assert not loaded.database.exists()
    word.write_text("secret\n")
    word.chmod(0o600)
    check_feeds(loaded.path, loaded.document.feed)


def test_status_says_how_each_feed_stands(tmp_path: Path) -> None:
    loaded = feed_site(tmp_path, "mqtt://127.0.0.1:1")
    from gateway.storage.database import Database

    Database(loaded.database).close()
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "status", str(loaded.path), "--json"], capture_output=True, text=True
    )
    (feed,) = json.loads(done.stdout)["feeds"]
    assert (feed["name"], feed["connected"], feed["left"]) == ("scada", False, 0)


def test_the_example_is_a_configuration() -> None:
    loaded = load_config(Path(__file__).parents[3] / "configs" / "feeds" / "gateway.toml")
    assert [feed.type for feed in loaded.document.feed] == ["json", "sparkplug"]
