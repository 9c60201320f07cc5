"""What is shown of the installed package, step by step; each raises Failed or AssertionError where it does not hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.installed.machine import until
from benchmarks.installed.package_site import CONFIG, GATEWAY, PAGES, STATE, UNIT, Site
from ledger_client.formats.record import parse_record

Step = Callable[[], dict[str, object]]
WATCHDOG_S = 30.0  # as the unit has it
HANG_WITHIN_S = 300.0
HELD = f"{STATE}/held"
VOLATILE = (
    "/dev", "/proc", "/sys", "/run", "/tmp", "/srv", "/root", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
    "/var/lib/systemd", "/var/tmp", "/var/backups", "/etc/credstore",
)  # fmt: skip
ACCOUNTS = re.compile(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.(pwd|updated).*")
PROBE = """\
import ctypes, errno, sys
sys.path[:0] = __import__("glob").glob("/opt/meterseal/lib/python3*/site-packages")
from gateway.clock import Clock, kernel_clock
libc = ctypes.CDLL(None, use_errno=True)
result = libc.adjtimex(ctypes.byref((ctypes.c_byte * 1024)()))
print("adjtimex", "answers" if result >= 0 else errno.errorcode[ctypes.get_errno()], kernel_clock(), Clock().letter())
"""


def files(site: Site) -> set[str]:
    """Every file and folder of the machine that a package might have put there."""
    listed = site.machine.run("find", "/", "-xdev").splitlines()
    return {path for path in listed if not path.startswith(VOLATILE) and not ACCOUNTS.match(path)}


def as_before(site: Site, clean: set[str]) -> None:
    """The machine is as it was: nothing is left, nothing is gone, and the gateway's user is no more."""
    found = files(site)
    assert found == clean, sorted(found ^ clean)[:20]
    assert site.machine.ask("id", "meterseal").returncode != 0, "the gateway's user is still there"


def installed(site: Site, package: Path) -> dict[str, object]:
    """It installs without a network, knows its user and folders, and waits for a configuration."""
    site.install(package)
    run = site.machine.run
    assert run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert site.active() is None, "it runs without a configuration"
    assert "dialout" in run("id", "-nG", "meterseal").split()
    assert run("stat", "-c", "%U %a", STATE).split() == ["meterseal", "700"]
    assert run("meterseal", "--version").strip().startswith("meterseal")
    run("systemd-analyze", "verify", UNIT)
    exposure = re.search(r"level for .*: ([\d.]+)", run("systemd-analyze", "security", "--no-pager", UNIT))
    assert exposure is not None
    return {"installed": True, "exposure": float(exposure[1])}


def started(site: Site) -> dict[str, object]:
    """READY=1 makes it active; it reads, signs, and anchors over mutual TLS with keys that are systemd credentials."""
    began = time.monotonic()
    site.machine.run("systemctl", "start", UNIT)
    state, seconds = site.active(), time.monotonic() - began
    assert state is not None
    assert state["Type"] == "notify"
    assert "recording" in state["StatusText"], state
    site.goes_on()
    proven = site.machine.run("meterseal", "prove", CONFIG, "export-main", "-o", "/srv/reading.mseal")
    verified = json.loads(
        site.machine.run(
            "meterseal-ledger", "verify", "/srv/reading.mseal", "--trust", "/etc/meterseal/trust.toml", "--json"
        )
    )
    assert verified["verified"] is True, (proven, verified)
    status = site.status()
    assert status["healthy"], status["problems"]
    fetch = f"from urllib.request import urlopen; print(urlopen('http://{PAGES}' + '%s').read().decode())"
    paths = ("/", "/static/style.css", "/healthz")
    page, style, health = (site.machine.run("python3", "-c", fetch % path) for path in paths)
    assert GATEWAY in page, page
    assert "color" in style, style
    assert health.strip() == "ok", health
    facts: dict[str, object] = {"active_by_notify": True, "start_s": seconds}
    return facts | {"reads_signs_and_anchors_over_tls": True, "pages_are_served": True}


