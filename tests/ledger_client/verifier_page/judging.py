"""Verdicts of the verifier's page in chromium, by the function that the page itself calls, and Python's beside them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

from ledger_client.errors import STEPS, TrustFileError, VerificationError
from ledger_client.text_file import NotText, text_of
from ledger_client.verification.trust_dates import demand_in_force
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.verify import verify
from ledger_client.verifier_page.page import verifier_page
from tests.gateway.dashboard.window import WIDE, Window, window
from tests.support.evidence import trust_text
from tests.support.witnesses.heads import demanded

Case = tuple[bytes, bytes, int]
"""A bundle, a trust file, and the time at which both are judged (Unix seconds)."""
Verdict = tuple[str, str | None]
"""good, bad, trust or not-judged; and the step of bad."""
NOT_JUDGED: Verdict = ("not-judged", None)
_AT_ONCE = 400  # cases in one message to the browser
_JUDGE = """async (cases) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const verdicts = [];
  for (const [bundle, trust, now] of cases) {
    const { verdict, step } = await meterseal.judge(bytes(bundle), bytes(trust), now);
    verdicts.push([verdict, step]);
  }
  return verdicts;
}"""


def written(folder: Path) -> Path:
    """The page as a file."""
    path = folder / "verify.html"
    path.write_bytes(verifier_page("0.1.0"))
    return path


@contextmanager
def opened(browser: Browser, page: Path, *, language: str = "en", theme: str = "light", width: int = WIDE,
           fragment: str = "") -> Iterator[Window]:  # fmt: skip
    """The page from its file, without any network, once it is ready to judge."""
    with window(browser, page.as_uri() + fragment, language=language, theme=theme, width=width) as seen:
        seen.page.context.set_offline(True)
        seen.page.goto(seen.url)
        seen.until("globalThis.meterseal !== undefined")
        yield seen


def of_page(seen: Window, cases: Sequence[Case]) -> list[Verdict]:
    """The page's verdicts, all from one load of it."""
    plain = [(_base64(bundle), _base64(trust), now) for bundle, trust, now in cases]
    found: list[list[str | None]] = []
    for begin in range(0, len(plain), _AT_ONCE):
        found += seen.page.evaluate(_JUDGE, plain[begin : begin + _AT_ONCE])
    return [(str(verdict), step) for verdict, step in found]


def witnessed_trust(n: int, *names: str, keys: Mapping[str, str] | None = None) -> str:
    """A trust file that demands ``n`` of these witnesses."""
    demand = demanded(n, *names)
    return trust_text(keys=keys, policy=demand["policy"], extra=demand["extra"])


def of_python(case: Case) -> Verdict:
    """The verdict of ``verify``."""
    bundle, trust_file, now = case
    try:
        trust = parse_trust(text_of(trust_file), "trust.toml")
        demand_in_force(trust, now)
    except (NotText, TrustFileError):
        return "trust", None
    try:
        verify(bundle, trust, now)
    except VerificationError as error:
        return "bad", STEPS[error.step]
    return "good", None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
