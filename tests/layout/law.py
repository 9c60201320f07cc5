"""The law of the four packages: the order of their rooms, the walls between them, and what is said to a breach.

A room is a folder. It may import the rooms that stand before it in ``ORDER``, as docs/architecture.md lists them; the
first ones are the ground. Where more than the order is wanted there is a wall: what some modules may not import, or
not even reach through others, or which names they may not use, and why. The law says what may be, not what is: a new
import that goes downward and through no wall needs no entry here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.layout.source_tree import Module, Tree, within

ORDER: dict[str, tuple[str, ...]] = {
    "ledger_client": (
        ".",
        # evidence
        "formats",
        "claims",
        "verification",
        "audit",
        "enrolment",
        "verifier_page",
        # ledger
        "contracts",
        "transport",
        "tokens",
        "http_server",
        "ledgers",
        "ledgers.evm",
        "transparency.log",
        "transparency.policy",
        "transparency.ledger",
        "transparency.witness",
        "transparency.server",
        "bridge",
        # carbon
        "accounting.formats",
        "accounting",
        "accounting.tables",
        "inputs",
        "recompute",
        "certificates",
        "certificates.holding",
        "certificates.mcert",
        "balance",
        "balance.page",
        # what people call
        "online",
        "cli.terminal",
        "cli.certificates",
        "cli",
    ),
    "gateway": (
        "messages",
        ".",
        "process",
        "api.shapes",
        "dashboard.shell.time",
        "dashboard.shell",
        "devices.knowledge",
        "devices",
        "config",
        "fieldbus.wire",
        "fieldbus.modbus",
        "fieldbus.dlt645",
        "fieldbus.hj212",
        "fieldbus.obis",
        "fieldbus",
        "fieldbus.polling",
        "fieldbus.listening",
        "storage",
        "storage.capacity",
        "accounting.plans",
        "accounting.hours",
        "accounting.statements",
        "storage.recovery",
        "evidence",
        "history",
        "recording",
        "accounting.certified",
        "acquisition",
        "anchoring",
        "alarms",
        "runtime",
        "totals",
        "alarms.notification",
        "feeds",
        "feeds.sparkplug",
        "feeds.records",
        "dashboard.auth",
        "startup",
        "commissioning.identity",
        "commissioning.scan",
        "commissioning",
        "commissioning.record",
        "status",
        "commissioning.wizard",
        "site_backup",
        "doctor",
        "dashboard.figures",
        "dashboard.pages",
        "dashboard.render",
        "api",
        "dashboard",
        "agent",
        "cli.demo",
        "cli.terminal",
        "cli.profiles",
        "cli.accounting",
        "cli.commissioning",
        "cli.access",
        "cli",
    ),
    "control_room": (
        ".",
        "judging",
        "store",
        "store.incoming",
        "archive",
        "completeness",
        "intake",
        "web",
        "cli",
    ),
    "firmware_sim": (
        ".",
        "plant",
        "meters",
        "wire",
        "wire.hj212",
        "recorded",
        "scenario",
        "control",
        "compare",
        "testing",
        "cli",
    ),
}
"""Package → its rooms, lowest first. ``.`` is the package's own folder."""

FEW: dict[tuple[str, str], str] = {
    ("ledger_client", "cli.terminal"): "both `cli` and `cli.certificates` stand on it, and `cli` above has its number",
    ("ledger_client", "verifier_page"): "the page is JavaScript: Python only puts it together",
    ("gateway", "cli.access"): "who may come in, people and programs; `cli` above has its number",
    ("gateway", "accounting.certified"): "it stands behind a wall: it alone connects",
    ("control_room", "archive"): "it holds no database: an auditor's files depend on none",
    ("firmware_sim", "."): "the ground",
}
"""Rooms of one or two modules, and why they merge with no other."""

PUBLIC = "ledger_client"
"""The one package file that is not empty: names for programs of others, from the rooms, each loaded when it is used. It
stands above all rooms, and nothing of ours imports from it."""

CONNECTING = ("asyncio", "http", "paho", "psycopg", "requests", "select", "selectors", "serial", "socket",
              "socketserver", "starlette", "urllib.request", "urllib3", "uvicorn")  # fmt: skip
"""Libraries of which one is needed to open a connection or to listen for one."""

