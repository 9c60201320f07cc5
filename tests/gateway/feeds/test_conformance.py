"""docs/sparkplug.md says what the tests say: each conformance id with the tests that show it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.gateway.feeds import test_feed_settings, test_sparkplug, test_sparkplug_metrics
from tests.gateway.feeds.conformance import SHOWN

DOCUMENT = Path(__file__).parents[3] / "docs" / "sparkplug.md"


def test_the_document_names_the_tests_that_show_each_conformance_id() -> None:
    shown, others = DOCUMENT.read_text().split("What does not apply, or is not followed:")
    named = {
        match[1]: re.findall(r"`(test_\w+)`", match[2])
        for match in re.finditer(r"^\| `tck-id-([\w-]+)` \| (.*) \|$", shown, re.MULTILINE)
    }
    assert named == SHOWN
    why = dict(re.findall(r"^\| `tck-id-([\w-]+)` \| (.+) \|$", others, re.MULTILINE))
    assert why
    assert why.keys().isdisjoint(SHOWN)
    for name in {name for names in SHOWN.values() for name in names}:
        assert any(hasattr(module, name) for module in (test_feed_settings, test_sparkplug, test_sparkplug_metrics))
