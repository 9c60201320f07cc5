"""Identification of units: what they say of themselves, constants, laws of their registers; ties and no wrong name."""

from __future__ import annotations

# not quick: a device that is silent is waited for
import asyncio
import random
from collections import Counter

import pytest

from benchmarks.commissioning.identified import SITUATIONS, Situation
from benchmarks.commissioning.identify import run
from gateway.commissioning.scan.identify import known
from gateway.commissioning.scan.tcp_diagnosis import of_answers
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.exceptions import ILLEGAL_VALUE, refused
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal, Silence
from gateway.messages.message import Message
from tests.gateway.commissioning.identity.units import Held, altered, first, found, simulated

ONE_PHASE = next(situation for situation in SITUATIONS if situation.name == "one phase wired")


def codes(messages: object) -> list[str]:
    assert isinstance(messages, tuple)
    return [message.code for message in messages]


def test_a_constant_of_the_device_makes_it_sure_and_the_evidence_is_shown() -> None:
    unit = found(simulated("abb-b23"))
    assert first(unit) == ("abb-b23", 0.95)
    assert unit.candidates[0].why[0] == Message("scan-why-constant", first=35168, words="4232 3320")
    assert "scan-why-frequency" in codes(unit.candidates[0].why)
    assert unit.identity == "12345678"
    assert unit.evidence == ()


def test_what_a_device_calls_itself_is_evidence_and_names_it() -> None:
    unit = found(simulated("siemens-pac3200"))
    assert first(unit) == ("siemens-pac3200", 0.95)
    assert unit.evidence == (Message("scan-says-objects", text="Siemens AG, SENTRON PAC3200, V2.4.7"),)
    assert all(candidate.confidence < 0.5 for candidate in unit.candidates[1:])


def test_objects_are_asked_one_by_one_of_a_device_that_has_no_stream() -> None:
    def object_answer(number: int, text: bytes) -> dict[bytes, bytes]:
        head = bytes([14, 4, 0x81, 0, 0, 1, number, len(text)])
        return {Request(1, 43, number, 4).pdu: head + text}

    held = Held(says={**object_answer(0, b"Vaisala"), **object_answer(1, b"GMP251"), **object_answer(2, b"1")})

    async def ask(question: Question) -> Outcome:
        if isinstance(question, Request) and question.pdu == Request(1, 43, 0, 1).pdu:
            return Refusal(question, refused(ILLEGAL_VALUE, 43))
        return await held.ask(question)

    unit = found(ask)
    assert unit.evidence == (Message("scan-says-objects", text="Vaisala, GMP251, 1"),)


def test_the_text_of_function_17_names_a_device_too() -> None:
    answers = {Request(1, 17).pdu: bytes([14]) + b"\x05\xffUMG 96RM-E 2.1"}
    unit = found(Held(says=answers).ask)
    assert unit.evidence == (Message("scan-says-server", text="UMG 96RM-E 2.1"),)
    assert first(unit) == ("janitza-umg96rm-e", 0.5)  # it says so, and has none of the registers


def test_a_family_that_reads_cannot_tell_apart_is_a_tie() -> None:
    unit = found(simulated("eastron-sdm230"))
    assert [candidate.profile for candidate in unit.tie] == ["eastron-sdm120", "eastron-sdm230"]
    assert unit.best is None
    assert all(candidate.confidence < 0.8 for candidate in unit.candidates)
    assert "see the plate" in str(unit.tie[0].why[-1])


def test_a_sunspec_device_says_who_it_is_and_which_models_it_has() -> None:
    unit = found(simulated("sunspec-meter"))
    assert (unit.protocol, unit.identity) == ("sunspec", "12345678")
    assert first(unit) == ("sunspec-meter", 0.9)
    assert "models 1, 203" in str(unit.evidence[0])


def test_a_sunspec_device_with_its_makers_own_registers_may_be_read_by_either() -> None:
    sunspec, huawei = simulated("sunspec-inverter"), simulated("huawei-sun2000")

    async def both(question: Question) -> Outcome:
        is_own = isinstance(question, Request) and 30_000 <= question.address < 40_000
        return await (huawei if is_own else sunspec)(question)

    unit = found(both)
    assert [(c.profile, c.confidence) for c in unit.candidates] == [("huawei-sun2000", 0.95), ("sunspec-inverter", 0.9)]
    assert unit.protocol == "sunspec"


