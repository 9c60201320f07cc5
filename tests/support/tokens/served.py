"""``python -m tests.support.tokens.served FOLDER PORT``: a ledger that gives a token up after 1 s and tries it again
soon, as ``serve`` does after 5 s and every 10 s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger_client.tokens.calls import Limits
from tests.support.processes import Server, free_port

SOON: Final = Limits(call_s=1, retry_s=0.2, idle_s=0.2)


class TokenLedger(Server):
    """The process, at ``url``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tests.support.tokens.served", str(folder), str(self.port)]
        super().__init__(name, command, f"ledger {name} listens on {self.url}", folder.with_name("ledger.log"))


@contextmanager
def token_ledger(folder: Path, name: str) -> Iterator[TokenLedger]:
    """A ledger that runs, over a folder that is there."""
    made = TokenLedger(folder, name)
    try:
        made.start()
        yield made
    finally:
        made.close()


def main(folder: str, port: str) -> None:
    from ledger_client.transparency.server.endpoints import Doors
    from ledger_client.transparency.server.main import Serving, serve

    options = Serving(rate=0, gateway_rate=0, limits=SOON)
    serve(Path(folder), Doors(f"127.0.0.1:{port}"), options, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
