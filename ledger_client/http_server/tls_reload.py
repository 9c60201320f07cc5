"""TLS context of a server: loads renewed certificate files at the next connection, without a restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from ledger_client.errors import LedgerClientError
from ledger_client.transport.access import Access

_LOG = logging.getLogger("meterseal.ledger")


class Certificates:
    """``context`` is what a server listens with. Raises ``AccessError`` for files that cannot be used at the start.

    ``own`` holds certificate and key, and as ``ca`` the CA of the clients that are let in, or none: everyone is.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._seen = self._state()
        self.context = self._current = self._load()
        self.context.sni_callback = self._hello

    def _hello(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """A client says hello (with a name or without, OpenSSL calls): it is answered with the files of now."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._current = self._load()
                _LOG.info("serves with the certificate of now, %s", self._access.cert)
            except LedgerClientError as error:
                _LOG.error("goes on with the certificate of before: %s", error)
        if self._current is not self.context:
            connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        self._access.check_files()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._access.load_own(context)
        if self._access.ca is not None:
            context.load_verify_locations(self._access.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _state(self) -> list[tuple[int, int] | None]:
        return [_stamp(file) for file in (self._access.ca, self._access.cert, self._access.key)]


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """What tells a file from the one that had its name before."""
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)
