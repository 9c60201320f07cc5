"""Verifier's page: one HTML file that judges a proof by a trust file, in a browser, offline. Reads its own files.

Its script is this folder's modules one behind the other, as they are: not minified, so that whoever wants to trust the
page can read it. The page's policy allows that script and that style by their hashes and no network; text gets into it
as text alone. The bytes depend on nothing but the release.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from ledger_client.verifier_page.words import texts

MODULES: Final = (
    "failure", "bytes", "cbor", "checks", "merkle", "points", "keys", "cose", "senml", "record", "statement", "receipt",
    "bundle", "notes", "toml", "trust", "verify", "known_answers", "sentences", "elements", "report", "page",
)  # fmt: skip
"""The script's modules in their order: each uses what stands before it, and functions of those behind it."""

_MARK: Final = b'<meta name="generator" content="meterseal-ledger verifier-page">'


@cache
def verifier_page(release: str) -> bytes:
    """The file of a ``release``, as ``meterseal-ledger --version`` has it: always the same bytes."""
    script, style = _script(), _file("page.css")
    words = json.dumps({"release": release, "words": texts()}, ensure_ascii=False, separators=(",", ":"))
    fields = {
        "POLICY": escape(_policy(script, style)),
        "STYLE": style,
        "WORDS": words.replace("<", "\\u003c"),
        "SCRIPT": script,
    }
    page = _file("page.html")
    for name, content in fields.items():
        before, _, after = page.partition(f"@{name}@")
        page = before + content + after
    return page.encode()


def is_verifier_page(path: Path) -> bool:
    """Whether a file is such a page, of any release. Raises OSError."""
    with path.open("rb") as file:
        return _MARK in file.read(4096)


def policy() -> str:
    """The Content-Security-Policy of the page, as its own ``meta`` has it."""
    return _policy(_script(), _file("page.css"))


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _script() -> str:
    parts = (f"/* ---- {name}.js ---- */\n{_file(f'script/{name}.js')}" for name in MODULES)
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


def _file(name: str) -> str:
    return (files("ledger_client.verifier_page") / name).read_text("utf-8")
