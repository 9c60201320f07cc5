"""Settings of ``[web]``, of a gateway and of a control room: address, host names, certificate, access."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.access_files import file_paths, usable
from gateway.field_types import Model, Unfit
from gateway.messages.message import Message
from ledger_client.transport.access import Access

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_FILES = ("cert", "key", "metrics_token_file")


def ip_and_port(text: str) -> tuple[str, int] | None:
    """``"0.0.0.0:5000"``, ``"[::]:5000"`` → IP address without brackets, and port; None: it is neither."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return None
    if (":" in host) != host.startswith("[") or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        return None
    return str(address), int(port)


def _address(text: str) -> str:
    if ip_and_port(text) is None:
        raise Unfit(Message("web-address"))
    return text


def _name(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        if not _HOST.fullmatch(text):
            raise Unfit(Message("web-host-name", text=text)) from None
    return text.lower()


class Web(Model):
    """Where pages are served. Names of files are as they were written."""

    listen: Annotated[str, AfterValidator(_address)]
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_name)], ...], Field(strict=False)] = ()
    cert: str | None = None
    key: str | None = None
    metrics_token_file: str | None = None

    @property
    def host(self) -> str:
        """The IP address as addresses of the web write it."""
        return self.listen.rpartition(":")[0]

    @property
    def address(self) -> str:
        """The IP address, without brackets."""
        return self.host.strip("[]")

    @property
    def port(self) -> int:
        """The port; 0: any free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.cert is None else "https"

    @property
    def url(self) -> str:
        """Where browsers find the pages."""
        return f"{self.scheme}://{self.listen}/"

    def usable(self, path: Path) -> Access:
        """Certificate, key and token of the figures, each there and usable; ``path``: the file that this is of. Raises
        ConfigError."""
        return usable(path, "web", self.access, {"token_file": "metrics_token_file"})

    def access(self, base: Path) -> Access:
        """Certificate, key and token of the figures. Raises AccessError (a systemd credential that there is not)."""
        paths = file_paths(self, _FILES, base)
        return Access(cert=paths["cert"], key=paths["key"], token_file=paths["metrics_token_file"])

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise Unfit(Message("web-pair"), key="cert" if self.cert is None else "key")
        return self
