"""Choice of the meters to commission: those of gateway.toml, and units that a scan found and it does not have."""

from __future__ import annotations

from collections.abc import Iterator

import click

from gateway.commissioning.scan.found import ScanResult
from gateway.commissioning.wizard import findings
from gateway.commissioning.wizard.findings import Finding
from gateway.commissioning.wizard.progress import Progress, ProgressFile, kept
from gateway.config.model import Config
from gateway.devices.points import ProfileError
from gateway.devices.profile import load_profile
from gateway.errors import GatewayError
from gateway.key_errors import closest

ALL, FOUND, SCAN = "all", "found", "scan"


def meters(config: Config) -> Iterator[str]:
    """The names of the meters to go through, one after the other."""
    new = findings.unconfigured(findings.found(config.data), config)
    begun = kept(config.data)
    for name, entry in config.meters.items():
        state = "  (begun)" if name in begun else ""
        click.echo(f"  {name}: {config.profiles[name].device}, address {entry.address}{state}")
    for name in begun:
        if name not in config.meters:
            click.echo(f"  {name}: new  (begun)")
    for one in new:
        click.echo(f"  address {one.unit.address} on {one.where}: found, {_may_be(one)}")
    while True:
        found = f"{FOUND}: what is not configured yet; " if new else ""
        given = click.prompt(f"which meter ({ALL}: one after the other; {found}{SCAN}: look for more)", default=ALL)
        if given == ALL:
            yield from config.meters
            yield from _added(new, config)
            return
        if given in (FOUND, SCAN):
            yield from _added(new if given == FOUND else _scanned(config), config)
            return
        if given in config.meters or given in begun:
            yield given
            return
        other = closest(given, (*config.meters, *begun, ALL, FOUND, SCAN))
        click.echo(f"there is no {given}" + (f": did you mean {other}?" if other else ""))


def _added(new: list[Finding], config: Config) -> Iterator[str]:
    """Each unit that is to be a meter, by the name that it is given."""
    for one in new:
        click.echo(f"a device answers at address {one.unit.address} on {one.where}: {_may_be(one)}")
        profile = _profile(one, config)
        if not profile:
            continue
        fields = findings.added(one, profile, config)
        name = click.prompt("its name in records, for good", default=fields["meter"]["name"])
        fields["meter"]["name"] = name
        file = ProgressFile(config.data, name)
        file.save(Progress(name, added=fields))
        yield name


def _profile(one: Finding, config: Config) -> str:
    """The profile that somebody names; "" leaves the unit out."""
    default = one.unit.candidates[0].profile if one.unit.candidates else "none"
    while True:
        given = str(click.prompt("its profile (none: leave it out)", default=default))
        if given == "none":
            return ""
        try:
            load_profile(given, config.path.parent)
        except ProfileError as error:
            click.secho(str(error), fg="yellow")
        else:
            return given


def _may_be(one: Finding) -> str:
    found = [f"{c.profile} ({c.confidence:.0%})" for c in one.unit.candidates[:3]]
    return f"it may be {', '.join(found)}" if found else "no profile fits it"


def _scanned(config: Config) -> list[Finding]:
    """What a scan finds now that the configuration does not have."""
    while True:
        target = str(click.prompt("a port, rfc2217://HOST:PORT, or an address with its port, such as 10.0.0.7:502"))
        try:
            result = _scan(target)
        except GatewayError as error:  # mistyped, or no adapter there
            click.secho(str(error), fg="yellow")
            continue
        findings.keep(config.data, result)
        return findings.unconfigured(result, config)


def _scan(target: str) -> ScanResult:
    from gateway.cli.commissioning.scan import scanned
    from gateway.cli.commissioning.scan_view import ScanView
    from gateway.commissioning.scan.settings import ScanOptions
    from gateway.commissioning.scan.tcp_scan import TcpOptions

    host, _, number = target.rpartition(":")
    over_tcp = host and number.isdecimal() and "/" not in target
    where, port = (host, int(number)) if over_tcp else (target, 502)
    result, _ = scanned((where,), ScanOptions(), port, TcpOptions(), ScanView(as_json=False))
    return result
