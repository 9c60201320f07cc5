"""Site initialisation: a folder with commented gateway.toml, device keys, trust file. Never overwrites anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.config.device_keys import REQUEST_FILE, key_files, load_keys, make_missing, public_entries
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.process.file_owner import OWN_USER, as_its_folder, is_there

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

# One [[bus]] is one wire or one connection; meters on it are read one after the other.
# As it stands it fits the simulated plant:  meterseal-sim run configs/demo/plant.toml --dir .
[[bus]]
name = "rs485-1"
type = "modbus-rtu"                # modbus-rtu | modbus-tcp | modbus-rtu-over-tcp
port = "{port}"                  # a real one: "/dev/serial/by-id/usb-…"
baudrate = 9600
parity = "N"                       # N | E | O
stopbits = 1

  [[bus.meter]]
  name = "export-main"             # signed into its records; its key is keys/export-main.pem
  profile = "eastron-sdm630"       # a name of `meterseal profiles`, or the path of your own TOML file
  address = 1
  every = "{every}"
  role = "generation"              # generation | consumption | emission | auxiliary

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
  role = "generation"

# A batch is cut after this time or this many records, whichever comes first, and anchored on every ledger below.
[seal]
every = "{seal_every}"
count = 10000

[[ledger]]
name = "{ledger}"              # as the ledger signs itself
type = "{ledger_type}"                      # http | mqtt | evm (docs/evm.md)
policy = "required"
url = "{ledger_url}"
# ca = "tls/ca.pem"                 # with https:// or mqtts://; cert, key, token_file, user … see docs/configuration.md
"""


TRUST_TOML = """\
# Whom this gateway, and whoever verifies its readings, believes. Public keys only: hand it to verifiers as it is.
"""
TRUST_LEDGER_TOML = """\
# The key of the ledger is missing as yet: paste what `meterseal-ledger show LDIR --trust` prints at the end.

[policy]
receipts = 1                        # how many distinct ledgers of the list must have given a receipt
"""


def init(
    folder: Path,
    *,
    gateway: str,
    now_s: int,
    port: str = "rs485-1",
    sunspec_port: int = 5020,
    every: str = "10s",
    co2_every: str = "10s",
    seal_every: str = "60s",
    ledger: str = "demo-ledger",
    ledger_url: str = "http://127.0.0.1:8700",
    state: Path | None = None,
) -> list[Path]:
    """Make ``folder`` with gateway.toml, keys and trust.toml; returns the files. Raises ConfigError if one exists.

    ``state``: another folder for keys and records.
    """
    config_path, trust_path = folder / "gateway.toml", folder / "trust.toml"
    data, keys = (str(state.absolute() / name) if state else name for name in ("data", "keys"))
    if is_there(folder) and not folder.is_dir():
        raise ConfigError(folder, "", "is a file, not a folder", "choose another name")
    for path in (config_path, trust_path, folder / keys):
        if is_there(path):
            raise ConfigError(path, "", "exists already, and init overwrites nothing", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config_path.write_text(
            GATEWAY_TOML.format(
                id=gateway,
                data=data,
                keys=keys,
                port=port,
                sunspec_port=sunspec_port,
                every=every,
                co2_every=co2_every,
                seal_every=seal_every,
                ledger=ledger,
                ledger_url=ledger_url,
                ledger_type="mqtt" if ledger_url.startswith("mqtt") else "http",
            )
        )
    except OSError as error:
        raise ConfigError(
            folder, "", f"cannot be written: {error.strerror}", "choose a folder that you may write to"
        ) from None
    try:
        config = load_config(config_path)
    except ConfigError:  # an id that cannot be: the next attempt must not find this file
        config_path.unlink()
        raise
    made = make_missing(config, now_s)
    add_to_trust(config, made, now_s)
    return [config_path, trust_path, *sorted(config.keys.glob("*.pem")), config.keys / REQUEST_FILE]


def add_to_trust(config: Config, made: Iterable[str], now_s: int) -> None:
    """Add keys that were just made to the trust file; where there is none, make it, with every key. Raises ConfigError:
    it cannot be written."""
    new = not is_there(config.trust)
    names = list(key_files(config)) if new else list(made)
    if not names:
        return
    head = trust_head([entry.name for entry in config.document.ledger]) if new else ""
    try:
        with config.trust.open("a") as file:
            file.write(head + public_entries(config, load_keys(config), names, now_s))
        if new:
            as_its_folder(config.trust)
    except OSError as error:
        raise ConfigError(config.trust, "", f"cannot be written: {error.strerror}", OWN_USER) from None


def trust_head(ledgers: Sequence[str]) -> str:
    """How a trust file begins: whose receipts count, where there are ledgers."""
    if not ledgers:
        return TRUST_TOML + "# There is no [[ledger]] as yet: with the first come [policy] and the ledger's own key.\n"
    names = ", ".join(f'"{name}"' for name in ledgers)
    return f"{TRUST_TOML}{TRUST_LEDGER_TOML}ledgers = [{names}]\n"
