"""Every message is there in both languages, and everything that the product can say has one."""

from __future__ import annotations

import re
import string
import subprocess
from importlib.resources import files

import pytest

from gateway.dashboard.pages.overview import FAULTS, FAULTS_OF
from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell.catalog import SHELL, read, table_of
from gateway.devices.knowledge.direction import turned
from gateway.devices.profile import CATALOG, load_profile
from gateway.messages.alarm_kinds import KINDS, SEVERITIES
from gateway.messages.languages import LANGUAGES, choose
from gateway.verdicts import VERDICTS
from ledger_client.formats.record import MISSED_REASONS
from ledger_client.formats.senml import Quality

PACKAGES = (SHELL, "gateway.dashboard")
SOURCES = {path.name: path for package in PACKAGES for path in (files(package) / "templates").iterdir()}
TEMPLATES = sorted(SOURCES)
TABLE = table_of("gateway.dashboard")


def test_a_message_and_a_template_stand_in_one_place() -> None:
    shell, ours = ({(section, name) for section, says in read(one).items() for name in says} for one in PACKAGES)
    assert shell & ours == set()
    assert len(SOURCES) == sum(len(list((files(package) / "templates").iterdir())) for package in PACKAGES)


def test_every_message_is_there_in_both_languages() -> None:
    assert [key for key, says in TABLE.items() if set(says) != set(LANGUAGES)] == []


def test_both_languages_fill_in_the_same_fields() -> None:
    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert [key for key, says in TABLE.items() if fields(says["en"]) != fields(says["zh"])] == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_the_same_code_in_every_language(template: str) -> None:
    def code(language: str) -> str:
        env = HTML.environment(language)
        assert env.loader is not None
        return env.compile(env.loader.get_source(env, template)[0], template, raw=True)

    assert code("en") == code("zh")
    made = [HTML.environment(language).get_template(template).root_render_func.__code__ for language in LANGUAGES]
    assert all(one is made[0] for one in made)


def test_chinese_is_chinese() -> None:
    same = {key for key, says in TABLE.items() if not re.search("[\u4e00-\u9fff]", says["zh"])}
    assert same == {"nav.language", "point.co2"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_message_of_a_template_is_in_the_table(template: str) -> None:
    text = SOURCES[template].read_text()
    asked = re.findall(r"'([a-z-]+\.[A-Za-z0-9-]*)'", text)
    known = {key.partition(".")[0] for key in TABLE}
    unknown = [key for key in asked if not any(k == key or (key[-1] in "-." and k.startswith(key)) for k in TABLE)]
    assert [key for key in unknown if key.partition(".")[0] in known or not key.endswith((".css", ".js", ".svg"))] == []


def test_whatever_can_be_said_has_words() -> None:
    wanted = {
        "alarm": KINDS, "alarm-advice": KINDS, "severity": SEVERITIES, "verdict": VERDICTS, "reason": MISSED_REASONS,
        "flag": [flag.name for flag in Quality],
        "site": {name for names in (FAULTS, *FAULTS_OF.values()) for name in names},
        "point": {
            name
            for path in CATALOG.glob("*.toml")
            for point in load_profile(path.stem, CATALOG).points
            if point.record and point.kind != "scale"
            for name in (point.name, turned(point.name).name)
        },
    }  # fmt: skip
    words = HTML.words("zh")
    assert [
        (section, name) for section, names in wanted.items() for name in names if not words.has(section, str(name))
    ] == []


@pytest.mark.parametrize(
    ("accepted", "wanted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", None, "zh"),
        ("de-DE,de;q=0.9,en;q=0.8", None, "en"),
        ("", None, "en"),
        ("zh-CN", "en", "en"),
        ("en", "tlh", "en"),
    ],
)
def test_the_language_of_a_visitor(accepted: str, wanted: str | None, language: str) -> None:
    assert choose(accepted, wanted) == language


def test_this_machine_can_draw_chinese() -> None:
    fonts = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, text=True, check=True).stdout
    assert fonts, "screenshots would show boxes: apt-get install fonts-wqy-microhei"
