"""Endpoints of a ledger: HTTP address, certificate, broker. Checks their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ledger_client.transport.access import Access, AccessError, Protocol, resolve
from ledger_client.transport.mqtt_options import demand_broker


@dataclass(frozen=True, slots=True)
class Doors:
    """``cert`` and ``key`` make the address an https one; ``client_ca`` lets in only whom that CA vouches for."""

    listen: str
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    mqtt: str | None = None
    broker: Access = field(default_factory=Access)

    def check(self) -> None:
        """Whatever can be known before anything is opened. Raises ``LedgerClientError``: option, problem, way out."""
        if self.mqtt is not None:
            demand_broker("--mqtt", self.mqtt)
            _checked("--mqtt-", self.broker, self.mqtt)
        elif self.broker != Access():
            raise AccessError("--mqtt", "missing; options of it are given", "add --mqtt mqtts://HOST:PORT")
        if self.client_ca is not None and self.cert is None:
            raise AccessError("--client-ca", "has no effect without TLS", "add --cert and --key")
        _checked("--", self.https_access, "https://")

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.cert is None else "https"

    @property
    def https_access(self) -> Access:
        """Certificate and key of the address, and as ``ca`` that of its clients."""
        return Access(ca=self.client_ca, cert=self.cert, key=self.key)


def file_options(options: Mapping[str, str | None]) -> tuple[dict[str, Path | None], Access]:
    """The options of the command line: those of the own address, and those of the broker. Raises ``AccessError``."""
    https = {key: _path(options, key) for key in ("cert", "key", "client_ca")}
    broker = Access(
        ca=_path(options, "mqtt_ca"),
        cert=_path(options, "mqtt_cert"),
        key=_path(options, "mqtt_key"),
        user=options["mqtt_user"],
        password_file=_path(options, "mqtt_password_file"),
        protocol=cast(Protocol, options["mqtt_protocol"]),
    )
    return https, broker


def _path(options: Mapping[str, str | None], key: str) -> Path | None:
    text = options[key]
    return None if text is None else resolve(text, Path(), "--" + key.replace("_", "-"))


def _checked(prefix: str, access: Access, url: str) -> None:
    try:
        access.check_rules(url)
        access.check_files()
    except AccessError as error:
        option = "--client-ca" if (prefix, error.key) == ("--", "ca") else prefix + error.key.replace("_", "-")
        raise AccessError("--mqtt" if error.key == "url" else option, error.what) from None
