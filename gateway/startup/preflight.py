"""Preflight: keys, trust file, ledger access and ports, checked before anything starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gateway.anchoring.ledger_drivers import check_accounts, check_ledger_access, check_ledger_keys, trust_of
from gateway.config.device_keys import Keys, load_keys
from gateway.config.feed import check_feeds
from gateway.config.model import Config
from gateway.config.notify import check_notify
from gateway.dashboard.auth import exposure
from gateway.errors import GatewayError
from gateway.evidence.key_match import demand_listed, demand_match
from gateway.fieldbus.polling.open_line import check_port, holds, open_files
from gateway.fieldbus.wire.errors import PortMissing
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process.file_owner import demand_folder
from gateway.process.open_files import allow, may_open
from gateway.startup import line_plan, meter_places
from gateway.startup.line_plan import LinePlan
from gateway.startup.line_specs import line_specs
from gateway.startup.tls_files import check_tls_files, expired, role_missing
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.agent")


FILES_BESIDE = 256
"""Files that a gateway may have open beside those of its lines: database, pages, feeds, ledgers."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A configuration with its keys, the trust file, and its lines with their plans."""

    config: Config
    keys: Keys
    trust: Trust
    specs: Sequence[LineSpec]
    plans: Sequence[LinePlan]


def prepare(
    config: Config,
    ports_in_use: Collection[str] = (),
    *,
    running: int | None = None,
    may_be_missing: bool = False,
    all_listed: bool = False,
) -> Ready:
    """Checked configuration, with keys, trust file, lines and plans. Plans that cannot work are left to
    ``line_plan.refuse``, so that a command can show them first.

    Args:
        config: the configuration.
        ports_in_use: serial ports that this process has open.
        running: the pid of the running gateway, whose open ports are not in the way; a gateway gives its own for the
            addresses at which it listens.
        may_be_missing: an adapter that is not plugged in is logged only; its line opens when it appears. So is a bus's
            certificate that has expired.
        all_listed: every key must be in the trust file; without it an alarm reports a missing one.

    Raises:
        GatewayError: keys, trust file, access, feeds, receivers or pages cannot be used, or the process may not open as
            many files as its lines may need.
        PortError: a port cannot be used.
    """
    demand_folder(config.data, "data")
    keys, trust = load_keys(config), trust_of(config)
    demand_match(config, keys, trust)
    if all_listed:
        demand_listed(config, keys, trust)
    check_ledger_keys(config, trust)
    check_ledger_access(config)
    check_accounts(config)
    check_feeds(config.path, config.document.feed)
    check_notify(config.path, config.document.notify)
    exposure.check(config)
    check_tls_files(config)
    for ended in expired(config, int(time.time())):
        if not may_be_missing:
            raise ended
        log.error("%s", ended)
    specs = line_specs(config)
    demand_files(specs, running)
    for spec in specs:
        if spec.port in ports_in_use or holds(running, spec):
            continue
        try:
            check_port(spec)
        except PortMissing as error:
            if not may_be_missing:
                raise
            log.error("%s: %s", spec.name, error)
    plans = meter_places.with_renamed(config.data, specs, [_plan(spec) for spec in specs])
    return Ready(config, keys, trust, specs, plans)


def demand_files(specs: Sequence[LineSpec], running: int | None = None) -> None:
    """Refuse lines that may need more open files than this process may have; ``running``: than that one. Raises
    GatewayError."""
    _demand_files(specs, may_open(running))


def allow_files(specs: Sequence[LineSpec]) -> None:
    """Let this process open as many files as these lines may need. Raises GatewayError if it may not."""
    _demand_files(specs, allow(FILES_BESIDE + sum(map(open_files, specs))))


def _demand_files(specs: Sequence[LineSpec], limit: int) -> None:
    needed = FILES_BESIDE + sum(map(open_files, specs))
    if needed > limit:
        lines = tuple(spec.name for spec in specs if open_files(spec) > 1)
        raise GatewayError(Message("files-limit", limit=limit, needed=needed, lines=lines))


def _plan(spec: LineSpec) -> LinePlan:
    plan, role = line_plan.line_plan(spec), role_missing(spec)
    return plan if role is None else replace(plan, warnings=(*plan.warnings, role))