FILES = (
    "open", "fdopen", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "listdir", "scandir", "walk",
    "glob", "rglob", "stat", "exists", "is_file", "is_dir", "mkdir", "unlink", "touch", "rmdir", "rename",
    "is_batch_file", "is_bundle", "load_private_key", "save_private_key",
)  # fmt: skip
"""Names without which no file is read, written or looked for; the last four are those of ``formats`` that do it."""


@dataclass(frozen=True)
class Wall:
    """What stands ``around`` some rooms or modules: what these may not import or use, ``doors`` apart.

    ``bans`` and ``but`` are modules or names in them; ``uses`` are names and attributes in the code. With ``reach``
    the modules that they import, through however many others, may not import it either.
    """

    name: str
    around: tuple[str, ...]
    reason: str
    bans: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    reach: bool = False


WALLS = (
    Wall(
        "the ledger's client stands alone",
        around=("ledger_client",),
        bans=("gateway", "firmware_sim", "control_room"),
        reason="a verifier installs it alone, and must not need to trust the gateway's code",
    ),
    Wall(
        "the gateway knows no simulator",
        around=("gateway",),
        bans=("firmware_sim",),
        reason="a value that the product itself made up could be signed as a meter's",
    ),
    Wall(
        "nothing stands on the control room",
        around=("gateway", "firmware_sim"),
        bans=("control_room",),
        reason="a gateway records and proves alone, whoever watches it",
    ),
    Wall(
        "the control room takes the gateway's ground",
        around=("control_room",),
        bans=("gateway", "firmware_sim"),
        but=(
            "gateway.access_files",
            "gateway.api.shapes",
            "gateway.clock",
            "gateway.dashboard.shell",
            "gateway.errors",
            "gateway.field_types",
            "gateway.key_errors",
            "gateway.local_calendar",
            "gateway.messages",
            "gateway.process",
            "gateway.records",
            "gateway.standing",
            "gateway.verdicts",
            "gateway.web_settings",
        ),
        reason="what it shows follows from signed bytes, never from how a gateway is built",
    ),
    Wall(
        "the control room loads no gateway",
        around=("control_room",),
        bans=("gateway.config", "gateway.storage", "sqlite3"),
        reach=True,
        reason="its pages face the network, and need neither a site's keys and files nor its database",
    ),
    Wall(
        "who is checked brings no verifier",
        around=("gateway", "firmware_sim", "control_room"),
        bans=("ledger_client.verifier_page",),
        reach=True,
        reason="a page that verifies proves nothing where it comes from the party that it is to check",
    ),
    Wall(
        "judging is pure",
        around=("control_room.judging",),
        bans=(*CONNECTING, "ssl", "sqlite3", "psycopg", "nats", "logging", "time", "datetime"),
        uses=FILES,
        reason="what is believed follows from bytes, a trust file and a time, so that it can be judged again",
    ),
    Wall(
        "only the store speaks to PostgreSQL",
        around=("control_room",),
        bans=("psycopg", "psycopg_pool"),
        doors=("control_room.store",),
        reason="which rows are locked in which order, and what is durable, is decided in one room",
    ),
    Wall(
        "the archive knows no database",
        around=("control_room.archive",),
        bans=("control_room.store", "psycopg"),
        reach=True,
        reason="a file follows from a batch alone, so that whoever writes it writes the same",
    ),
    Wall(
        "only a ledger's log speaks to PostgreSQL",
        around=("ledger_client",),
        bans=("psycopg", "psycopg_pool"),
        doors=("ledger_client.transparency.log.postgresql", "ledger_client.transparency.log.postgresql_connection"),
        reason="a ledger in SQLite and whoever verifies load no database client, which is an extra",
    ),
    Wall(
        "only a session speaks to tokens",
        around=("gateway", "ledger_client", "control_room", "firmware_sim"),
        bans=("pkcs11",),
        doors=("ledger_client.tokens.session",),
        reason="a token may block for ever in C: one thread talks to it, and whoever waits for it goes on after 5 s",
    ),
    Wall(
        "only the intake speaks to NATS",
        around=("control_room",),
        bans=("nats",),
        doors=("control_room.intake",),
        reason="what is acknowledged, and when, is decided in one room",
    ),
    Wall(
        "the simulator takes the profile alone",
        around=("firmware_sim",),
        bans=("gateway", "ledger_client"),
        but=("gateway.devices.profile",),
        reason="with the gateway's codec turned round, an error in it would cancel itself out in every test",
    ),
    Wall(
        "a test under the plugin loads no gateway",
        around=("firmware_sim.testing",),
        bans=("gateway", "ledger_client", "pydantic", "click", "firmware_sim.plant", "firmware_sim.scenario.load"),
        reach=True,
        reason="a project of others may have packages of these names, and each of its runs would wait for the import",
    ),
    Wall(
        "a meter is recorded through one client",
        around=("firmware_sim.recorded",),
        bans=("serial", "socket", "asyncio"),
        doors=("firmware_sim.recorded.client",),
        reason="what it sends to a meter of somebody passes its gate, which knows reads only",
    ),
    Wall(
        "the product needs no test",
        around=("gateway", "ledger_client", "firmware_sim", "control_room"),
        bans=("tests", "benchmarks"),
        reason="neither is installed with the product",
    ),
    Wall(
        "no import by text",
        around=("gateway", "ledger_client", "firmware_sim", "control_room"),
        bans=("importlib.import_module", "importlib.util", "importlib.machinery", "pkgutil", "runpy"),
        uses=("import_module", "__import__", "exec", "eval"),
        doors=("ledger_client.click_help",),
        reason="the law reads imports as they are written, and the `module:attribute` of tables of commands",
    ),
    Wall(
        "only storage speaks SQL",
        around=("gateway",),
        bans=("sqlite3", "sqlite_utils"),
        doors=("gateway.storage",),
        reason="what is durable, and which connection writes, is decided in one room",
    ),
    Wall(
        "one module opens the database",
        around=("gateway.storage",),
        bans=("sqlite3",),
        doors=("gateway.storage.database",),
        reason="every connection has the same settings, and each error of SQLite becomes one of ours",
    ),
    Wall(
        "only the fieldbus has serial ports",
        around=("gateway",),
        bans=("serial",),
        doors=("gateway.fieldbus",),
        reason="a second user of a line would take answers to the requests of the first",
    ),
    Wall(
        "pymodbus is not run",
        around=("gateway", "ledger_client", "firmware_sim", "control_room"),
        bans=("pymodbus",),
        reason="it takes a late answer for the right one, and it is what the tests compare with",
    ),
    Wall(
        "the fieldbus stores nothing",
        around=("gateway.fieldbus",),
        bans=("gateway.storage", "gateway.recording", "gateway.evidence", "gateway.history", "sqlite3"),
        reach=True,
        reason="a slow disk must never delay a poll, and what is read is judged before it is recorded",
    ),
    Wall(
        "the poller reaches no wire and no disk",
        around=("gateway.acquisition.poller",),
        bans=("asyncio", "socket", "serial", "sqlite3", "gateway.fieldbus.modbus", "gateway.storage"),
        reach=True,
        reason="which poll becomes which reading is decided from facts alone, so that it can be tested without a line",
    ),
    Wall(
        "pages and feeds have no signing key",
        around=("gateway.dashboard", "gateway.api", "gateway.feeds", "gateway.alarms.notification"),
        bans=(
            "ledger_client.formats.cose_key.PrivateKey",
            "ledger_client.formats.cose_key.Signer",
            "ledger_client.formats.cose_key.load_private_key",
            "ledger_client.formats.cose_key.save_private_key",
            "gateway.config.device_keys",
            "gateway.config.key_folder",
            "gateway.recording.signer",
            "cryptography",
        ),
        doors=("gateway.dashboard.auth.certificate",),
        reason="they face the network: no code of theirs may name what signs (a TLS key signs no reading)",
    ),
    Wall(
        "the frame of pages knows no gateway",
        around=("gateway.dashboard.shell",),
        bans=("gateway.config", "gateway.storage", "gateway.runtime", "gateway.fieldbus", "sqlite3"),
        reach=True,
        reason="the control room serves its pages with it, and has neither a gateway's configuration nor its database",
    ),
    Wall(
        "storage knows no accounting",
        around=("gateway.storage",),
        bans=("gateway.accounting",),
        reach=True,
        reason="what is pruned depends on no rule of accounting: what waits is handed in as a function",
    ),
    Wall(
        "of the gateway's accounting only certified connects",
        around=("gateway.accounting",),
        bans=CONNECTING,
        doors=("gateway.accounting.certified",),
        reach=True,
        reason="what is stated follows from the database and the plan alone, never from what a network answers",
    ),
    Wall(
        "verifying needs no network",
        around=(
            "ledger_client.formats",
            "ledger_client.contracts",
            "ledger_client.claims",
            "ledger_client.verification",
            "ledger_client.audit",
            "ledger_client.enrolment",
            "ledger_client.accounting",
            "ledger_client.inputs",
            "ledger_client.recompute",
            "ledger_client.certificates",
            "ledger_client.balance",
            "ledger_client.transparency.policy",
        ),
        bans=(*CONNECTING, "ssl", "sqlite3"),
        reach=True,
        reason="anybody verifies offline, without an event loop or a database, from the files that were handed over",
    ),
    Wall(
        "verifying touches the files that it names",
        around=(
            "ledger_client.formats",
            "ledger_client.claims",
            "ledger_client.verification",
            "ledger_client.audit",
            "ledger_client.accounting",
            "ledger_client.inputs",
            "ledger_client.recompute",
        ),
        bans=(
            "shutil",
            "tempfile",
            "fcntl",
            "mmap",
            "subprocess",
            "importlib.resources",
            "ledger_client.durable_files",
        ),
        uses=FILES,
        doors=(
            "ledger_client.formats.batch_file",
            "ledger_client.formats.bundle",
            "ledger_client.formats.cose_key",
            "ledger_client.verification.trust_file",
            "ledger_client.audit.files",
            "ledger_client.accounting.factors",
            "ledger_client.accounting.profiles",
            "ledger_client.recompute.folder",
            "ledger_client.recompute.proven",
            "ledger_client.recompute.sources",
        ),
        reason="a figure follows from bytes that the caller gave, never from what happens to lie on the disk",
    ),
    Wall(
        "the ledger's client is plain functions",
        around=("ledger_client",),
        bans=("asyncio",),
        doors=("ledger_client.http_server", "ledger_client.transparency.server"),
        reason="its callers decide about threads and loops; only what listens has a loop",
    ),
)


