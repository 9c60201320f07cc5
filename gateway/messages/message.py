"""The gateway's messages: those of its English catalogue, and of ledger_client's."""

from __future__ import annotations

from typing import ClassVar

from ledger_client import messages
from ledger_client.messages import Catalogue


class Message(messages.Message):
    """A code of the gateway's catalogues, or of ledger_client's, with its facts."""

    __slots__ = ()
    english: ClassVar[Catalogue] = Catalogue("en", ("gateway.messages", "en.toml"), ("ledger_client", "en.toml"))
