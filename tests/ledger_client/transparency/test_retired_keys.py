"""A key that a request calls retired ends in the ledger's log; not by one who could have it mean something else."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger_client.enrolment.request import Enrolment, MeterKey, RetiredKey, sign_request
from ledger_client.errors import Refused
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import EnrollError, enroll, propose
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.verification.trust import TrustKey
from tests.ledger_client.transparency.test_cli import run
from tests.support.enrolled import Gateway

NAME, METER = "hydro-07", "export-main"
NOW = int(time.time())
FIRST, LATER = NOW - 1000, NOW - 100
"""When the old keys were enrolled, and when the new ones were asked for."""
USE = NOW + 3600
"""Behind the beginning of the ledger, whose receipts are of no time before."""


@dataclass
class Rotation:
    """A ledger of one gateway whose old statement key has signed a batch, and whose keys are replaced."""

    folder: Path
    gateway: Gateway = field(default_factory=lambda: Gateway(NAME))
    old: PrivateKey = field(default_factory=PrivateKey.generate)
    new: PrivateKey = field(default_factory=PrivateKey.generate)
    meters: tuple[PrivateKey, PrivateKey] = field(
        default_factory=lambda: (PrivateKey.generate(), PrivateKey.generate())
    )
    batch: int = 0

    def request(self, *retired: RetiredKey, time_s: int = LATER, thief: bool = False) -> Path:
        """With the new keys, signed by those before too where nothing is retired; ``thief``: with the old ones."""
        statement, meter = (self.old, self.meters[0]) if thief else (self.new, self.meters[1])
        both = not retired and not thief
        asked = Enrolment(
            NAME, time_s, statement.public,
            {METER: MeterKey(meter.public, None, self.meters[0].public if both else None)},
            self.old.public if both else None, retired,
        )  # fmt: skip
        path = self.folder.parent / "gateway.enrol"
        path.write_bytes(sign_request(asked, {k.public.kid: k for k in (self.old, self.new, *self.meters)}))
        return path

    def registers(self, key: PrivateKey, at_s: int) -> None:
        """The next batch, signed by this key, registered then."""
        self.gateway.key = key
        entry = self.gateway.statement(self.batch)
        with closing(open_dir(self.folder, "demo-ledger")) as folder:
            Service(folder, CommittedPolicy.begun(folder), now=lambda: at_s).submit(entry)
        self.batch += 1

    def key(self, of: PrivateKey) -> TrustKey:
        return next(key for key in load_policy(self.folder / "policy.toml").keys if key.kid == of.public.kid)


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    made = Rotation(tmp_path / "ledger")
    run("init", made.folder)
    enroll(made.folder, made.request(time_s=FIRST, thief=True))
    made.registers(made.old, USE - 5)
    enroll(made.folder, made.request())
    made.registers(made.new, USE + 30)
    return made


def retired(of: PrivateKey, at_s: int = USE + 20) -> RetiredKey:
    return RetiredKey(of.public.kid, at_s, "planned")


def test_enrolling_it_sets_until_when_the_key_counts(rotation: Rotation) -> None:
    request = rotation.request(retired(rotation.old), retired(rotation.meters[0]), retired(PrivateKey.generate()))
    assert run("enroll", rotation.folder, request, "--yes").out.count("retired (planned), counts until") == 2
    policy = (rotation.folder / "policy.toml").read_text()
    assert policy.count("# retired: planned") == 2
    assert [rotation.key(of).valid_to for of in (rotation.old, rotation.meters[0])] == [USE + 20] * 2
    assert [rotation.key(of).valid_to for of in (rotation.new, rotation.meters[1])] == [None] * 2
    assert not propose(rotation.folder, request).changes  # the same again is nothing
    again = rotation.request(retired(rotation.old, USE + 25))
    assert not propose(rotation.folder, again).changes
    with pytest.raises(Refused, match="counted until"):  # whoever has a copy
        rotation.registers(rotation.old, USE + 40)


def test_a_copy_of_the_old_key_retires_nothing_that_came_behind_it(rotation: Rotation) -> None:
    for of in (rotation.new, rotation.meters[1]):
        with pytest.raises(EnrollError, match="enrolled before it"):
            propose(rotation.folder, rotation.request(retired(of), thief=True))


def test_no_time_is_taken_from_which_on_something_true_would_be_worthless(rotation: Rotation) -> None:
    for of in (rotation.old, rotation.meters[0]):
        with pytest.raises(EnrollError, match="place counts from"):
            propose(rotation.folder, rotation.request(retired(of, LATER - 1)))
    rotation.registers(rotation.old, USE + 60)  # who has a copy was faster than the operator
    with pytest.raises(EnrollError, match="registered here at"):
        propose(rotation.folder, rotation.request(retired(rotation.old)))
    assert rotation.key(rotation.old).valid_to is None


def test_a_ledger_that_gets_to_know_both_at_once_holds_the_time_against_all_that_it_has(tmp_path: Path) -> None:
    """A gateway that has used its next keys without asking, and was away from this ledger."""
    made = Rotation(tmp_path / "ledger")
    run("init", made.folder)
    enroll(made.folder, made.request(time_s=FIRST, thief=True))
    made.registers(made.old, USE - 5)
    for of in (made.old, made.meters[0]):
        request = made.request(retired(of, USE - 6))
        with pytest.raises(EnrollError, match="registered here at"):
            propose(made.folder, request, add_key=True)
    ends = propose(made.folder, made.request(retired(made.old), retired(made.meters[0])), add_key=True).ends
    assert [end.valid_to for end in ends.values()] == [USE + 20] * 2
