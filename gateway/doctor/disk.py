"""Doctor checks of the disk: free space, file system, sync speed, wear."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.disk_space import Limits, Space
from gateway.storage.capacity.forecast import bytes_a_record

SYNC_FOR_S, MOST_SYNCS, SYNC_BYTES = 1.2, 300, 8192
WRITE_FOR_S, MOST_WRITTEN, CHUNK = 0.5, 8, 1024 * 1024
NEEDED_FREE = 64 * 1024 * 1024
LYING_S = 0.0001
"""A sync faster than this has not reached the medium (docs/storage.md)."""
SLOW_S, TOO_SLOW_S = 0.25, 2.0
MEASURED_AFTER_S = 120
PAGE = 4120  # bytes of the log for one page of the database: 4096 and its head
PAGES_A_COMMIT = 4
"""Pages that a commit changes beside those of its records: ends of tables and indexes. Each is written to the log, and
half of them a second time when the log is copied into the database."""
CYCLES, CHEAP_CYCLES, AMPLIFIED = 3000, 500, 4
"""How often the cells of a good and of a cheap card can be written, and how many bytes a card writes inside for each
that it is given in small synced writes: assumptions, named in the finding, since no card reports them."""
FEW_YEARS = 5
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs")


def room(case: CheckContext) -> Iterator[Finding]:
    """Check free space, and the space that the database may still use."""
    limits, disk = Limits.of(case.config), os.statvfs(case.folder)
    if case.store is not None:
        now = disk_space.measure(case.store, limits)
    else:
        free = disk.f_bavail * disk.f_frsize
        now = Space(0, free, min(limits.max_bytes, max(0, free - disk_space.apart(disk, limits))))
    facts = {"free": now.free, "used": now.used, "limit": now.limit, "disk": disk.f_blocks * disk.f_frsize}
    folder, disk_bytes = str(case.folder), facts["disk"]
    room = Message(
        "disk-room",
        folder=folder, disk_bytes=disk_bytes, free_bytes=now.free, used_bytes=now.used, limit_bytes=now.limit,
    )  # fmt: skip
    if now.share >= 1 or now.limit < NEEDED_FREE:
        yield Finding("disk space", "bad", Message("disk-no-room", room=room), facts)
    elif now.share >= disk_space.THINNING[-1][0]:
        yield Finding("disk space", "warn", Message("disk-nearly-full", room=room), facts)
    elif disk.f_files and disk.f_favail < 100:
        names = Message(
            "disk-no-files", folder=folder, disk_bytes=disk_bytes, free_bytes=now.free, n=disk.f_favail
        )  # fmt: skip
        yield Finding("disk space", "bad", names, facts)
    else:
        yield Finding("disk space", "ok", room, facts)


class Mount(NamedTuple):
    """Mount of a file system: kind, device, mount point, options."""

    kind: str
    source: str
    point: str
    options: str


def mount_of(folder: Path, table: str) -> Mount | None:
    """The mount of a folder, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    device = os.stat(folder).st_dev
    number, found = f"{os.major(device)}:{os.minor(device)}", None
    for line in table.splitlines():
        fields, _, more = line.partition(" - ")
        parts, kinds = fields.split(), more.split()
        if len(parts) > 5 and len(kinds) > 1 and parts[2] == number:
            mount = Mount(kinds[0], kinds[1], parts[4], parts[5])
            if found is None or (str(folder).startswith(mount.point) and len(mount.point) >= len(found.point)):
                found = mount
    return found


def kind(case: CheckContext, table: Path = Path("/proc/self/mountinfo")) -> Iterator[Finding]:
    """Check that the file system keeps a database safe in a power cut."""
    mount = mount_of(case.folder, table.read_text())
    if mount is None:
        return
    facts = mount._asdict()
    where = Message("disk-filesystem", kind=mount.kind, source=mount.source, point=mount.point)
    if mount.kind in ("tmpfs", "ramfs"):
        yield Finding("file system", "bad", Message("disk-in-memory", where=where), facts)
    elif mount.kind in REMOTE or mount.kind.startswith("fuse."):
        yield Finding("file system", "bad", Message("disk-remote", where=where), facts)
    elif "ro" in mount.options.split(","):
        yield Finding("file system", "bad", Message("disk-read-only", where=where, point=mount.point), facts)
    else:
        yield Finding("file system", "ok", where, facts)


