"""The page as somebody uses it, in chromium from its file: shown verdicts, keyboard, small windows, hostile files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ledger_client.formats.cose_key import ES256
from ledger_client.formats.record import Event, sign_record
from ledger_client.times import rfc3339
from ledger_client.verification.trust_text import key_entry
from tests.gateway.dashboard.window import NARROW, WIDE, Window, chromium, window
from tests.ledger_client.verifier_page.judging import opened, witnessed_trust, written
from tests.support.evidence import GATEWAY, LEDGER, METER, NOW, T0, VALID_FROM, Site, claims, key, trust_text
from tests.support.processes import embedded_ledger
from tests.support.witnesses.heads import cosigned_head

BIDI = "\u202egood\u2066 אבג"
SCRIPT_NAME = "<script>document.title='taken'</script>"
STEPS = ("parse", "record", "inclusion", "statement", "sequence", "receipts", "validity", "policy")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that somebody may drop, by name."""
    folder = tmp_path_factory.mktemp("given")
    event = sign_record(
        claims(), Event("note", {"who": SCRIPT_NAME, "what": BIDI, SCRIPT_NAME: [BIDI, {"a": 1}]}), key("meter")
    )
    keys = {
        "statement": key_entry("statement", key("statement", ES256).public, VALID_FROM, gateway=GATEWAY) + _held(T0),
        LEDGER: key_entry("ledger", key(LEDGER).public, VALID_FROM, ledger=LEDGER) + _held(NOW),
    }
    contents = {
        "good.mseal": Site().build(0, witnessed=(cosigned_head(Site().entry()),)),
        "coverage.mseal": Site().build(1),
        "event.mseal": Site(batch=[event]).build(0),
        "damaged.mseal": Site().build(0)[:-1],
        "unknown.mseal": Site().build(0, receipts=()),
        "deep.mseal": b"\x81" * 100_000 + b"\x00",
        "batch.mbatch": b"\xa4\x61v\x01",
        "renamed.mseal": b"\xa4\x61v\x01",
        "row.mcert": b"\xa0",
        "key.pem": b"-----BEGIN PRIVATE KEY-----\n",
        "trust.toml": trust_text(policy='max_delay = "8d"\n').encode(),
        "other.toml": trust_text(receipts=2).encode(),
        "odd.toml": b"policy.receipts = 1\n",
        "held.toml": witnessed_trust(2, "w1", "w2", keys=keys).encode(),
        "expired.toml": trust_text(policy="expires = 2026-11-20T00:00:00Z\n").encode(),
        "revoked.toml": trust_text(keys={"meter": _revoked(SCRIPT_NAME + BIDI)}).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name in ("huge.mseal", "huge.toml"):
        with (folder / name).open("wb") as file:
            file.truncate(100_000_000)
    return {path.name: path for path in folder.iterdir()}


def _held(at: int) -> str:
    return f'held = "hardware"\nheld_by = "demo-ledger"\nheld_at = {rfc3339(at)}\n'


def _revoked(reason: str) -> str:
    return key_entry(
        "meter", key("meter").public, VALID_FROM, gateway=GATEWAY, meter=METER, revoked=VALID_FROM + 1,
        revoked_reason=reason,
    )  # fmt: skip


def choose(seen: Window, proof: Path | None = None, trust: Path | None = None) -> tuple[str, str]:
    """(verdict, code) that the page shows after files were chosen."""
    for slot, path in (("proof", proof), ("trust", trust)):
        if path is not None:
            seen.page.set_input_files(f"#{slot}", path)
    return verdict(seen)


def verdict(seen: Window) -> tuple[str, str]:
    seen.until("document.querySelector('#verdict [data-verdict]') !== null")
    box = seen.page.locator("#verdict [data-verdict]")
    return box.get_attribute("data-verdict") or "", box.get_attribute("data-code") or ""


def held(seen: Window) -> list[str | None]:
    """Where the keys of record, statement and ledger are said to be held."""
    return [cell.get_attribute("data-held") for cell in seen.page.locator("[data-held]").all()]


def steps(seen: Window) -> dict[str, str]:
    return {
        item.get_attribute("data-step") or "": item.get_attribute("class") or ""
        for item in seen.page.locator(".steps li").all()
    }


@pytest.mark.parametrize(("language", "width", "theme"), [("en", NARROW, "light"), ("zh", WIDE, "dark")])
def test_a_good_proof_is_shown_whole(
    browser: Browser, page: Path, given: dict[str, Path], language: str, width: int, theme: str
) -> None:
    with opened(browser, page, language=language, width=width, theme=theme) as seen:
        asked: list[str] = []
        seen.page.on("request", lambda request: asked.append(request.url))

        assert choose(seen, given["good.mseal"], given["held.toml"]) == ("good", "")
        assert steps(seen) == dict.fromkeys(STEPS, "passed")
        rows = [row.inner_text() for row in seen.page.locator("#report table").first.locator("tbody tr").all()]
        assert "18.250" in rows[1]
        assert "123456789" in rows[2]
        assert held(seen) == ["file", "hardware", "file"]
        about = seen.page.inner_text("#report dl")
        assert ("4.9 s" in about, "w1" in about, "w2" in about) == (True, True, True)
        assert seen.page.evaluate("document.documentElement.lang").startswith(language)
        assert seen.overflow() <= 0
        assert seen.faults() == []
        assert asked == []


def test_a_bad_proof_says_where_it_stopped(browser: Browser, page: Path, given: dict[str, Path]) -> None:
    with opened(browser, page, width=NARROW) as seen:
        assert choose(seen, given["unknown.mseal"], given["trust.toml"]) == ("bad", "verify-policy")
        after = {"receipts": "not-reached", "validity": "not-reached", "policy": "failed"}
        assert steps(seen) == {**dict.fromkeys(STEPS[:5], "passed"), **after}
        assert seen.faults() == []
        assert choose(seen, given["damaged.mseal"]) == ("bad", "cbor-short")
        assert choose(seen, given["good.mseal"], given["revoked.toml"]) == ("bad", "verify-key-revoked")
        assert choose(seen, trust=given["other.toml"]) == ("trust", "trust-value")
        assert choose(seen, trust=given["odd.toml"]) == ("not-judged", "toml-unusual")
        assert seen.page.locator(".steps").count() == 0
        assert choose(seen, given["coverage.mseal"], given["trust.toml"]) == ("good", "")


def test_the_keyboard_is_enough(browser: Browser, page: Path, given: dict[str, Path]) -> None:
    with opened(browser, page) as seen:
        seen.page.on("filechooser", lambda chooser: None)  # keeps dialogs intercepted from one to the next
        for path in (given["good.mseal"], given["trust.toml"]):
            slot = "proof" if path.suffix == ".mseal" else "trust"
            for _ in range(10):
                seen.page.keyboard.press("Tab")
                if seen.page.evaluate("document.activeElement.id") == slot:
                    break
            assert seen.page.evaluate("document.activeElement.id") == slot
            with seen.page.expect_file_chooser() as chooser:
                seen.page.keyboard.press("Space")
            chooser.value.set_files(path)
        assert verdict(seen) == ("good", "")
        reached = set()
        for _ in range(12):
            seen.page.keyboard.press("Tab")
            reached.add(seen.page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert {"wide", "language"} <= reached
        seen.page.focus("#language")
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.documentElement.lang") == "zh-CN"
        assert verdict(seen) == ("good", "")


def test_what_evidence_says_is_text_and_nothing_else(browser: Browser, page: Path, given: dict[str, Path]) -> None:
    with opened(browser, page) as seen:
        assert choose(seen, given["event.mseal"], given["trust.toml"]) == ("good", "")
        shown = seen.page.inner_text("#report")
        assert SCRIPT_NAME in shown
        assert "\u202e" not in shown
        assert "\\u{202e}good\\u{2066} אבג" in shown
        assert seen.page.evaluate(
            "[...document.querySelectorAll('bdi')].some((one) => one.textContent.includes('אבג'))"
        )
        assert choose(seen, given["good.mseal"], given["revoked.toml"]) == ("bad", "verify-key-revoked")
        assert SCRIPT_NAME in seen.page.inner_text("#verdict")
        assert "\u202e" not in seen.page.inner_text("#verdict")
        assert seen.page.locator("#verdict script, #report script").count() == 0
        assert seen.page.title() != "taken"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("good.mseal", "event.mseal"), "two-proofs"),
        (("trust.toml", "other.toml"), "two-trusts"),
        (("good.mseal", "trust.toml", "other.toml"), "too-many-files"),
        (("batch.mbatch", "trust.toml"), "kind-batch"),
        (("renamed.mseal", "trust.toml"), "kind-batch"),
        (("row.mcert", "trust.toml"), "kind-certificate"),
        (("key.pem",), "kind-key"),
        (("huge.mseal", "trust.toml"), "too-large"),
        (("good.mseal", "huge.toml"), "trust-too-large"),
        (("deep.mseal", "trust.toml"), "cbor-too-deep"),
        (("good.mseal", "trust.toml"), ""),
    ],
)
def test_files_are_dropped(dropping: Window, given: dict[str, Path], names: tuple[str, ...], code: str) -> None:
    """Behind a good verdict, so that none may stay beside files that it is not about."""
    assert choose(dropping, given["good.mseal"], given["trust.toml"]) == ("good", "")
    dropping.page.evaluate("""() => {
      const input = document.createElement("input");
      document.body.append(Object.assign(input, { type: "file", id: "dropped", multiple: true }));
    }""")
    dropping.page.set_input_files("#dropped", [given[name] for name in names])
    dropping.page.evaluate("""() => {
      const input = document.getElementById("dropped");
      const data = new DataTransfer();
      for (const file of input.files) data.items.add(file);
      input.remove();
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    }""")
    assert verdict(dropping)[1] == code