@pytest.mark.parametrize(
    ("situation", "profiles"),
    [
        (Situation("load"), ["dlt645-three-phase"]),
        (ONE_PHASE, ["dlt645-single-phase", "dlt645-three-phase"]),
    ],
)
def test_a_dlt645_meter_is_told_by_its_phases_and_not_by_a_dead_one(situation: Situation, profiles: list[str]) -> None:
    unit = found(simulated("dlt645-three-phase", situation), "dlt645")
    assert [candidate.profile for candidate in unit.candidates] == profiles
    assert (unit.best is None) == (len(profiles) > 1)
    assert (unit.address, unit.identity) == ("071801024091", "000012345678")


def test_the_word_order_that_a_profile_asks_for_is_found() -> None:
    assert found(simulated("sick-marsic300")).candidates[0].word_order == "big"

    def swapped(question: Request, answer: Answer) -> Answer:
        if question.function != 4 or question.count % 2:
            return answer
        pairs = [answer.data[at : at + 4] for at in range(0, len(answer.data), 4)]
        return answer._replace(data=b"".join(pair[2:] + pair[:2] for pair in pairs))

    unit = found(altered(simulated("sick-marsic300"), swapped))
    assert (unit.candidates[0].profile, unit.candidates[0].word_order) == ("sick-marsic300", "little")
    assert unit.evidence == ()


def test_swapped_words_are_said_and_never_a_sure_name() -> None:
    def swapped(question: Request, answer: Answer) -> Answer:
        pairs = [answer.data[at : at + 4] for at in range(0, len(answer.data), 4)]
        return answer._replace(data=b"".join(pair[2:] + pair[:2] for pair in pairs))

    unit = found(altered(simulated("inepro-pro380"), swapped))
    assert codes(unit.evidence) == ["scan-words-swapped"]
    facts = unit.evidence[0].facts
    assert [facts[fact] for fact in ("unit", "point", "value", "in_unit")] == [1, "voltage_ln_avg", "229.5", "V"]
    assert "inepro-pro380" in unit.evidence[0].way_out
    assert unit.candidates[0].profile == "inepro-pro380"
    assert unit.candidates[0].confidence <= 0.3


def test_a_read_that_is_too_long_is_said_with_one_that_is_answered() -> None:
    ask = simulated("janitza-umg96rm-e")

    async def short(question: Question) -> Outcome:
        if isinstance(question, Request) and question.count > 40:
            return await ask(Request(1, 3, 0xFFFF, 1))  # refused
        return await ask(question)

    unit = found(short)
    assert codes(unit.evidence) == ["scan-reads-too-long"]
    facts = unit.evidence[0].facts
    assert [facts[fact] for fact in ("unit", "n", "refused")] == [1, 26, 52]
    evidence = unit.evidence[0].way_out
    assert "copy the profile" in evidence


def test_none_of_the_sentences_is_said_of_a_healthy_unit() -> None:
    for profile in known():
        if profile.protocol == "modbus":
            assert of_answers(found(simulated(profile.name))) == []


def test_a_device_that_is_silent_about_what_it_does_not_have_is_asked_little() -> None:
    held = Held({(3, place): 0 for place in range(10)}, silent=True)
    unit = found(held.ask)
    assert unit.candidates == ()
    assert len(held.asked) <= 20


def test_a_device_that_the_catalog_does_not_have_is_nothing_for_sure() -> None:
    rng = random.Random(5)
    for _ in range(20):
        held = Held({(fc, place): rng.randrange(0x10000) for fc in (3, 4) for place in range(0x10000)})
        assert all(candidate.confidence < 0.8 for candidate in found(held.ask).candidates)


def test_the_catalog_of_a_site_may_be_another() -> None:
    unit = found(simulated("abb-b23"), profiles=[p for p in known() if p.name != "abb-b23"])
    assert all(candidate.confidence < 0.8 for candidate in unit.candidates)


def test_a_code_of_another_model_speaks_against_a_profile() -> None:
    def coded(question: Request, answer: Answer) -> Answer:
        return answer._replace(data=b"\x00\x20") if (question.function, question.address) == (3, 0xFC02) else answer

    unit = found(altered(simulated("eastron-sdm630"), coded))
    candidate = next(candidate for candidate in unit.candidates if candidate.profile == "eastron-sdm630")
    assert candidate.confidence <= 0.4
    assert candidate.why[0] == Message("scan-why-no-constant", first=0xFC02, words="0020")


