"""What only the device can tell (`word_order`), and how it is installed (`reversed`): keys of a meter."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.decode import decode
from tests.gateway.config.refusals import refused

PROFILE = """format = 2
vendor = "Example"
device = "analyser"
source = "manual, page 3"
ask = ["word_order"]
[points]
co2 = { fc = 4, address = 0, type = "float32", unit = "/100" }
ratio = { fc = 4, address = 2, type = "float32", unit = "/", word_order = "big" }
"""
BUS = '[gateway]\nid = "g"\n\n[[bus]]\nname = "b"\ntype = "modbus-rtu"\nport = "tty"\n'


def written(folder: Path, *meters: str, profile: str = PROFILE) -> Path:
    (folder / "analyser.toml").write_text(profile)
    (folder / "gateway.toml").write_text(
        BUS
        + "".join(
            f'[[bus.meter]]\nname = "m{n}"\nprofile = "analyser.toml"\naddress = {n}\n{more}\n'
            for n, more in enumerate(meters, 1)
        )
    )
    return folder / "gateway.toml"


def loaded(folder: Path, *meters: str, profile: str = PROFILE) -> Config:
    return load_config(written(folder, *meters, profile=profile))


def test_check_refuses_a_meter_whose_word_order_nobody_has_decided(tmp_path: Path) -> None:
    path = written(tmp_path, 'word_order = "big"', "")
    refused(
        path, "bus 'b', meter 'm2', word_order: missing", "only the device can tell", "meterseal read", "commission"
    )


def test_check_refuses_an_answer_that_is_not_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, 'word_order = "big"', profile=PROFILE.replace('ask = ["word_order"]\n', ""))
    refused(path, "bus 'b', meter 'm1', word_order: is not asked", "remove word_order")
    refused(written(tmp_path, 'word_order = "middle"'), "meter 'm1', word_order")


@pytest.mark.parametrize(("word_order", "words"), [("big", (0x4148, 0)), ("little", (0, 0x4148))])
def test_the_decided_profile_is_what_decodes(tmp_path: Path, word_order: str, words: tuple[int, int]) -> None:
    config = loaded(tmp_path, f'word_order = "{word_order}"')
    assert decode(config.profiles["m1"].point("co2"), words).value == 12.5
    assert decode(config.profiles["m1"].point("ratio"), (0x4148, 0)).value == 12.5
    decided = PROFILE.replace('ask = ["word_order"]\n', "").replace(
        '"/100" }', f'"/100", word_order = "{word_order}" }}'
    )
    assert config.configured["m1"].profile_hash == loaded(tmp_path, "", profile=decided).configured["m1"].profile_hash


def test_meters_of_one_profile_may_differ_and_the_fingerprint_tells(tmp_path: Path) -> None:
    both = loaded(tmp_path, 'word_order = "big"', 'word_order = "little"')
    assert [both.profiles[name].point("co2").word_order for name in ("m1", "m2")] == ["big", "little"]
    assert both.configured["m1"].profile_hash != both.configured["m2"].profile_hash
    same = loaded(tmp_path, 'word_order = "big"', 'word_order = "big"')
    assert same.profiles["m1"] is same.profiles["m2"]
    assert both.fingerprint() != same.fingerprint()


def test_what_is_known_of_a_device_changes_no_fingerprint(tmp_path: Path) -> None:
    known = "[provenance]\ndefault = 'single'\nsources = { m = 'manual' }\n[fingerprint]\nranges = { co2 = [0, 30] }\n"
    keys = 'word_order = "big"'
    assert loaded(tmp_path, keys).fingerprint() == loaded(tmp_path, keys, profile=PROFILE + known).fingerprint()


def test_a_reversed_meter_is_another_configuration_and_decodes_the_same(tmp_path: Path) -> None:
    profile = PROFILE + 'active_power_total = { fc = 4, address = 4, type = "float32", unit = "W" }\n'
    keys = 'word_order = "big"\n'
    asis, turned = (loaded(tmp_path, keys + more, profile=profile) for more in ("", "reversed = true"))
    assert (asis.configured["m1"].reversed, turned.configured["m1"].reversed) == (False, True)
    assert asis.fingerprint() != turned.fingerprint()
    assert asis.fingerprint() == loaded(tmp_path, keys + "reversed = false", profile=profile).fingerprint()
    assert asis.configured["m1"].profile_hash == turned.configured["m1"].profile_hash


def test_a_meter_is_in_the_totals_unless_it_says_otherwise(tmp_path: Path) -> None:
    profile, keys = PROFILE.replace('ask = ["word_order"]\n', ""), ""
    asis, stated, out = (
        loaded(tmp_path, keys + more, profile=profile) for more in ("", "in_totals = true", "in_totals = false")
    )
    assert [config.meters["m1"].in_totals for config in (asis, stated, out)] == [True, True, False]
    assert asis.fingerprint() == stated.fingerprint() != out.fingerprint()
    assert asis.configured == out.configured, "what is signed says nothing of it"
    assert loaded(tmp_path, 'role = "storage"', profile=profile).configured["m1"].role == "storage"


def test_a_meter_of_which_nothing_can_be_turned_is_not_reversed(tmp_path: Path) -> None:
    path = written(tmp_path, 'word_order = "big"\nreversed = true')
    refused(path, "bus 'b', meter 'm1', reversed: is true", "no point of analyser has a direction", "remove reversed")


RATIO = 'ratio_set = { fc = 4, address = 4, type = "uint16", kind = "scale" }\n'


def test_a_ratio_that_the_meter_tells_may_be_stated_and_is_not_signed_as_one_that_multiplies(tmp_path: Path) -> None:
    profile = PROFILE.replace('ask = ["word_order"]', 'ratios = { ct = "ratio_set" }') + RATIO
    stated = loaded(tmp_path, 'ct = "200/5"', profile=profile)
    assert stated.meters["m1"].factors == {"ct": 40}
    assert (stated.configured["m1"].ratios, stated.configured["m1"].stated) == ({}, {"ct": "200/5"})
    assert stated.fingerprint() != loaded(tmp_path, "", profile=profile).fingerprint()
    refused(written(tmp_path, 'pt = "200/5"', profile=profile), "meter 'm1', pt: has no effect")
