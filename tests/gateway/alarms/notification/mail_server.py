"""A mail server (aiosmtpd) for tests: ``python mail_server.py OPTIONS`` with a JSON object, until SIGTERM.

Options: ``port``; ``mails``: a file that gets a line of JSON a mail; ``cert``, ``key``: offer STARTTLS, with ``smtps``
TLS from the start; ``login``: ``user:password``; ``refuses``: recipients; ``answer``: to the text of every mail;
``hangs``: take a connection and say nothing.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword  # type: ignore[import-not-found]


class Handler:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options, self._file = options, Path(options["mails"])

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address in self._options.get("refuses", ()):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        mail = {
            "time": time.time(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": self._options.get("smtps", False) or session.ssl is not None,
        }
        with self._file.open("a") as file:
            file.write(json.dumps({**mail, "text": envelope.content.decode("ascii")}) + "\n")
        return str(self._options.get("answer", "250 queued as 17"))


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    if "cert" not in options:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options["cert"], options["key"])
    return context


async def serve(options: dict[str, Any]) -> None:
    context, smtps = _tls(options), options.get("smtps", False)
    login: str | None = options.get("login")

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = f"{data.login.decode()}:{data.password.decode()}" == login
        return AuthResult(success=good, handled=False)

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    def session() -> SMTP:
        return SMTP(
            Handler(options),
            hostname="mail.test",
            tls_context=None if smtps else context,
            require_starttls=context is not None and not smtps,
            authenticator=check if login else None,
            auth_required=login is not None,
            auth_require_tls=context is not None and not smtps,
        )

    loop, host, port = asyncio.get_running_loop(), options.get("host", "127.0.0.1"), options["port"]
    if options.get("hangs"):
        server: Any = await asyncio.start_server(hang, host, port)
    else:
        server = await loop.create_server(session, host, port, ssl=context if smtps else None)
    print("the mail server is ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
