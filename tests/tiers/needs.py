"""``python -m tests.tiers.needs [PATH …] [pytest's options]``: what the test files below the paths need installed.

It prints calls of ``scripts/env.sh``, one a line; without a path, those of all tests. A need is found by the word that
names it in what a test file reaches, so one that is only mentioned is installed as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.tiers.reach import ROOT, reach, text_of

SHARED = ROOT / "tests/support/processes.py"
"""Starts brokers, ledgers and nodes for others: who uses one names it."""

_CHINESE = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc=fonts-wqy-microhei fc-list=fontconfig"
_NOTO = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc=fonts-noto-cjk"
_SUMDB = "/usr/share/gocode/src/golang.org/x/mod/sumdb/note/note.go=golang-golang-x-mod-dev"
_C = "gcc=gcc /usr/include/stdio.h=libc6-dev"

NEEDS: dict[str, str] = {
    r"\b[Mm]osquitto\b": "need_system mosquitto=mosquitto",
    r"\bnats-server\b": "need_system nats-server=nats-server",
    r"/usr/lib/postgresql\b": "need_postgresql",
    r"\bsofthsm2\b": "need_system softhsm2-util=softhsm2",
    r"\bswtpm\b": "need_system swtpm=swtpm pkcs11-tool=opensc tpm2_dictionarylockout=tpm2-tools\nneed_tpm_module",
    r'"git"': "need_system git=git",
    r"\bntfy\b": "need_system ntfy=ntfy",
    r"\bmbpoll\b": "need_system mbpoll=mbpoll",
    r'"gcc"|"cc"': f"need_system {_C}",
    r"\blibmodbus\b": f"need_system {_C} /usr/include/modbus/modbus.h=libmodbus-dev",
    r'"go"': f"need_system go=golang-go {_SUMDB}",
    r"\bchromium\b": f"need_system chromium=chromium {_CHINESE} {_NOTO}",
    r'"fc-list"': f"need_system {_CHINESE}",
    r'"systemd-analyze"': "need_system systemd-analyze=systemd",
    r'"udevadm"': "need_system udevadm=udev",
    r"\bscripts\.deb\b": "need_system readelf=binutils dpkg-deb=dpkg",
    r"\bMETERSEAL_ORACLE_PYTHON\b": "need_oracle",
    r"\bMETERSEAL_VYPER\b": "need_vyper",
    r"\bMETERSEAL_SPARKPLUG_PYTHON\b": "need_sparkplug_host",
    r"\bMETERSEAL_AIOSMTPD_PYTHON\b": "need_aiosmtpd",
    r"\bMETERSEAL_DLT645_PYTHON\b": "need_dlt645",
    r"\bMETERSEAL_DSMR_PYTHON\b": "need_dsmr",
    r"\bMETERSEAL_SUNSPEC_PYTHON\b": "need_sunspec",
    r"\bMETERSEAL_HOME_ASSISTANT_PYTHON\b": "need_home_assistant",
    r"\bMETERSEAL_SCHEMATHESIS\b": "need_schemathesis",
    r"\bMETERSEAL_OTHER_PYTHON\b": "need_other_python",
    r"\b[Aa]nvil\b": "need_system npm=npm\nneed_anvil",
    r"\bMETERSEAL_PROMETHEUS\b": "need_prometheus",
}
"""What names a need, and the calls that meet it."""

_TAKES_A_PATH = {"--ignore", "--deselect", "--rootdir", "--confcutdir", "--basetemp", "-c", "-o", "-p", "-k", "-m"}


def files_below(arguments: Sequence[str]) -> list[Path]:
    """The test files of a command line of pytest: those of its paths, or all."""
    given = [
        path
        for before, word in zip(["", *arguments], arguments, strict=False)
        if before not in _TAKES_A_PATH and (path := Path(word.partition("::")[0])).exists() and word
    ] or [ROOT / "tests"]
    found = (path.rglob("test_*.py") if path.is_dir() else [path] for path in given)
    return sorted({path.resolve() for paths in found for path in paths})


def calls(files: Iterable[Path]) -> list[str]:
    """The calls of ``scripts/env.sh`` that meet the needs of these test files, in the order of ``NEEDS``."""
    texts = [text_of(path) for path in set().union(*map(reach, files)) - {SHARED}]
    met = (call for word, call in NEEDS.items() if any(map(re.compile(word).search, texts)))
    return list(dict.fromkeys(line for call in met for line in call.splitlines()))


if __name__ == "__main__":
    print("\n".join(calls(files_below(sys.argv[1:]))))
