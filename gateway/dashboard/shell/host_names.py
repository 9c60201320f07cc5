"""Names under which browsers know what listens at an address. No web library: a gateway's start asks for them, too."""

from __future__ import annotations

import socket
from collections.abc import Iterable


def host_names(address: str, hosts: Iterable[str]) -> tuple[str, ...]:
    """Every name and address under which a browser may know what listens at ``address``, an IP address without
    brackets, but for a wildcard's; ``hosts``: more of them, in lower case."""
    host = socket.gethostname().lower()
    found = [*([] if address in ("0.0.0.0", "::") else [address]), "localhost", "127.0.0.1", "::1", host]
    return tuple(dict.fromkeys((*found, *([] if "." in host else [f"{host}.local"]), *hosts)))
