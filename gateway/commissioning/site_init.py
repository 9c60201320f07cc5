"""Site initialisation: a folder with commented gateway.toml, device keys, trust file. Never overwrites anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent

from gateway.config.device_keys import (
    REQUEST_FILE,
    STATEMENT,
    key_names,
    load_keys,
    make_missing,
    public_entries,
)
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from ledger_client.durable_files import write_text
from ledger_client.errors import TrustFileError
from ledger_client.formats.cose_key import PublicKey
from ledger_client.text_file import NotText, text_of
from ledger_client.times import rfc3339
from ledger_client.transparency.policy.policy_file import with_lines
from ledger_client.verification.trust_file import load_trust, parse_trust
from ledger_client.verification.trust_text import key_entry

GATEWAY_TOML = """\
# Meterseal gateway. Paths are relative to this file. `meterseal check gateway.toml` validates it and starts nothing.

[gateway]
id = "{id}"                # signed into every record: choose it once
data = "{data}"                      # the database
keys = "{keys}"                      # one private key a meter, and statement.pem
trust = "trust.toml"               # the public keys that receipts are checked with
# timezone = "Asia/Shanghai"       # of the times, days and months on the pages; UTC without it
# latitude = 31.2                  # with longitude = 121.5: inverters may sleep while the sun is down there

[store]
commit_every = "1s"                # the most that a power cut can cost

{buses}# A batch is cut after this time or this many records, whichever comes first, and anchored on every ledger below.
[seal]
every = "{seal_every}"
count = 10000

{ledger}"""

DEMO_BUSES = """\
# One [[bus]] is one wire or one connection; meters on it are read one after the other.
# As it stands it fits the simulated plant:  meterseal-sim run configs/demo/plant.toml --dir .
[[bus]]
name = "rs485-1"
type = "modbus-rtu"                # modbus-rtu | modbus-tcp | modbus-rtu-over-tcp | modbus-ascii
port = "{port}"                  # a real one: "/dev/serial/by-id/usb-…"
baudrate = 9600
parity = "N"                       # N | E | O
stopbits = 1

  [[bus.meter]]
  name = "export-main"             # signed into its records; its key is keys/export-main.pem
  profile = "eastron-sdm630"       # a name of `meterseal profiles`, or the path of your own TOML file
  address = 1
  every = "{every}"
  # limits = {{ voltage_ln = [207, 253] }}   # outside of them a value is an alarm; -inf or inf: an open end
  role = "generation"              # generation | consumption | grid | storage | emission | auxiliary

  [[bus.meter]]
  name = "stack-co2"
  profile = "vaisala-gmp252"
  address = 240
  every = "{co2_every}"
  role = "emission"

[[bus]]
name = "inverters"
type = "modbus-tcp"
host = "127.0.0.1"
port = {sunspec_port}

  [[bus.meter]]
  name = "pv-inverter"
  profile = "sunspec-inverter"
  address = 1
  every = "{every}"
  in_totals = false                # export-main counts the same energy: totals of the site leave this one out
  role = "generation"
"""

LEDGER = """\
[[ledger]]
name = "{name}"              # as the ledger signs itself
type = "{type}"                      # http | mqtt | evm (docs/evm.md)
policy = "required"
url = "{url}"
# ca = "tls/ca.pem"                 # with https:// or mqtts://; cert, key, token_file, user … see docs/configuration.md
"""
NO_LEDGER = """\
# No [[ledger]] yet: readings are signed and sealed into batches, which wait to be anchored at the first one.
# A ledger looks like this; its key and a policy with its name then stand in trust.toml.
"""

TRUST_TOML = """\
# Keys and ledgers that this gateway and its verifiers trust. Public keys only: hand it to verifiers as it is.
"""
TRUST_LEDGER_TOML = """\
# Each ledger needs its key here: append what `meterseal-ledger show LDIR --trust` prints.