@pytest.mark.parametrize(("code", "is_it"), [(330, True), (337, True), (338, False), (345, True), (346, False)])
def test_codes_from_one_to_another_tell_a_family_and_leave_out_what_has_another_map(code: int, is_it: bool) -> None:
    """victronenergy/dbus-cgwacs, ac_sensor.cpp: 338 is read by the map of the EM24."""

    def coded(question: Request, answer: Answer) -> Answer:
        return answer._replace(data=code.to_bytes(2, "big")) if question.address == 0x000B else answer

    unit = found(altered(simulated("carlo-gavazzi-em340"), coded))
    sure = {candidate.profile for candidate in unit.candidates if candidate.confidence >= 0.8}
    assert sure == ({"carlo-gavazzi-em340"} if is_it else set())


FILE = """
vendor = "Example"
device = "Power meter"
source = "manual"
[points]
p    = { fc = 3, address = 0, type = "uint16", unit = "W" }
volt = { fc = 3, address = 1, type = "uint16", unit = "V" }
[fingerprint]
constants = [{ fc = 3, address = 9000, words = [7] }]
refuses = [{ fc = 3, address = 500, registers = 1 }]
ranges = { volt = [200, 260] }
"""


@pytest.mark.parametrize(
    ("held", "confidence"),
    [
        ({0: 100, 1: 230}, 0.15),  # a fingerprint that reads what the device does not have
        ({0: 100, 1: 230, 9000: 7}, 0.7),  # one word, and little that supports it
        ({0: 100, 1: 230, 9000: 8}, 0.15),
        ({0: 100, 1: 500, 9000: 7}, 0.5),  # its code, against what it measures
        ({0: 100, 1: 230, 9000: 7, 500: 1}, 0.35),  # it answers what it should refuse
    ],
)
def test_the_rules_of_confidence(held: dict[int, int], confidence: float) -> None:
    profile = parse_profile(FILE, "example", "example.toml")
    unit = found(Held({(3, place): word for place, word in held.items()}).ask, profiles=[profile])
    assert first(unit) == ("example", confidence)


def test_a_meter_that_needs_a_pause_behind_its_answers_is_known_all_the_same() -> None:
    ask, last = simulated("abb-b23"), [0.0]

    async def hasty(question: Question) -> Outcome:
        now = asyncio.get_running_loop().time()
        last[0], waited = now, now - last[0]
        return await ask(question) if waited > 0.05 else Silence("timeout", "", question)

    assert first(found(hasty)) == ("abb-b23", 0.95)


def test_a_meter_that_answers_any_single_register_with_one_number_is_not_taken_for_the_owner_of_that_number() -> None:
    """The SDM630 does so, and 112 is a code of other meters."""
    ask = simulated("eastron-sdm630")

    async def typed(question: Question) -> Outcome:
        if isinstance(question, Request) and question.function in (3, 4) and question.count == 1:
            return Answer(question, b"\x00\x70", 0.0)
        return await ask(question)

    unit = found(typed)
    assert first(unit) == ("eastron-sdm630", 0.75)
    assert "carlo-gavazzi-em111" not in [candidate.profile for candidate in unit.candidates]


def test_a_line_that_answers_nothing_finds_nothing() -> None:
    async def silent(question: Question) -> Outcome:
        return Silence("timeout", "")

    assert found(silent).candidates == ()
    assert found(silent, "dlt645").candidates != ()  # a meter that answered to its address may be either


def test_the_matrix_names_no_other_device_for_sure() -> None:
    some = "eastron-sdm630", "schneider-iem3155", "carlo-gavazzi-em340", "dlt645-single-phase", "vaisala-gmp252"
    figures = run(seeds=1, devices=",".join(some))
    assert figures["devices"] == 5
    assert figures["right_or_family_first"] == 1
    assert (figures["wrong_confident"], figures["foreign_confident"]) == (0, 0)
    assert isinstance(figures["seconds_most"], float)
    assert figures["seconds_most"] <= 15


def test_every_constant_of_the_catalog_tells_something() -> None:
    """All zeros, or all ones, are what other devices say of registers that they do not have."""
    constants = [(p.name, c.words) for p in known() if p.fingerprint for c in p.fingerprint.constants]
    assert len(constants) > 10
    assert [name for name, words in constants if set(words) in ({0}, {0xFFFF})] == []


def test_no_two_devices_have_a_constant_in_common_and_a_family_has_members() -> None:
    with_one = [p for p in known() if p.fingerprint]
    places = [(c.fc, c.address, c.words) for p in with_one for c in (p.fingerprint.constants if p.fingerprint else ())]
    assert len(set(places)) == len(places)
    families = Counter(p.fingerprint.family for p in with_one if p.fingerprint and p.fingerprint.family)
    assert families
    assert min(families.values()) > 1