@pytest.fixture(scope="module")
def dropping(browser: Browser, page: Path) -> Iterator[Window]:
    with opened(browser, page) as seen:
        yield seen


def test_no_link_sets_the_clock(browser: Browser, page: Path, given: dict[str, Path]) -> None:
    """An expired trust file stays expired, whatever the address says; with the computer's clock put back it counts."""
    with opened(browser, page, fragment="?now=1795000010#now=1795000010") as seen:
        assert choose(seen, given["good.mseal"], given["expired.toml"]) == ("trust", "trust-expired")
    with opened(browser, page) as seen:
        seen.page.clock.set_fixed_time("2026-11-19T00:00:00Z")
        assert choose(seen, given["good.mseal"], given["expired.toml"]) == ("good", "")
        assert "2026-11-19T00:00:00Z" in seen.page.inner_text("#verdict")


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("SubtleCrypto.prototype.verify = async () => true", "wrong-answers"),
        ("SubtleCrypto.prototype.verify = async () => false", "wrong-answers"),
        ("SubtleCrypto.prototype.digest = async () => new ArrayBuffer(32)", "wrong-answers"),
        (
            "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('no', 'NotSupportedError') }",
            "no-ed25519",
        ),
        ("Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })", "no-webcrypto"),
    ],
)
def test_a_browser_with_other_answers_judges_nothing(browser: Browser, page: Path, broken: str, code: str) -> None:
    with window(browser, page.as_uri()) as seen:
        seen.page.add_init_script(broken)
        seen.page.goto(seen.url)
        assert verdict(seen) == ("not-judged", code)
        assert seen.page.is_disabled("#proof")
        assert seen.page.evaluate("globalThis.meterseal === undefined")


def test_a_ledger_serves_it_and_without_cryptography_it_says_save_me(browser: Browser, tmp_path: Path) -> None:
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger, window(browser, f"{ledger.url}/verify") as seen:
        answer = seen.page.goto(seen.url)
        assert answer is not None
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"<title>" in answer.body()
        seen.until("globalThis.meterseal !== undefined")  # this machine's own addresses are secure
        seen.page.goto(seen.url.replace("127.0.0.1", "0.0.0.0"))
        assert verdict(seen) == ("not-judged", "no-webcrypto")
