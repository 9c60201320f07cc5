"""`meterseal prove --witnessed`: a cosigned head of the ledger's log goes into the proof, from a real ledger and a real
witness; a batch that is in no cosigned head yet, or a ledger that is away, is an answer and no file."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from gateway.config.device_keys import REQUEST_FILE
from ledger_client.formats.bundle import Bundle
from ledger_client.transparency.ledger.directory import make_dir, open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from ledger_client.verification.witnesses import LogKey, Witness, entries_of
from tests.contract.memory import NearLog
from tests.support.commands import Answer, gateway_command
from tests.support.processes import embedded_ledger
from tests.support.samples import START_S, Hands, rewrite, site
from tests.support.witnesses.servers import witness_server

METER, LEDGER = "export-main", "demo-ledger"


def settled_by(folder: Path, hands: Hands, number: int) -> None:
    """The ledger in a folder, which nobody serves, has given its receipt for a batch."""
    batch = hands.store.batches.numbered(number)
    assert batch is not None
    log = NearLog(folder)
    log.behind_s = time.time() - batch.sealed_ms / 1000 - 60  # this site's time is not ours
    _, receipt = log.service.submit(batch.entry)
    log.end()
    with hands.store.transaction():
        hands.store.anchors.mark(number, LEDGER, "settled", batch.sealed_ms + 1000, receipt=receipt)


def test_a_proof_bears_a_cosigned_head(tmp_path: Path) -> None:
    folder, output = tmp_path / "ledger", tmp_path / "p.mseal"
    make_dir(folder, LEDGER)
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    enroll(folder, loaded.keys / REQUEST_FILE)
    hands = Hands(loaded)
    hands.poll(15)
    settled_by(folder, hands, 0)
    with closing(open_dir(folder, None)) as opened:
        log = LogKey(LEDGER, opened.vkey)

    def prove() -> Answer:
        return gateway_command("prove", loaded.path, METER, "-o", output, "--witnessed", "--force")

    with witness_server(tmp_path / "w", {log.vkey.name: log.vkey}) as witness:
        with embedded_ledger(folder, LEDGER, options=witness.option) as ledger:
            ledger.wait_for("has cosigned the log of")
            rewrite(loaded, ("http://127.0.0.1:8700", ledger.url))
            text = loaded.trust.read_text().replace("receipts = 1", "receipts = 1\nwitnesses = 1")
            named = "".join(entries_of([log], [Witness("w", witness.vkey)]))
            loaded.trust.write_text(text + "\n" + trust_entry(folder) + named)
            prove().ended(0)
        (one,) = Bundle.parse(output.read_bytes()).witnessed
        proven = verify(output.read_bytes(), load_trust(loaded.trust), START_S + 10**9)
        assert [(head.ledger, head.size, head.witnesses[0][0]) for head in proven.witnessed] == [
            (LEDGER, one.place[0], "w")
        ]

        output.unlink()
        prove().ended(1)  # the ledger is away
        hands.poll(15)
        settled_by(folder, hands, 1)
        hands.end()
        witness.kill()
        with embedded_ledger(folder, LEDGER, options=witness.option):  # elsewhere than the configuration says
            prove().ended(1)
        assert not output.exists()
