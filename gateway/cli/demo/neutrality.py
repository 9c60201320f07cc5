"""Command `meterseal demo --neutrality`: from the month of `--month` to certificates that are used once, and a balance.

The issuer recomputes the statement and certifies the hours of the hydro station; the producer gives the factory's owner
as much of each hour as the factory took in it; the buyer retires that, of one hour only a part. A certificate file of
that part is verified without network. In the end stand the books: no Wh is lost, and none is there twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gateway.cli.demo.certified_books import certified_books
from gateway.cli.demo.market import BUYER, ISSUER, PRODUCER, Market, asked
from gateway.cli.demo.month import Month, lines, lived
from gateway.cli.demo.parts import ledger_command
from gateway.process.console import console
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.rows import Row, parse_row
from ledger_client.formats.batch_file import SUFFIX
from ledger_client.times import rfc3339_ms

NODE, LOAD, EMISSION = "hydro", "factory", "unit-co2"
RETIRED = "retired"
"""The folder with a certificate file of each slice that the buyer retired."""
Part = tuple[str, int, int]
"""Units [a, b) of a certificate, its id in hex."""


def main(folder: Path, seconds: float | None, *, as_json: bool) -> int:
    """The month of ``month.main``, then the certificates of its hours. Returns the exit code: 0 when the month is
    sound, the certificate file verified, and the books close."""
    out = console(stderr=as_json)
    with ExitStack() as children:
        month = lived(children, folder, seconds, out)
        rows = [parse_row(row) for row in month.stated[-1].statement.rows]
        out.print("enrolling an issuer, a producer and a buyer …")
        market = Market.opened(month)
        out.print("recomputing the statement, and issuing a certificate for each hour that may have one …")
        issued = _issue(market, month)
        month.took.done("issue")
        out.print("handing on, retiring, exporting, withdrawing …")
        used = _use(market, issued, [row for row in rows if row.node == LOAD], month.found)
        month.took.done("claims")
        file, proven = _proven(market, month, used[0]), len(used)
        proof = asked("certificate", "verify", file, "--trust", market.trust, "--json")
        month.took.done("certificate files")
        balance = _balance(market, month)
        month.took.done("balance")
        certificate = month.stated[-1].plan.nodes[NODE].certificate
        assert certificate is not None
        books = certified_books(month.stated[-1].plan, NODE, rows, market.of_device(certificate["id"]))
    found = {
        "issued": len(issued), "certificate_file": str(file), "verified": bool(proof), "books": books.as_json(),
        "market": str(market.trust), "balance": balance,
    }  # fmt: skip
    if as_json:
        print(json.dumps(month.found | found))
    else:
        verify = f"meterseal-ledger certificate verify {file} --trust {market.trust}"
        printed = [*lines(month), f"{len(issued)} certificates; {file.name} verified without network", *books.lines()]
        printed += [f"balance of {balance['party']}, covered by {proven} certificate files:"]
        printed += [f"   {what} {amount}" for what, amount in balance["totals"].items()]
        out.print("\n".join([*printed, f"verify:  {verify}", *(f"page:    {page}" for page in balance["files"][-1:])]))
    return 0 if month.sound and books.closed else 1


def _issue(market: Market, month: Month) -> list[dict[str, Any]]:
    """The hours that were issued to the producer, each with its certificate."""
    batches = sorted(month.evidence.glob(f"*{SUFFIX}"))
    asked_for = ("--node", NODE, "--holder", PRODUCER)
    done = market.claim(ISSUER, "issue", month.stated[-1].rows, *batches, *asked_for)
    return [hour for hour in done["hours"] if hour["state"] == "issued"]


def _use(
    market: Market, issued: Sequence[Mapping[str, Any]], loads: Sequence[Row], found: Mapping[str, Any]
) -> list[Part]:
    """Hand on, retire, export and withdraw; what was retired, the hour that is retired in part first."""
    taken = {(row.from_ms, row.to_ms): (row.amount or 0) // 1000 for row in loads if row.status != words.UNALLOCATED}
    by_hour = [(hour["certificate"], hour["units"], taken.get((hour["from"], hour["to"]), 0)) for hour in issued]
    sold = [(cert, 0, min(units, load)) for cert, units, load in by_hour if min(units, load) > 1]
    market.claim(PRODUCER, "transfer", *map(_text, sold), BUYER)
    (cert, _, end), *others = sold
    retired = [(cert, 0, end // 2), *others]
    period = "/".join(rfc3339_ms(found[edge]) for edge in ("from", "to"))
    market.claim(BUYER, "retire", *map(_text, retired), "--purpose", "electricity used", "--period", period)
    left = [(cert, load, units) for cert, units, load in by_hour if 0 < load < units]
    if left:
        market.claim(PRODUCER, "export", _text(left[0]), "--to-registry", "elsewhere", "--reference", "demo-1")
    whole = [cert for cert, _, load in by_hour if load == 0]
    if whole:
        market.claim(ISSUER, "withdraw", whole[-1], "--reason", "shown in a demonstration")
    return retired


def _proven(market: Market, month: Month, first: Part) -> Path:
    """The certificate files of all that was retired; returns that of the hour that is retired in part."""
    folder = month.place.folder / RETIRED
    batches = sorted(month.evidence.glob(f"*{SUFFIX}"))
    whose = ("--retired", "--key", market.folder / BUYER, "--registry", market.registry)
    ledger_command("certificate", "prove", *batches, "--rows", month.stated[-1].rows, *whose, "-o", folder)
    (file,) = folder.glob(f"*-{first[0][:8]}-*")
    return file


def _balance(market: Market, month: Month) -> dict[str, Any]:
    """The buyer's balance of the month, of all that it retired: its files are in the folder ``balance``. It has no
    residual factor of its year yet, and nothing is offset: it is a balance, and says so itself."""
    folder, stated = month.place.folder / "balance", month.stated[-1]
    form = month.place.folder / "BALANCE.toml"
    period = "/".join(rfc3339_ms(month.found[edge]) for edge in ("from", "to"))
    of = f"{month.config.gateway_id}/{stated.plan.name}/{EMISSION}"
    lines_ = [
        f'party = "{BUYER}"', f'period = "{period}"', 'civil = "+08:00"', 'zone = "CN"',
        'boundary = "the factory of the demonstration"',
        f'exclusions = [{{ of = "{of}", reason = "the power station is its neighbour\'s" }}]', "partial = true",
        '[factors]\naverage = "CN-average"\nresidual = "CN-residual"',
        f'[[site]]\nfiles = ["evidence/*{SUFFIX}"]', f"rows = [{_quoted(stated.rows)}]", f'loads = ["{LOAD}"]',
        f'[[certificates]]\nfiles = ["{RETIRED}/*.mcert"]',
    ]  # fmt: skip
    form.write_text("\n".join(lines_) + "\n")
    return asked("balance", form, "--trust", market.trust, "-o", folder, "--json")


def _quoted(path: Path) -> str:
    return json.dumps(str(path))


def _text(part: Part) -> str:
    cert, begin, end = part
    return f"{cert}:{begin}-{end}"