def upward(tree: Tree) -> Iterator[str]:
    """Each import of a room that does not stand before its importer's, and each module in a room that has no place."""
    for module in tree.modules.values():
        if module.name == PUBLIC:
            continue
        order = ORDER[module.package]
        if module.room not in order:
            yield f"{module.name}: the room {module.room} has no place in ORDER (tests/layout/law.py)"
            continue
        for line, found in tree.imported(module):
            other = tree.modules[found]
            if found == PUBLIC:
                yield f"{module.name}:{line} imports from {PUBLIC} itself: these names are for others; name the room"
            if other.package == module.package and other.room in order[order.index(module.room) + 1 :]:
                yield (
                    f"{module.name}:{line} imports {found}, upward: the room {other.room} stands above {module.room}; "
                    "move what both need into a lower room, or hand it in as an argument"
                )


def breaches(tree: Tree, wall: Wall) -> Iterator[str]:
    """Each breach of a wall, with the wall's name and reason."""
    for path, line, what in _crossings(tree, wall):
        yield f"{' → '.join(path)}:{line} {what}: {wall.name}, since {wall.reason}"


def _crossings(tree: Tree, wall: Wall) -> Iterator[tuple[tuple[str, ...], int, str]]:
    inside = [module for module in tree.below(*wall.around) if not within(module.name, *wall.doors)]
    for module in inside:
        yield from (((module.name,), line, f"uses {name}") for line, name in module.uses if name in wall.uses)
    for path, module in reached(tree, inside) if wall.reach else [((module.name,), module) for module in inside]:
        for line, name in module.imports:
            if within(name, *wall.bans) and not within(name, *wall.but):
                yield path, line, f"imports {name}"


def reached(tree: Tree, start: list[Module]) -> Iterator[tuple[tuple[str, ...], Module]]:
    """Each module that these import, themselves too, with the shortest way to it."""
    known: set[str] = set()
    ahead: list[tuple[tuple[str, ...], Module]] = [((module.name,), module) for module in start]
    while ahead:
        step, ahead = ahead, []
        for path, module in step:
            if module.name not in known:
                known.add(module.name)
                yield path, module
                ahead += [((*path, found), tree.modules[found]) for _, found in tree.imported(module)]