def clock(site: Site) -> dict[str, object]:
    """adjtimex answers under this unit; where a filter refuses it, the clock is unknown to be good and nothing ends."""
    allowed = site.under_the_unit(PROBE)
    refused = site.under_the_unit(PROBE, without="SystemCallFilter=adjtimex")
    letters = {parse_record(data).claims.clock for data in site.records()}
    assert "adjtimex answers" in allowed, allowed
    assert "adjtimex EPERM KernelClock(synchronised=False, error_ms=None)" in refused, refused
    facts = {"clock_state_is_read": True, "clock_letters": "".join(sorted(letters))}
    return facts | {"refused_adjtimex_is_no_error": True}


def reloaded(site: Site) -> dict[str, object]:
    """`systemctl reload` takes a changed configuration over, without another process."""
    before, path = site.state(), site.machine.path(CONFIG)
    path.write_text(path.read_text().replace('every = "5s"', 'every = "4s"', 1))
    site.machine.run("systemctl", "reload", UNIT)
    site.goes_on()
    after = site.state()
    assert after["MainPID"] == before["MainPID"], after
    assert f"the gateway now uses {CONFIG}" in site.journal(UNIT)
    return {"reloads": True}


def killed(site: Site) -> dict[str, object]:
    """A killed process comes back."""
    before, began = site.state(), time.monotonic()
    site.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)
    site.again(before, 60)
    return {"killed_comes_back": True, "killed_back_s": time.monotonic() - began}


def hung(site: Site) -> dict[str, object]:
    """A writer that hangs in a commit, while everything else goes on, is noticed; another process takes its place."""
    site.drop_in(f'[Service]\nEnvironment="METERSEAL_HOLD=commit:5:{HELD}"\n')
    site.machine.run("systemctl", "restart", UNIT)
    until("the writer to hang", site.machine.path(HELD).exists)
    before, began = site.state(), time.monotonic()
    site.drop_in(None)
    site.again(before, HANG_WITHIN_S)
    site.machine.run("rm", HELD)
    journal = site.journal(UNIT)
    assert "the watchdog is not fed: recorder" in journal, journal[-2000:]
    assert "Watchdog timeout" in journal, journal[-2000:]
    assert re.search(r"gateway/process/failpoints\.py.*in failpoint", journal), "the journal does not say where it hung"
    return {"hung_writer_comes_back": True, "hung_writer_back_s": time.monotonic() - began}


def stopped(site: Site) -> dict[str, object]:
    """So does a process that hangs as a whole."""
    before, began = site.state(), time.monotonic()
    site.machine.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", UNIT)
    site.again(before, HANG_WITHIN_S)
    return {"hung_process_comes_back": True, "hung_process_back_s": time.monotonic() - began}


def away(site: Site) -> dict[str, object]:
    """Ledger and all meters away for three times the watchdog's time: no restart, and it goes on when they are back."""
    before = site.state()
    site.stop("plant", "ledger")
    time.sleep(3 * WATCHDOG_S)
    during = site.state()
    site.start_ledger()
    site.start_plant()
    site.goes_on()
    after = site.state()
    for state in (during, after):
        assert (state["MainPID"], state["NRestarts"]) == (before["MainPID"], before["NRestarts"]), (before, state)
    assert during["ActiveState"] == "active"
    return {"away_without_restart": True, "away_s": 3 * WATCHDOG_S, "away_status": during["StatusText"]}


def without_meters(site: Site) -> dict[str, object]:
    """A start with the serial adapter unplugged and no ledger: ready all the same, and all the rest is read."""
    site.stop("plant", "ledger")
    began = time.monotonic()
    done = site.machine.ask("systemctl", "restart", UNIT)
    seconds, state = time.monotonic() - began, site.active()
    site.start_ledger()
    site.start_plant()
    assert done.returncode == 0, done.stderr
    assert state is not None, site.journal(UNIT)[-2000:]
    site.goes_on()
    return {"starts_without_meters_and_ledger": True, "start_without_s": seconds}


def demo(site: Site) -> dict[str, object]:
    """The demonstration runs from the package, for any user."""
    command = "cd /tmp && exec meterseal demo --for 30s --dir /tmp/demonstration --json"
    summary = json.loads(site.machine.run("runuser", "-u", "nobody", "--", "sh", "-c", command))
    assert summary["verified"], summary
    assert summary["lost"] == 0, summary
    return {"demo_runs": True, "demo_records": summary["records"]}


