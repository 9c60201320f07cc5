"""Edits of gateway.toml keep comments, order and every value that they are not about, and the old file."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commissioning.site_init import NewSite, init
from gateway.commissioning.wizard import config_edit
from gateway.config.load import load_config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message

NOW = datetime(2026, 11, 24, 10, 15)
MADE = NewSite(gateway="g", now_s=1_700_000_000).gateway_toml()
TWO_ROUNDS = '''\
# head
[[bus]] # first
name = "a"
type = "modbus-tcp"
host = "h"
[[bus.meter]] # one
name = "export-main"
profile = "sunspec-inverter" # why
address = 1
# behind one
[seal]
every = "10s"
[[bus]]
# second
name = "rs485-1"
type = "modbus-tcp"
host = "i"
hello = """
[seal] # "no comment" """
  # indented
  [[bus.meter]]
    # deeper
    name = "pv-inverter"
    points = [
      ["list"]
    ]
    address = 1'''
FORMS = {"as init writes it": MADE, "buses before and after another table": TWO_ROUNDS}
COMMENT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
SETTINGS = st.dictionaries(
    st.sampled_from(("role", "ct", "pt", "label", "word_order", "reversed", "profile", "address")),
    st.one_of(st.booleans(), st.integers(-5, 300), st.text(max_size=8)),
    max_size=4,
)


def comments(text: str) -> list[str]:
    """Of texts without ``#`` in their strings."""
    return re.findall(r"#.*", text)


def commented(text: str, at: list[tuple[int, str]]) -> str:
    """More comments: on lines of their own, or, where a line is no comment, behind it."""
    lines = text.split("\n")
    for place, comment in at:
        line = place % len(lines)
        if place % 2 and lines[line].strip() and "#" not in lines[line]:
            lines[line] += f"  # {comment}"
        else:
            lines.insert(line, f"# {comment}" if place % 3 else "")
    return "\n".join(lines)


def meter_of(values: dict[str, Any], name: str) -> dict[str, Any]:
    return next(m for b in values["bus"] for m in b["meter"] if m["name"] == name)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=30, deadline=None)
@given(
    meter=st.sampled_from(("export-main", "pv-inverter")),
    changes=SETTINGS,
    more=st.lists(st.tuples(st.integers(0, 500), COMMENT), max_size=12),
)
def test_editing_keeps_every_comment_and_every_other_value(
    form: str, meter: str, changes: dict[str, Any], more: list[tuple[int, str]]
) -> None:
    text = commented(FORMS[form], more)
    changes = {key: value.replace("#", "") if isinstance(value, str) else value for key, value in changes.items()}
    edited = config_edit.with_settings(text, meter, changes)
    before, after = tomllib.loads(text), tomllib.loads(edited)
    meant = copy.deepcopy(before)
    meter_of(meant, meter).update(changes)
    assert after == meant
    assert list(after) == list(before)
    assert comments(edited) == comments(text)
    kept = [line for line in text.split("\n") if line.strip() and not re.search("|".join([*changes, "^$"]), line)]
    assert [line for line in kept if line not in edited.split("\n")] == []


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None)
@given(changes=SETTINGS, more=st.lists(st.tuples(st.integers(0, 500), COMMENT), max_size=12))
def test_a_further_meter_stands_behind_the_others_of_its_bus(
    form: str, changes: dict[str, Any], more: list[tuple[int, str]]
) -> None:
    text = commented(FORMS[form], more)
    entry = {"name": "new", **{k: v.replace("#", "") if isinstance(v, str) else v for k, v in changes.items()}}
    edited = config_edit.with_meter(text, "rs485-1", entry)
    meant = tomllib.loads(text)
    next(b for b in meant["bus"] if b["name"] == "rs485-1")["meter"].append(entry)
    assert tomllib.loads(edited) == meant
    assert comments(edited) == comments(text)
    assert [line for line in text.split("\n") if line.strip() and line not in edited.split("\n")] == []


def test_a_new_key_stands_with_its_meter_and_not_behind_the_comment_of_the_next_table() -> None:
    edited = config_edit.with_settings(MADE, "pv-inverter", {"reversed": True})
    assert '  role = "generation"\n  reversed = true\n\n# A batch is cut' in edited
    assert edited.replace("  reversed = true\n", "") == MADE


def test_what_stands_there_already_stays_as_it_is_written() -> None:
    text = MADE.replace('role = "emission"', "role = 'emission'").replace("address = 240", "address = 0xF0")
    assert config_edit.with_settings(text, "stack-co2", {"role": "emission", "address": 240}) == text
    assert "address = true" in config_edit.with_settings(MADE, "export-main", {"address": True})


def test_a_new_meter_has_the_indentation_of_the_one_before() -> None:
    edited = config_edit.with_meter(MADE, "rs485-1", {"name": "third", "address": 3})
    added = '\n  [[bus.meter]]\n  name = "third"\n  address = 3\n'
    assert f'  role = "emission"\n{added}\n[[bus]]\nname = "inverters"' in edited
    assert edited.replace(added, "") == MADE


def test_inline_meters_are_edited_too() -> None:
    text = '[gateway] # g\nid = "g"\n[[bus]]\nname = "b" # c\nmeter = [{ name = "m", address = 1 }, {name = "n"}]\n'
    edited = config_edit.with_settings(text, "m", {"address": 2, "ct": "200/5"})
    edited = config_edit.with_meter(edited, "b", {"name": "o", "address": 3})
    meters = tomllib.loads(edited)["bus"][0]["meter"]
    assert meters == [{"name": "m", "address": 2, "ct": "200/5"}, {"name": "n"}, {"name": "o", "address": 3}]
    assert comments(edited) == ["# g", "# c"]


def test_further_buses_are_taken_as_they_are_written() -> None:
    sections = '# found by a scan\n[[bus]]\nname = "x"\n'
    for text in (MADE, MADE.rstrip("\n")):
        assert config_edit.with_sections(text, sections) == f"{MADE}\n{sections}"


def test_an_unknown_meter_or_bus_is_named() -> None:
    with pytest.raises(GatewayError, match="no meter nobody"):
        config_edit.with_settings(MADE, "nobody", {})
    with pytest.raises(GatewayError, match="no bus nowhere"):
        config_edit.with_meter(MADE, "nowhere", {})


@pytest.fixture
def site(tmp_path: Path) -> Path:
    init(tmp_path, NewSite(gateway="g", now_s=1_700_000_000))
    return tmp_path / "gateway.toml"


def test_the_old_file_stays_beside_the_new_one_with_its_permissions(site: Path) -> None:
    site.chmod(0o640)
    old = site.read_text()
    kept = config_edit.replace(site, config_edit.with_settings(old, "export-main", {"label": "Netz"}), NOW)
    assert kept == site.with_name("gateway.toml.20261124-101500")
    assert kept.read_text() == old
    assert load_config(site).meters["export-main"].label == "Netz"
    assert {oct(os.stat(path).st_mode & 0o777) for path in (site, kept)} == {"0o640"}
    again = config_edit.with_settings(site.read_text(), "export-main", {"label": "grid"})
    second = config_edit.replace(site, again, NOW)
    assert second == site.with_name("gateway.toml.20261124-101500-2")
    assert second.read_text() != old == kept.read_text()


def test_the_same_text_writes_nothing(site: Path) -> None:
    kept = config_edit.replace(site, site.read_text(), NOW)
    assert kept is None
    assert [path.name for path in site.parent.glob("gateway.toml*")] == ["gateway.toml"]


def test_a_text_that_is_no_configuration_does_not_replace_the_file(site: Path) -> None:
    old = site.read_text()
    with pytest.raises(ConfigError, match="meter 'export-main', ct"):
        config_edit.replace(site, config_edit.with_settings(old, "export-main", {"ct": "200/5"}), NOW)
    assert site.read_text() == old
    assert [path.name for path in site.parent.glob("gateway.toml*")] == ["gateway.toml"]


def test_where_the_new_file_cannot_be_written_no_copy_of_the_old_one_stays(site: Path) -> None:
    old = site.read_text()
    site.with_name(f".gateway.toml.{os.getpid()}.new").mkdir()
    with pytest.raises(ConfigError, match="free space") as refused:
        config_edit.replace(site, config_edit.with_settings(old, "export-main", {"label": "Netz"}), NOW)
    assert refused.value.what == Message("wizard-config-not-written", error=Message("errno-eisdir"))
    assert site.read_text() == old
    assert [path.name for path in site.parent.glob("gateway.toml*")] == ["gateway.toml"]
