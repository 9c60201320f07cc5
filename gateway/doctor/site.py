"""Doctor checks of file permissions, of the ports of the lines, and of the keys."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from gateway.commissioning import line_specs
from gateway.config.device_keys import STATEMENT, key_files
from gateway.doctor.finding import CheckContext, Finding, at_once, connect
from gateway.errors import GatewayError
from gateway.fieldbus.line import holds
from gateway.fieldbus.modbus import serial_port
from gateway.fieldbus.specs import LineSpec
from gateway.process.file_owner import is_there
from gateway.recording.key_match import copy_entry
from ledger_client.errors import KeyFileError
from ledger_client.formats.cose_key import Signer, load_private_key
from ledger_client.times import rfc3339
from ledger_client.verification.trust import Trust

SOON_S = 30 * 86_400


def permissions(case: CheckContext) -> Iterator[Finding]:
    """Whether this user may write the data, and nobody else may read the keys."""
    name, data, config = "permissions", case.config.data, case.config
    user = _user(os.geteuid())
    found = []
    if not data.exists():
        if not os.access(case.folder, os.W_OK | os.X_OK):
            text = f"{data} is not there, and {user} cannot make it in {case.folder}"
            found.append(Finding(name, "bad", text, f"make it, and give it to the gateway's user: chown {user} {data}"))
    else:
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            text = f"{user} may not write in {data}, which belongs to {_owner(data)}"
            found.append(Finding(name, "bad", text, f"use the gateway's own user, or: chown -R {user} {data}"))
        owners = {_owner(path) for path in [data, *data.glob("meterseal.*")]}
        if len(owners) > 1:
            text = f"the files in {data} belong to several users ({', '.join(sorted(owners))}), who keep each other out"
            found.append(Finding(name, "warn", text, f"give them to the gateway's user: chown -R USER {data}"))
    if config.keys.is_dir() and (mode := config.keys.stat().st_mode & 0o777) & 0o022:
        text = f"{config.keys} has mode {mode:04o}: others can replace the private keys in it"
        found.append(Finding(name, "bad", text, f"chmod 700 {config.keys}"))
    yield from found or [Finding(name, "ok", f"{user} may write in {data}, and only its owner in {config.keys}")]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(path: Path) -> str:
    return _user(path.stat().st_uid)


def ports(case: CheckContext) -> Iterator[Finding]:
    """Whether every line's port or host is there."""
    specs = line_specs.line_specs(case.config)
    alarms = case.store.alarms.open() if case.store is not None and case.pid is not None else []
    for spec, finding in zip(specs, at_once(lambda spec: _port(case, spec), specs), strict=True):
        told = [row.text for row in alarms if row.active and not row.shelved and row.line == spec.name]
        if told and finding.result == "ok":
            yield Finding(finding.check, "warn", f"{finding.text}; it says: {told[0]}", "see `meterseal status CONFIG`")
        else:
            yield finding


def _port(case: CheckContext, spec: LineSpec) -> Finding:
    name = f"line {spec.name}"
    if spec.port is None:
        return _host(case, name, spec)
    if holds(case.pid, spec):
        text = f"{spec.port} is open, by the gateway (pid {case.pid})"
    else:
        try:
            serial_port.check(spec.port)
        except GatewayError as error:
            return Finding(name, "bad", error.problem, error.way_out)
        text = f"{spec.port} is there and free"
    if warning := serial_port.warning(spec.port):
        return Finding(name, "warn", f"{text}. {warning}", "ls -l /dev/serial/by-id /dev/serial/by-path")
    return Finding(name, "ok", text)


def _host(case: CheckContext, name: str, spec: LineSpec) -> Finding:
    where = f"{spec.host} port {spec.tcp_port}"
    if case.pid is not None:
        return Finding(name, "ok", f"{where} is left to the running gateway: many converters take one connection only")
    problem = connect(str(spec.host), int(spec.tcp_port or 0))
    if problem:
        way_out = "look at power, network and address; `meterseal check` shows what is configured"
        return Finding(name, "bad", f"{where} cannot be reached: {problem}", way_out)
    return Finding(name, "ok", f"{where} takes connections")


def keys(case: CheckContext) -> Iterator[Finding]:
    """Whether every private key is there, and the trust file knows it and believes it now."""
    if case.trust_trouble is not None:
        error = case.trust_trouble
        words = (error.source, error.key, error.problem)
        yield Finding("trust file", "bad", ": ".join(filter(None, words)), error.way_out)
    good, bad = 0, False
    for name, path in key_files(case.config).items():
        finding = _key(case, name, path)
        good += finding is None
        if finding is not None:
            bad = bad or finding.result == "bad"
            yield finding
    if not bad:
        known = f", all of them in {case.config.trust}" if case.trust is not None else ""
        yield Finding("keys", "ok", f"{good} private keys in {case.config.keys}, for their owner only{known}")


def _key(case: CheckContext, name: str, path: Path) -> Finding | None:
    whose = "statement key" if name == STATEMENT else f"key of meter {name}"
    try:
        key = load_private_key(path)
    except KeyFileError as error:
        missing = f"meterseal keys {case.config.path} --make-missing"
        return Finding(
            "keys", "bad", f"{whose}: {error.problem} ({path})", error.way_out if is_there(path) else missing
        )
    return _believed(case, case.trust, whose, name, key) if case.trust is not None else None


def _believed(case: CheckContext, trust: Trust, whose: str, name: str, key: Signer) -> Finding | None:
    config, now_s = case.config, case.now_ms // 1000
    role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
    entry = trust.find(role, gateway=config.gateway_id, meter=meter, kid=key.public.kid)
    if entry is None:
        text = f"{whose}: {config.trust} has no entry for it, so that nothing signed with it can be verified"
        return Finding("keys", "bad", text, copy_entry(config))
    renew = "make a new key, add it to the trust file, and hand it to ledger and verifiers"
    if entry.revoked is not None and entry.revoked <= now_s:
        return Finding("keys", "bad", f"{whose}: was revoked at {rfc3339(entry.revoked)}", renew)
    if now_s < entry.valid_from:
        text = f"{whose}: counts only from {rfc3339(entry.valid_from)} on"
        return Finding("keys", "bad", text, "look at the clock, or at valid_from in the trust file")
    if entry.valid_to is not None and entry.valid_to - now_s < SOON_S:
        over = entry.valid_to <= now_s
        return Finding("keys", "bad" if over else "warn", f"{whose}: counts until {rfc3339(entry.valid_to)}", renew)
    return None
