"""Reasons of missed polls: each that the code knows has a cause and a next step of its own, in every language."""

from __future__ import annotations

import re
from itertools import product
from typing import get_args

import pytest

from gateway.fieldbus.specs import NOT_ASKED
from gateway.messages.languages import CATALOGUES, LANGUAGES, fix_in_language, in_language
from gateway.messages.reasons import CAUSES, NO_ANSWER, Read, cause_of, why
from ledger_client.formats.record import MISSED_REASONS

REASONS = sorted(MISSED_REASONS | NOT_ASKED)
NOT_ITS_CABLE = ("skipped", "no-shape", "not-asked", "shared", "exchanged", "asleep", "stopped", "disk-full", "refused")


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_words_of_its_own_however_its_meter_is_read(reason: str) -> None:
    found = {
        cause_of(reason, read, damaged=damaged, port_gone=gone)
        for read, damaged, gone in product(get_args(Read), (False, True), (False, True))
    }
    assert found <= CAUSES.keys()
    for cause, language in product(found, LANGUAGES):
        assert CATALOGUES[language].knows(why(cause))
        assert fix_in_language(why(cause), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_causes_are_said_alike(language: str) -> None:
    texts = [in_language(why(cause), language) for cause in CAUSES]
    fixes = [fix_in_language(why(cause), language) for cause in CAUSES]
    assert (len(set(texts)), len(set(fixes))) == (len(CAUSES), len(CAUSES))


def test_every_cause_comes_of_a_reason() -> None:
    made = {
        cause_of(reason, read, damaged=damaged, port_gone=gone)
        for reason, read, damaged, gone in product(REASONS, get_args(Read), (False, True), (False, True))
    }
    assert made == CAUSES.keys() - {"late"}


@pytest.mark.parametrize("cause", NOT_ITS_CABLE)
def test_a_meter_that_is_not_known_to_be_silent_is_not_sent_for(cause: str) -> None:
    assert cause not in NO_ANSWER
    assert not re.search("power|cable", fix_in_language(why(cause), "en"))
    assert not re.search("电源|电缆", fix_in_language(why(cause), "zh"))
