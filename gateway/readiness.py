"""Is all there that a configuration needs? Everything is looked at before anything of it is started."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway import budget
from gateway.budget import LinePlan
from gateway.config import Config
from gateway.drivers import check_accounts, check_ledger_access, check_ledger_keys, trust_of
from gateway.fieldbus.bus import LineSpec, check_port
from gateway.keys import Keys, load_keys
from gateway.lines import line_specs
from ledger_client.trust import Trust


@dataclass(frozen=True, slots=True)
class Ready:
    """A configuration with its keys, the trust file, and its lines with their plans."""

    config: Config
    keys: Keys
    trust: Trust
    specs: Sequence[LineSpec]
    plans: Sequence[LinePlan]


def prepare(config: Config, ports_in_use: Collection[str] = ()) -> Ready:
    """Look at everything. ``ports_in_use`` are ours already. Raises GatewayError or PortError: what, where, way out.

    Plans that cannot work are for ``budget.refuse``: a command shows them first.
    """
    keys, trust = load_keys(config), trust_of(config)
    check_ledger_keys(config, trust)
    check_ledger_access(config)
    check_accounts(config)
    specs = line_specs(config)
    for spec in specs:
        if spec.port not in ports_in_use:
            check_port(spec)
    return Ready(config, keys, trust, specs, budget.line_plans(specs))