def upgraded(site: Site, package: Path, folder: Path) -> dict[str, object]:
    """An upgrade while it records: every record is still there, byte for byte, and every signature holds."""
    old = site.machine.run("dpkg-query", "-W", "-f", "${Version}", "meterseal")
    site.goes_on()
    before = site.records()
    began = time.monotonic()
    site.install(package)
    seconds = time.monotonic() - began
    assert site.active() is not None, "it is not started again"
    times = site.machine.show(UNIT, "ActiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    away_us = int(times["ActiveEnterTimestampMonotonic"]) - int(times["ActiveExitTimestampMonotonic"])
    site.goes_on()
    new = site.machine.run("dpkg-query", "-W", "-f", "${Version}", "meterseal")
    assert new != old, new
    missing = before - site.records()
    assert not missing, f"{len(missing)} records are gone"
    site.machine.run("systemctl", "stop", UNIT)
    site.check_books(folder)
    return {
        "upgrade_keeps_every_record": True, "upgraded": f"{old} → {new}", "upgrade_s": seconds,
        "upgrade_without_recording_s": away_us / 1e6,
        "records_before_upgrade": len(before), "signatures_verify": True,
    }  # fmt: skip


def purged(site: Site, package: Path, clean: set[str]) -> dict[str, object]:
    """A purge takes what was installed and keeps keys and records; typed for, they go, and then nothing is left."""
    run, ask = site.machine.run, site.machine.ask
    records = site.records()
    output = run("apt-get", "purge", "-y", "meterseal")
    left = files(site) - clean
    strangers = [path for path in left if not path.startswith((STATE, "/etc/meterseal"))]
    assert not strangers, strangers
    assert f"{STATE} holds keys or records, so it is kept" in output, output
    kept = site.records()
    assert records <= kept
    site.install(package)
    run("systemctl", "stop", UNIT)
    wrong = ask("meterseal", "uninstall", "--data", text="another-gateway\n")
    assert wrong.returncode == 1, wrong
    assert kept <= site.records()
    right = ask("meterseal", "uninstall", "--data", text=f"{GATEWAY}\n")
    assert right.returncode == 0, right
    assert not site.machine.path(STATE).exists()
    run("apt-get", "purge", "-y", "meterseal")
    as_before(site, clean)
    return {"purge_keeps_keys_and_records": True, "data_goes_when_the_id_is_typed": True, "purge_leaves_nothing": True}


def from_wheels(site: Site, package: Path, clean: set[str]) -> dict[str, object]:
    """Without the package: `meterseal install` makes the same service of an environment, `uninstall` undoes it."""
    run, ask = site.machine.run, site.machine.ask
    run("dpkg-deb", "--extract", f"/srv/{package.name}", "/srv/unpacked")
    run("mv", "/srv/unpacked/opt/meterseal", "/opt/meterseal")
    meterseal = "/opt/meterseal/bin/meterseal"
    shown = run(meterseal, "install", "--yes")
    assert "+Type=notify" in shown, shown
    run(meterseal, "init", "/etc/meterseal", "--state", STATE, "--id", GATEWAY)
    run("systemctl", "start", UNIT)
    assert site.active() is not None, site.journal(UNIT)[-2000:]
    gone = ask(meterseal, "uninstall", "--yes", "--data", text=f"{GATEWAY}\n")
    assert gone.returncode == 0, gone
    run("rm", "-r", "/opt/meterseal", "/etc/meterseal")
    as_before(site, clean)
    return {"install_and_uninstall_from_wheels": True}


def all_steps(site: Site, previous: Path, package: Path, folder: Path, clean: set[str]) -> Iterator[tuple[str, Step]]:
    """The steps in order, as (name, what does it); ``clean``: the machine's files before the first of them."""
    yield "install", lambda: installed(site, previous)
    yield "configure", site.configure
    yield "start", lambda: started(site)
    yield "clock", lambda: clock(site)
    yield "reload", lambda: reloaded(site)
    yield "killed", lambda: killed(site)
    yield "stopped", lambda: stopped(site)
    yield "hung", lambda: hung(site)
    yield "away", lambda: away(site)
    yield "without", lambda: without_meters(site)
    yield "upgrade", lambda: upgraded(site, package, folder / "books")
    yield "demo", lambda: demo(site)
    yield "purge", lambda: purged(site, package, clean)
    yield "from_wheels", lambda: from_wheels(site, package, clean)
