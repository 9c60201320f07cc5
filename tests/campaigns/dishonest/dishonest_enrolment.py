"""Requests by which somebody would have a ledger let in what is not his, or more than anybody has looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ledger_client.enrolment.request import Enrolment, MeterKey, sign_request
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.dishonest_stage import LEDGERS, Case, Objection, Stage, no
from tests.campaigns.dishonest.forged_history import History
from tests.support.commands import Answer, ledger_command


def _request(
    stage: Stage, history: History, *, gateway: str = "", identities: Mapping[str, str] | None = None
) -> bytes:
    """What an honest gateway asks for, or the same in another's name."""
    meters = {meter: MeterKey(history.keys[meter].public, (identities or {}).get(meter)) for meter in history.meters}
    asked = Enrolment(gateway or history.gateway, int(stage.now_s), history.keys[GATEWAY_ITSELF].public, meters, None)
    return sign_request(asked, {key.public.kid: key for key in history.keys.values()})


def _enroll(stage: Stage, request: bytes, *options: str) -> Answer:
    path = stage.folder / f"{len(list(stage.folder.glob('*.enrol')))}.enrol"
    path.write_bytes(request)
    return _enroll_file(stage, path, *options)


def _enroll_file(stage: Stage, path: Path, *options: str) -> Answer:
    folder = stage.ledgers[LEDGERS[0]].folder
    policy = (folder / "policy.toml").read_text()
    answer = ledger_command("enroll", folder, path, *options)
    assert answer.code == 0 or (folder / "policy.toml").read_text() == policy, "it was refused, and is let in"
    return answer


def _stranger(stage: Stage) -> History:
    """A gateway that no ledger knows as yet, with keys of its own."""
    return stage.recorded.under(stage.name)


def _let_in(stage: Stage, history: History, identities: Mapping[str, str] | None = None) -> None:
    answer = _enroll(stage, _request(stage, history, identities=identities), "--yes")
    assert answer.code == 0, answer


def _refused(answer: Answer) -> list[Objection]:
    return no(answer, "ledger", "enroll")


def _unsigned(stage: Stage) -> list[Objection]:
    """A plain file of public keys, as it was taken once."""
    path = stage.folder / "gateway.pub.toml"
    path.write_text(key_entry("statement", _stranger(stage).keys[GATEWAY_ITSELF].public, 0, gateway=stage.name))
    return _refused(_enroll_file(stage, path, "--yes"))


def _with(change: Callable[[dict[str, object], History], None]) -> Callable[[Stage], list[Objection]]:
    """A signed request in which something was changed afterwards."""

    def story(stage: Stage) -> list[Objection]:
        history = _stranger(stage)
        fields = cbor.decode(_request(stage, history))
        asked = cbor.decode(fields["request"])
        change(asked, history)
        return _refused(_enroll(stage, cbor.encode({**fields, "request": cbor.encode(asked)}), "--yes"))

    return story


def _key_of_another(asked: dict[str, object], _: History) -> None:
    """Somebody else's key, which he has seen in a trust file, is put in the place of his own."""
    asked["statement"] = PrivateKey.generate(EDDSA).public.cose_key


def _other_identity(asked: dict[str, object], history: History) -> None:
    meters = asked["meters"]
    assert isinstance(meters, dict)
    meters[history.meters[0]]["identity"] = "serial=4711"


def _two_at_once(stage: Stage) -> list[Objection]:
    first, second = _stranger(stage), stage.recorded.under(f"{stage.name}-b")
    return _refused(_enroll(stage, _request(stage, first) + _request(stage, second), "--yes"))


def _foreign_name(stage: Stage) -> list[Objection]:
    """A request by keys of its own, in the name of a gateway that the ledger knows."""
    honest = _stranger(stage)
    _let_in(stage, honest)
    sealed = honest.sealed()
    stage.submit(sealed[:2])
    objections = _refused(
        _enroll(stage, _request(stage, stage.recorded.under(f"{stage.name}-x"), gateway=stage.name), "--yes")
    )
    stage.submit(sealed[2:])  # nobody keeps the honest one from going on
    return objections


def _second_key(stage: Stage) -> list[Objection]:
    """The owner's next statement key, which the one before has not signed."""
    honest = _stranger(stage)
    _let_in(stage, honest)
    new = History(honest.gateway, {**honest.keys, GATEWAY_ITSELF: PrivateKey.generate(EDDSA)}, [])
    return _refused(_enroll(stage, _request(stage, new), "--yes"))


def _revoked_asks_again(stage: Stage) -> list[Objection]:
    honest = _stranger(stage)
    _let_in(stage, honest)
    done = ledger_command("revoke", stage.ledgers[LEDGERS[0]].folder, stage.name, "--reason", "stolen")
    assert done.code == 0, done
    return _refused(_enroll(stage, _request(stage, honest), "--yes"))


def _nobody_asked(stage: Stage) -> list[Objection]:
    """Without a terminal, and nobody has said yes."""
    return _refused(_enroll(stage, _request(stage, _stranger(stage))))


def _one_device_at_two(stage: Stage) -> list[Objection]:
    """The same device is a meter of two gateways: both are paid for it."""
    first, second = _stranger(stage), stage.recorded.under(f"{stage.name}-b")
    meter = first.meters[0]
    _let_in(stage, first, identities={meter: f"serial={stage.name}"})
    answer = _enroll(stage, _request(stage, second, identities={meter: f"serial={stage.name}"}), "--yes")
    return [
        Objection("ledger", "enroll, warning", line) for line in answer.out.splitlines() if line.startswith("warning")
    ]


def _one_key_at_two(stage: Stage) -> list[Objection]:
    """A meter's key is another gateway's, too."""
    first = _stranger(stage)
    _let_in(stage, first)
    keys = {**stage.recorded.under(f"{stage.name}-b").keys, first.meters[0]: first.keys[first.meters[0]]}
    answer = _enroll(stage, _request(stage, History(f"{stage.name}-b", keys, [])), "--yes")
    return [
        Objection("ledger", "enroll, warning", line) for line in answer.out.splitlines() if line.startswith("warning")
    ]


CASES = {
    "unsigned-request": Case("ledger", "enroll, exit 2", "no signed enrolment request", _unsigned),
    "request-with-anothers-key": Case(
        "ledger", "enroll, exit 2", "no signed enrolment request", _with(_key_of_another)
    ),
    "request-changed-on-its-way": Case(
        "ledger", "enroll, exit 2", "no signed enrolment request", _with(_other_identity)
    ),
    "two-requests-in-one-file": Case("ledger", "enroll, exit 2", "no signed enrolment request", _two_at_once),
    "foreign-name-enrolled": Case("ledger", "enroll, exit 2", "another statement key", _foreign_name),
    "second-key-without-the-old-one": Case("ledger", "enroll, exit 2", "another statement key", _second_key),
    "revoked-key-asks-again": Case("ledger", "enroll, exit 2", "stolen", _revoked_asks_again),
    "enrolled-without-a-question": Case("ledger", "enroll, exit 2", "--yes", _nobody_asked),
    "one-device-at-two-gateways": Case("ledger", "enroll, warning", "serial=", _one_device_at_two),
    "one-key-at-two-gateways": Case("ledger", "enroll, warning", "key", _one_key_at_two),
}
