"""Text of files that people edit: UTF-8 without a byte order mark (RFC 3629; TOML 1.0, "Spec")."""

from __future__ import annotations

import codecs
from typing import Final

UTF8: Final = "save it as UTF-8, without a byte order mark (BOM)"


class NotText(ValueError):
    """Bytes that are no such text: ``problem`` what they are; the way out is ``UTF8``."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; {UTF8}")
        self.problem = problem


def text_of(data: bytes) -> str:
    """The text of a file. Raises NotText: in another encoding, or none."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise NotText("is UTF-16 text, or none at all")
    if data.startswith(codecs.BOM_UTF8):
        raise NotText("begins with a byte order mark (BOM)")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotText(f"byte {error.start} is not UTF-8") from None
