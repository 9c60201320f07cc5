"""A running plant and its API as a program asks it."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.api.shapes.token_file import add_token, tokens_file
from gateway.api.shapes.tokens import Scope
from gateway.config.model import Config
from tests.gateway.dashboard.pages_plant import plant_with_pages
from tests.gateway.dashboard.pages_site import Answer
from tests.system.demo_site import until

METER = "export-main"
V1 = "/api/v1"


@dataclass(frozen=True, slots=True)
class Asked:
    """A site that is asked. ``tokens``: text by what it opens."""

    config: Config
    port: int
    tokens: dict[str, str]

    def get(self, path: str, token: str = "proofs", **headers: str) -> Answer:
        """A path below /api/v1, with one of the tokens; ``""``: without. Asks again where it was too fast."""
        while (answer := self.once(path, token, **headers)).status == 429:
            time.sleep(0.2)
        return answer

    def once(self, path: str, token: str = "proofs", **headers: str) -> Answer:
        """The same, asked once. A proof, which is no text, is ``bundle``'s."""
        status, found, body = self._asked(path, token, headers)
        return Answer(status, found, [], body.decode(errors="replace"))

    def bundle(self, path: str) -> bytes:
        """The proof of a record's path."""
        while (found := self._asked(f"{path}.mseal", "proofs", {}))[0] == 429:
            time.sleep(0.2)
        status, _, body = found
        assert status == 200, body
        return body

    def _asked(self, path: str, token: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        given = {"Authorization": f"Bearer {self.tokens.get(token, token)}"} if token else {}
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request("GET", V1 + path, headers=given | sent)
        answer = link.getresponse()
        found = answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
        link.close()
        assert "set-cookie" not in found[1]
        return found

    def json(self, path: str, token: str = "proofs") -> Any:
        """What is answered; numbers as they are written."""
        answer = self.get(path, token)
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return json.loads(answer.text, parse_float=Decimal)

    def refused(self, path: str, token: str = "proofs", **headers: str) -> tuple[int, str]:
        """Status and code of a refusal."""
        return refusal(self.get(path, token, **headers))

    def all(self, path: str, limit: int) -> list[Any]:
        """Every item of a list, by pages."""
        joint, items, cursor = "&" if "?" in path else "?", [], ""
        while True:
            page = self.json(f"{path}{joint}limit={limit}{cursor}")
            assert len(page["items"]) <= limit
            items += page["items"]
            if "next" not in page:
                return items
            cursor = f"&cursor={page['next']}"


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code of an answer that is a problem, and nothing but that."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert not answer.cookies
    found = json.loads(answer.text)
    assert found.keys() - {"fix"} == {"type", "title", "status", "code", "detail"}
    assert found["status"] == answer.status
    return answer.status, found["code"]


def token(config: Config, name: str, scope: Scope, meter: str | None = None, expires_ms: int | None = None) -> str:
    """A new token of a site."""
    return add_token(tokens_file(config.keys), name, scope, meter, expires_ms, secrets.token_bytes(32))


@contextmanager
def asked_site(folder: Path) -> Iterator[Asked]:
    """Three meters on two lines with a ledger, of which a batch has a receipt."""
    with plant_with_pages(folder) as plant:
        made = {scope: token(plant.config, scope, scope) for scope in ("status", "readings", "proofs")}
        made["meter"] = token(plant.config, "of-a-meter", "proofs", METER)
        made["expired"] = token(plant.config, "expired", "proofs", None, 1_700_000_000_000)
        site = Asked(plant.config, int(plant.url.rpartition(":")[2]), made)
        until("a receipt", lambda: any(b["anchors"][0]["state"] == "settled" for b in site.json("/batches")["items"]))
        yield site
