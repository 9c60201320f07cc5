"""Ledgers that show one thing of their gateways and do another, and whoever stands between them and a verifier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

from ledger_client.formats.cose_key import EDDSA, PrivateKey, base64url
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.transparency.policy.key_list import Shown, encode_page, parse_page
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.dishonest_stage import LEDGERS, Case, Objection, Stage, no
from tests.support.commands import Answer, ledger_command

Cut = Callable[[list[Shown]], list[Shown]]


@contextmanager
def between(url: str, cut: Cut) -> Iterator[str]:
    """A server that gives the ledger's answers, but of what it shows of gateways only some entries."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urlopen(url + self.path, timeout=30) as answer:
                body, kind = answer.read(), answer.headers["Content-Type"]
            if "/keys?" in self.path or "/log/gateways" in self.path:
                signed, entries = parse_page(body)
                body = encode_page(signed, cut(entries))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 — the name of the base
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _trust_from(stage: Stage, url: str, pinned: str) -> tuple[Answer, Path]:
    out, key = stage.folder / "from.toml", stage.folder / "ledger-key.toml"
    key.write_text(pinned)
    words = ("trust", "from", url, "--gateway", stage.name, "--ledger-key", key, "-o", out)
    return ledger_command(*words), out


def _pinned(stage: Stage) -> str:
    return ledger_command("show", stage.ledgers[LEDGERS[0]].folder, "--trust").out


def _revocation_left_out(stage: Stage) -> list[Objection]:
    """Who serves the ledger's answers leaves out that the statement key was revoked."""
    stage.submit(stage.history().sealed()[:1])
    ledger = stage.ledgers[LEDGERS[0]]
    done = ledger_command("revoke", ledger.folder, stage.name, "--reason", "stolen")
    assert done.code == 0, done
    whole, out = _trust_from(stage, ledger.url, _pinned(stage))
    assert whole.code == 0, whole
    assert "stolen" in out.read_text()
    seen = list[int]()

    def cut(entries: list[Shown]) -> list[Shown]:
        seen.extend(one.number for one in entries)
        return [one for one in entries if one.number != max(seen)]

    with between(ledger.url, cut) as url:
        answer, _ = _trust_from(stage, url, _pinned(stage))
    return no(answer, "verify", "trust from")


def _another_ledger(stage: Stage) -> list[Objection]:
    """The log is that of somebody who bears the ledger's name."""
    stage.history()
    pinned = key_entry("ledger", PrivateKey.generate(EDDSA).public, 0, ledger=LEDGERS[0])
    answer, _ = _trust_from(stage, stage.ledgers[LEDGERS[0]].url, pinned)
    return no(answer, "verify", "trust from")


def _let_in_by_hand(stage: Stage) -> list[Objection]:
    """The operator writes an accomplice's key into the policy of a running ledger, without a request: the log tells."""
    history = stage.history()
    stage.submit(history.sealed()[:1])
    history.keys[GATEWAY_ITSELF] = PrivateKey.generate(EDDSA)
    stage.enrolled(history)
    ledger = stage.ledgers[LEDGERS[0]]
    stage.submit([])
    answer, out = _trust_from(stage, ledger.url, _pinned(stage))
    kid, text = history.keys[GATEWAY_ITSELF].public, out.read_text() if answer.code == 0 else ""
    return [Objection("verify", "trust from", f"key {base64url(kid.kid)}")] if kid.to_text() in text else []


CASES = {
    "revocation-left-out": Case("verify", "trust from, exit 1", "NOT PROVEN", _revocation_left_out),
    "log-of-another-ledger": Case("verify", "trust from, exit 1", "NOT PROVEN", _another_ledger),
    "let-in-by-hand": Case("verify", "trust from", "key ", _let_in_by_hand),
}
