"""Keys in tokens: what the way through ``Signer`` costs, and what a ledger makes of a slow TPM.

``softhsm_ratio``, ``swtpm_ratio``: signatures a second behind ``Signer``, by ``callers`` at once, beside the call of
python-pkcs11 in a loop, on the same session and in turn with it. ``ledger_ratio``: receipts a second of
``meterseal-ledger serve`` with its key in that TPM, to ``clients`` gateways, beside the TPM's bare signatures a second
before and after; ``ledger_ratio_strangers``: the same while ``strangers`` ask for consistency proofs, each of another
size than the others. ``recording_ratio``: durable records a second of a gateway whose statement key is in SoftHSM2,
beside those with files (hsm_recording.py). Each is the median of ``runs``; where one differs from the next by a tenth
(the disk, whatever else the processor does), of ``TURNS`` times as many shorter ones. The ledger's TPM is as slow as
hardware (``slow_tpm``), about 60 signatures a second: swtpm makes hundreds, and then the processor is what a ledger
lacks.
"""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.ledgers.hsm_recording import recording_ratio
from benchmarks.ledgers.slow_tpm import slowed
from ledger_client.formats.cose_key import EDDSA
from ledger_client.tokens.token import TokenSigner, forget_modules
from ledger_client.tokens.uri import TokenUri
from ledger_client.transparency.ledger.directory import make_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.held_key import TokenPlace
from tests.campaigns.ledgers.ledger_load import Load, submit_all
from tests.support.enrolled import Gateway
from tests.support.ledger_site import CheckedLog
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.support.tokens.engine import Engine
from tests.support.tokens.softhsm import softhsm
from tests.support.tokens.swtpm import swtpm

SMALLEST = ({"seconds": 0.1, "runs": 1, "clients": 3, "statements": 2, "strangers": 2, "polls": 50},)
NAME: Final = "demo-ledger"
MESSAGE: Final = bytes(300)
TURNS: Final = 8


def run(
    seconds: float = 1.0,
    runs: int = 5,
    callers: int = 4,
    clients: int = 40,
    statements: int = 5,
    strangers: int = 20,
    delay_ms: float = 8,
    polls: int = 4000,
) -> dict[str, object]:
    """Twice ``seconds`` of signing by turns, ``runs`` times; ``statements`` of each of ``clients`` gateways;
    ``delay_ms``: by how much each answer of the ledger's TPM is held up; twice ``polls`` of each of three meters."""
    figures: dict[str, object] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for engine, make in (("softhsm", softhsm), ("swtpm", swtpm)):
            with make(folder / engine) as token:
                bare, ratios = _ratios(token, 2 * seconds / TURNS, TURNS * runs, callers)
                figures |= {f"{engine}_bare_per_s": bare, f"{engine}_ratio": ratios}
        with swtpm(folder / "ledger-tpm") as token, slowed(token, delay_ms / 1000):
            for key, asking in (("ledger_ratio", 0), ("ledger_ratio_strangers", strangers)):
                found = [_ledger(token, folder / f"{key}-{n}", clients, statements, asking) for n in range(runs)]
                figures[key] = median(ratio for ratio, _, _ in found)
                figures[key.replace("ratio", "receipts_per_s")] = median(rate for _, rate, _ in found)
            figures["strangers_answers_per_s"] = median(answers for _, _, answers in found)
        figures["recording_ratio"] = recording_ratio(folder / "recording", 2 * polls // TURNS, TURNS * runs)
    return {**figures, "seconds": seconds, "runs": runs, "callers": callers, "clients": clients,
            "statements": statements, "strangers": strangers, "delay_ms": delay_ms, "polls": polls}  # fmt: skip


def _key(token: Engine) -> TokenSigner:
    return token.token().generate(TokenUri.parse(token.uri("statement")))


def _bare(signer: TokenSigner, seconds: float) -> float:
    """Signatures a second of python-pkcs11 in a loop, on the thread and the session that serve ``signer``."""
    message = MESSAGE if signer.public.alg == EDDSA else hashlib.sha256(MESSAGE).digest()
    return signer.measured(lambda sign: _rate(lambda: sign(message), seconds))


def _rate(sign: Callable[[], object], seconds: float) -> float:
    began = time.perf_counter()
    done = 0
    while (spent := time.perf_counter() - began) < seconds:
        sign()
        done += 1
    return done / spent


def _ratios(token: Engine, seconds: float, runs: int, callers: int) -> tuple[float, float]:
    """Bare signatures a second, and how much of that is left behind ``Signer``."""
    signer = _key(token)
    bare, ratios = [], []
    with ThreadPoolExecutor(callers) as pool:
        for _ in range(runs):
            before = _bare(signer, seconds / 2)
            behind = sum(pool.map(lambda _: _rate(lambda: signer.sign(MESSAGE), seconds), range(callers)))
            bare.append((before + _bare(signer, seconds / 2)) / 2)
            ratios.append(behind / bare[-1])
    return median(bare), median(ratios)


def _ledger(token: Engine, folder: Path, clients: int, statements: int, strangers: int) -> tuple[float, float, float]:
    """Receipts ÷ bare signatures, receipts a second, answers to strangers a second."""
    uri = TokenUri.parse(token.uri(folder.name))
    make_dir(folder, NAME, key=TokenPlace(uri, token.module, str(token.pin_file)))
    gateways = [Gateway(f"gw-{number}") for number in range(clients)]
    for gateway in gateways:
        enroll(folder, gateway.request(folder.parent))
    before = _bare_of(token, uri)
    with embedded_ledger(folder, NAME) as ledger:
        with _asking(ledger, strangers) as answers:
            load: Load = submit_all(ledger, gateways, statements)
        answered = len(answers)
        assert set(load.statuses) == {201}, load.statuses
        ledger.stop()
    bare = (before + _bare_of(token, uri)) / 2
    held = CheckedLog(folder).check()
    assert sum(map(len, held.values())) == clients * statements, "the log holds something else"
    rate = clients * statements / load.seconds
    return rate / bare, rate, answered / load.seconds


def _bare_of(token: Engine, uri: TokenUri) -> float:
    """Of the TPM alone, which speaks to one process at a time."""
    signer = token.token().open(uri)
    rate = _bare(signer, 1.0)
    forget_modules()
    return rate


@contextmanager
def _asking(ledger: EmbeddedLedger, strangers: int) -> Iterator[list[int]]:
    """Strangers who ask for the consistency of the log as it is now with one of before, each another one, without a
    pause; the list grows with each answer."""
    ended, answers = threading.Event(), [0][:0]

    def ask(first: int) -> None:
        while not ended.is_set():
            with suppress(urllib.error.HTTPError):  # 400 before the log has so many, 503 when the token had no time
                url = f"{ledger.url}/log/consistency?from={first}"
                with urllib.request.urlopen(url, timeout=120) as answer:
                    answers.append(len(answer.read()))

    with ThreadPoolExecutor(max(1, strangers)) as pool:
        for number in range(strangers):
            pool.submit(ask, number + 1)
        try:
            yield answers
        finally:
            ended.set()