def speed(case: CheckContext) -> Iterator[Finding]:
    """Check the time of a sync and the write rate, in an unnamed temporary file."""
    disk = os.statvfs(case.folder)
    if disk.f_bavail * disk.f_frsize < NEEDED_FREE:
        yield Finding("disk speed", "warn", Message("disk-speed-not-measured", needed_bytes=NEEDED_FREE))
        return
    try:
        with tempfile.TemporaryFile(dir=case.folder, buffering=0) as file:
            syncs = sorted(_syncs(file))
            written, seconds = _writes(file)
    except OSError as error:
        failed = Message("disk-not-writable", folder=str(case.folder), error=os_error(error))
        yield Finding("disk speed", "bad", failed)
        return
    middle, late = syncs[len(syncs) // 2], syncs[min(len(syncs) - 1, len(syncs) * 99 // 100)]
    facts = {
        "syncs": len(syncs),
        "fsync_p50_ms": round(middle * 1000, 3),
        "fsync_p99_ms": round(late * 1000, 3),
        "write_mb_s": round(written / seconds / 1e6, 1),
    }
    speed = Message(
        "disk-speed", p50_ms=_ms(middle), p99_ms=_ms(late), n=len(syncs), rate_bytes=round(written / seconds)
    )
    if middle < LYING_S:
        yield Finding("disk speed", "warn", Message("disk-too-fast", speed=speed), facts)
    elif late > TOO_SLOW_S:
        yield Finding("disk speed", "bad", Message("disk-too-slow", speed=speed), facts)
    elif late > SLOW_S:
        yield Finding("disk speed", "warn", Message("disk-slow", speed=speed), facts)
    else:
        yield Finding("disk speed", "ok", speed, facts)


def _ms(seconds: float) -> str:
    """Milliseconds in three digits."""
    return f"{seconds * 1000:.3g}"


def _syncs(file: IO[bytes]) -> Iterator[float]:
    """Durations in seconds of small synced writes, as a commit does them."""
    data, end = os.urandom(SYNC_BYTES), time.monotonic() + SYNC_FOR_S
    for _ in range(MOST_SYNCS):
        file.write(data)
        before = time.monotonic()
        os.fdatasync(file.fileno())
        after = time.monotonic()
        yield after - before
        if after > end:
            return


def _writes(file: IO[bytes]) -> tuple[int, float]:
    """(bytes, seconds) of some large synced writes."""
    data, before, written = os.urandom(CHUNK), time.monotonic(), 0
    while written < MOST_WRITTEN * CHUNK:
        written += file.write(data)
        os.fdatasync(file.fileno())
        if time.monotonic() - before > WRITE_FOR_S:
            break
    return written, max(time.monotonic() - before, 1e-6)


def wear(case: CheckContext) -> Iterator[Finding]:
    """Check the bytes written in a day, and the life of a flash card at that rate."""
    measured = written_by(case.pid) if case.pid is not None else None
    a_day = measured[0] / measured[1] * 86400 if measured else estimated_a_day(case)
    disk = os.statvfs(case.folder)
    whole = disk.f_blocks * disk.f_frsize
    years = [whole * cycles / (a_day * AMPLIFIED * 365) for cycles in (CYCLES, CHEAP_CYCLES)]
    how = Message("wear-measured", span_s=round(measured[1])) if measured else Message("wear-estimated")
    facts = {
        "bytes_a_day": round(a_day),
        "measured": bool(measured),
        "disk": whole,
        "cycles": CYCLES,
        "amplification": AMPLIFIED,
        "years": round(years[0], 1),
    }
    wear = Message(
        "disk-wear",
        day_bytes=round(a_day), how=how, disk_bytes=whole, amplification=AMPLIFIED,
        cycles=CYCLES, years=_years(years[0]), cheap_cycles=CHEAP_CYCLES, cheap_years=_years(years[1]),
    )  # fmt: skip
    if years[0] < FEW_YEARS:
        yield Finding("disk wear", "warn", Message("disk-wear-soon", wear=wear), facts)
    else:
        yield Finding("disk wear", "ok", wear, facts)


def _years(years: float) -> Message:
    if years > 100:
        return Message("wear-over-100-years")
    about = f"{years:.{0 if years >= 10 else 1}f}"
    return Message("wear-about-years", years=about)


def written_by(pid: int) -> tuple[int, float] | None:
    """(bytes that a process has written to disks, its age in seconds); None where /proc does not report it, or the
    process is too young to measure (proc_pid_io(5), proc_pid_stat(5))."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    written = {key: int(value) for key, value in (line.split(": ") for line in lines)}.get("write_bytes", 0)
    age = up - started / os.sysconf("SC_CLK_TCK")
    return (written, age) if written and age >= MEASURED_AFTER_S else None


def estimated_a_day(case: CheckContext) -> float:
    """Bytes a day by the configuration: records, and the other pages that each commit changes."""
    document = case.config.document
    polls = sum(86_400_000 / meter.every for meter in case.config.meters.values())
    seals = 86_400_000 / document.seal.every
    records = polls + seals * len(case.config.meters)
    commits = min(86_400_000 / document.store.commit_every, polls) + 3 * seals
    each = (bytes_a_record(case.store) if case.store else 0) or 600
    return (records * each + commits * PAGES_A_COMMIT * PAGE) * 1.5
