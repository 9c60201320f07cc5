import time
from pathlib import Path

from ledger_client import TrustFileError, VerificationError, demand_in_force, load_trust, verify

now = int(time.time())
try:
    trust = load_trust("trust.toml")
    demand_in_force(trust, now)
    proven = verify(Path("reading.mseal").read_bytes(), trust, now, kind="reading")
except TrustFileError as error:
    raise SystemExit(f"trust file: {error}") from None
except VerificationError as error:
    raise SystemExit(f"not verified, step {error.step}: {error.detail}") from None
print(proven.gateway, proven.meter, proven.time_ms, proven.no_later_than)
for value in proven.values:
    print(value.name, value.value, value.unit, value.quality)