[policy]
receipts = 1                        # number of listed ledgers that must have given a receipt
"""
TRUST_NO_LEDGER_TOML = """\
# No [[ledger]] yet. The first one needs its key here, as `meterseal-ledger show LDIR --trust` prints it, and a policy:
# [policy]
# receipts = 1                      # number of listed ledgers that must have given a receipt
# ledgers = ["demo-ledger"]         # the name of the ledger, as in gateway.toml
"""


@dataclass(frozen=True, slots=True)
class NewSite:
    """What the gateway.toml of a new site says where sites differ. Durations as the file has them: ``"10s"``.

    ``now_s``: Unix seconds, from when on its keys count; ``state``: another folder for keys and records; ``buses``: the
    ``[[bus]]`` sections, None: those of the simulated plant; ``ledger``: its name, None: no ledger yet; ``ledger_key``:
    its ``[[key]]`` entries for the trust file, as the ledger's operator gives them.
    """

    gateway: str
    now_s: int
    port: str = "rs485-1"
    sunspec_port: int = 5020
    every: str = "10s"
    co2_every: str = "10s"
    seal_every: str = "60s"
    buses: str | None = None
    ledger: str | None = "demo-ledger"
    ledger_key: str = ""
    ledger_url: str = "http://127.0.0.1:8700"
    state: Path | None = None

    def gateway_toml(self) -> str:
        """The text of the file."""
        return GATEWAY_TOML.format(
            id=self.gateway,
            data=self.folder("data"),
            keys=self.folder("keys"),
            buses=f"{self.buses or self._demo_buses()}\n",
            seal_every=self.seal_every,
            ledger=self._ledger(),
        )

    def _demo_buses(self) -> str:
        return DEMO_BUSES.format(
            port=self.port, sunspec_port=self.sunspec_port, every=self.every, co2_every=self.co2_every
        )

    def _ledger(self) -> str:
        if self.ledger is None:
            return NO_LEDGER + indent(LEDGER.format(name="demo-ledger", type="http", url=self.ledger_url), "# ")
        kind = "mqtt" if self.ledger_url.startswith("mqtt") else "http"
        return LEDGER.format(name=self.ledger, type=kind, url=self.ledger_url)

    def folder(self, name: str) -> str:
        """Where the folder of that name lies: within the state folder, or relative to gateway.toml."""
        return str(self.state.absolute() / name) if self.state else name


def init(folder: Path, site: NewSite) -> list[Path]:
    """Make ``folder`` with gateway.toml, keys and trust.toml; returns the files. Raises ConfigError if one exists."""
    config_path, trust_path = folder / "gateway.toml", folder / "trust.toml"
    if is_there(folder) and not folder.is_dir():
        raise ConfigError(folder, "", Message("init-not-a-folder"))
    for path in (config_path, trust_path, folder / site.folder("keys")):
        if is_there(path):
            raise ConfigError(path, "", Message("init-exists"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config_path.write_text(site.gateway_toml())
    except OSError as error:
        raise ConfigError(folder, "", Message("init-not-writable", error=os_error(error))) from None
    try:
        config = load_config(config_path)
    except ConfigError:  # an id that cannot be: the next attempt must not find this file
        config_path.unlink()
        raise
    made = make_missing(config, site.now_s)
    add_to_trust(config, made, site.now_s)
    if site.ledger_key:
        _append(config.trust, f"\n{site.ledger_key.strip()}\n")
    return [config_path, trust_path, *sorted(config.keys.glob("*.pem")), config.keys / REQUEST_FILE]


def add_to_trust(config: Config, made: Iterable[str], now_s: int) -> None:
    """Addition of new keys to the trust file; where there is none, it is made with every key. Raises ConfigError."""
    new = not is_there(config.trust)
    names = key_names(config) if new else list(made)
    if not names:
        return
    head = trust_head([entry.name for entry in config.document.ledger]) if new else ""
    _append(config.trust, head + public_entries(config, load_keys(config), names, now_s))
    if new:
        as_its_folder(config.trust)


def trust_next(config: Config, name: str, key: PublicKey, now_s: int) -> None:
    """Addition of an owner's next key to the trust file, once. Raises ConfigError, TrustFileError."""
    add_to_trust(config, (), now_s)
    role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
    known = load_trust(config.trust, anchored=False)
    if known.find(role, gateway=config.gateway_id, meter=meter, kid=key.kid) is None:
        entry = key_entry(role, key, now_s, gateway=config.gateway_id, meter=meter)
        _append(config.trust, f"\n{entry.strip()}\n")


def end_in_trust(config: Config, kid: bytes, valid_to: int) -> bool:
    """That a retired key of this gateway counts until then (Unix seconds), in its entry of the trust file; False: the
    entry is not a plain table, and the file as it was. Raises TrustFileError, ConfigError."""
    before = load_trust(config.trust, anchored=False).keys
    text = text_of(config.trust.read_bytes())
    ended = [key for key in before if (key.gateway, key.kid, key.valid_to) == (config.gateway_id, kid, None)]
    for number in [before.index(key) for key in reversed(ended)]:
        text = with_lines(text, number, f"valid_to = {rfc3339(valid_to)}\n") or ""
    wanted = [replace(key, valid_to=valid_to) if key in ended else key for key in before]
    try:
        if list(parse_trust(text, str(config.trust), anchored=False).keys) != wanted:
            return False
        if ended:
            write_text(config.trust, text)
            as_its_folder(config.trust)
    except TrustFileError:
        return False
    except OSError as error:
        raise ConfigError(config.trust, "", Message("trust-not-writable", error=os_error(error))) from None
    return True


def _append(trust: Path, text: str) -> None:
    try:
        with trust.open("a") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(trust, "", Message("trust-not-writable", error=os_error(error))) from None


def ledger_of(path: Path) -> tuple[str, str]:
    """Name and ``[[key]]`` entries of the one ledger in a file that ``meterseal-ledger show LDIR --trust`` has written.

    Raises ConfigError: it cannot be read, or holds something else.
    """
    try:
        text = text_of(path.read_bytes())
        keys = parse_trust(text, str(path), anchored=False).keys
    except OSError as error:
        raise ConfigError(path, "", Message("config-not-readable", error=os_error(error))) from None
    except (NotText, TrustFileError) as error:
        raise ConfigError(path, "", error.sentence) from None
    names = {key.ledger for key in keys if key.role == "ledger"}
    if len(names) != 1 or len(keys) != len([key for key in keys if key.role == "ledger"]):
        raise ConfigError(path, "", Message("init-no-ledger-key"))
    return str(names.pop()), text


def trust_head(ledgers: Sequence[str]) -> str:
    """Head of a trust file, with the policy where there are ledgers, and how one looks where there are none."""
    if not ledgers:
        return TRUST_TOML + TRUST_NO_LEDGER_TOML
    names = ", ".join(f'"{name}"' for name in ledgers)
    return f"{TRUST_TOML}{TRUST_LEDGER_TOML}ledgers = [{names}]\n"
