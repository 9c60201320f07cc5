"""The walks of an issuer and of a holder in docs/claims.md: their commands, one after the other, at a real registry."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest

from tests.support.certificates.certified import CERTIFICATE, DEVICE, REGISTRY, Certified, station
from tests.support.certificates.market import BACK_S, trust_text
from tests.support.commands import Answer, ledger_command
from tests.support.processes import embedded_ledger

ROOT = Path(__file__).parents[3]


def commands(title: str) -> list[str]:
    """The commands of a section."""
    section = (ROOT / "docs/claims.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_of_the_walks_does_what_it_is_there_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exports").mkdir()
    site = Certified(tmp_path / "exports", int(time.time() - BACK_S) * 1000)
    site.hour(station(certificate=CERTIFICATE))
    site.rows_file.rename(tmp_path / "main-2026-10-v1.mrows")
    issuing, holding = commands("An issuer's walk"), commands("A holder's walk")
    with embedded_ledger(tmp_path / "ledger", REGISTRY) as ledger:
        (tmp_path / "trust.toml").write_text(trust_text(ledger_command("show", ledger.folder, "--trust").out))
        cert = ""

        def run(line: str) -> Answer:
            words = shlex.split(line.replace("http://127.0.0.1:8470", ledger.url).replace("CERT", cert))
            answer = ledger_command(*words[1:])
            assert answer.code == 0, (line, answer)
            return answer

        run("meterseal-ledger party new mill")
        run("meterseal-ledger enroll ledger mill/mill.enrol --yes")
        printed = [run(line).out for line in [*holding[:2], *issuing]]
        assert "4 could be issued" in printed[4]
        assert "4 issued" in printed[5]
        assert printed[6].startswith("SOUND: registry reg: 4 claims in ")
        assert DEVICE in issuing[-1]
        cert = printed[7].split()[0]
        printed = [run(line).out for line in holding[2:]]
        assert cert in printed[0]
        assert f"claim 0: transfer {cert}:0-500 to mill" in printed[1]
        assert f"claim 1: retire {cert}:500-1000 for RE100\nfor: " in printed[2]
        assert "    0-500  held  mill\n    500-1000  retired  works\n    1000-90000  held  works\n" in printed[3]
