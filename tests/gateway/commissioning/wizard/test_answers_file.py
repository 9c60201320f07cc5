"""Answers files: unknown keys with near names, missing ones by name, values of another type."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commissioning.wizard.answers_file import Answers, read_answers
from gateway.commissioning.wizard.questions import Question
from gateway.errors import ConfigError
from gateway.messages.message import Message

GOOD = """\
by = "M. Ito"
position = "cabinet 4"
[export-main]
role = "generation"
ct = 40
reversed = true
display = { energy_import = "1520.1", voltage_ln_l1 = 230.1 }
differs = { energy_import = "the display lags" }
limits = { voltage_ln = [207.5, inf], frequency = [-inf, 51] }
seals = ["A1", "A2"]
photos = ["a.jpg"]
[stack-co2]
position = "stack"
"""


def answers(folder: Path, text: str) -> dict[str, Answers]:
    (path := folder / "answers.toml").write_text(text)
    return read_answers(path, ["export-main", "stack-co2"])


def ask(given: Answers, key: str, default: str | None = None, point: str = "") -> str:
    return given.ask(Question(key, "export-main", default, point=point))


def test_answers_are_given_by_key_and_meter(tmp_path: Path) -> None:
    found = answers(tmp_path, GOOD)
    assert list(found) == ["export-main", "stack-co2"]
    main = found["export-main"]
    assert [ask(main, key) for key in ("by", "role", "ct", "reversed")] == ["M. Ito", "generation", "40", "yes"]
    assert (ask(main, "position"), ask(found["stack-co2"], "position")) == ("cabinet 4", "stack")
    assert [ask(main, "seals", "") for _ in range(3)] == ["A1", "A2", ""]
    assert [ask(main, "limits", "") for _ in range(3)] == ["voltage_ln 207.5 inf", "frequency -inf 51", ""]
    assert [ask(main, "photos", "") for _ in range(2)] == [str(tmp_path / "a.jpg"), ""]
    assert ask(main, "display", "", "energy_import") == "1520.1"
    assert ask(main, "display", None, "energy_import") == "differs"
    assert ask(main, "differs", None, "energy_import") == "the display lags"
    assert ask(main, "display", "", "voltage_ln_l1") == "230.1"
    assert ask(main, "display", "", "current_l1") == ""
    assert ask(main, "label", "as before") == "as before"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[export-main]\nrol = 1", r"export-main, rol: no question has this key\n  fix: did you mean role\?"),
        ("[export-main]\nzzz = 1", r"export-main, zzz: no question has this key\n  fix: use by, word_order, .*remarks"),
        ("ct = 1\n[export-main]", r"ct: no question has this key\n  fix: use by, position, remarks"),
        ("[export-man]", r"export-man: gateway.toml has no such meter\n  fix: did you mean export-main\?"),
        ("[boiler]", r"boiler: gateway.toml has no such meter\n  fix: use export-main, stack-co2"),
        ("[export-main]\nrole = 1", r"export-main, role: is of another type\n  fix: write a value of the type text"),
        ("[export-main]\nreversed = 1", r"export-main, reversed: is of another type\n .* type true or false"),
        ("[export-main]\nct = true", r"export-main, ct: is of another type\n  fix: .* type text, number"),
        ("[export-main]\nseals = 'A1'", r"export-main, seals: is of another type\n .* type list"),
        ("by = 1", r"by: is of another type"),
        ("by = 'x'", r"answers no questions of any meter"),
        ("[export-main", r"is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_fix(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        answers(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "answers.toml"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-file\.toml: cannot be read"):
        read_answers(tmp_path / "no-file.toml", [])


@pytest.mark.parametrize("key", ["role", "reversed", "ct", "no_display"])
def test_an_answer_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    given = answers(tmp_path, "[export-main]\n")["export-main"]
    with pytest.raises(ConfigError) as refused:
        ask(given, key, "" if key == "no_display" else None)
    assert refused.value.key == f"export-main, {key}"
    assert refused.value.what == Message("answers-missing", meter="export-main")


@pytest.mark.parametrize("text", ["seals = [['A1']]", "seals = [{ a = 1 }]", "display = { energy_import = [1] }"])
def test_a_part_that_is_no_text_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        answers(tmp_path, f"[export-main]\n{text}\n")
    assert refused.value.key == f"export-main, {text.split()[0]}"
    assert isinstance(refused.value.what, Message)
    assert refused.value.what.code == "answers-part-type"


def test_a_number_of_the_display_that_nothing_was_compared_with_is_named(tmp_path: Path) -> None:
    given = answers(tmp_path, GOOD)["export-main"]
    ask(given, "display", "", "energy_import")
    with pytest.raises(ConfigError) as refused:
        given.demand_all_used()
    assert refused.value.key == "export-main, display"
    assert refused.value.what == Message("answers-display-left", points=("voltage_ln_l1",))
    ask(given, "display", "", "voltage_ln_l1")
    assert given.demand_all_used()
