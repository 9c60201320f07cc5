"""Random claims to ClaimRegistry, to the embedded ledger and to a model of single units: all agree after each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TypeVar

from ledger_client.claims import claim, registry
from ledger_client.claims.memory_state import MemoryState
from ledger_client.contracts.abi import Argument, number
from ledger_client.contracts.claim_registry import CONTRACT, ISSUER, PARTY, STATUSES, event
from ledger_client.errors import Refused
from ledger_client.ledgers.evm.node import Log, Node, Reverted
from tests.ledger_client.evm.chain import deploy
from tests.ledger_client.evm.claim_desk import Desk, doubles, opened
from tests.ledger_client.evm.claim_model import Model, No, Unit
from tests.ledger_client.evm.claim_replay import Replay
from tests.ledger_client.evm.claims import DAY, REGISTRY, Cert, Claims, h

ISSUERS, PARTIES = ("issuer", "rival"), ("ann", "bo", "cy", "dee")
NAMES = (*ISSUERS, *PARTIES)
_OWNED = 0.02  # share of the operations that the owner does
DONE, AGAIN = "done", "the same again"
Outcome = tuple[str, str]  # what was tried, and what became of it

_T = TypeVar("_T", Model, MemoryState)
Try = Callable[[Model], None]
Tried = list[tuple[str, int, claim.Deed]]


@dataclass(slots=True)
class Walk:
    """``seen``: how often each operation had each outcome."""

    made: Claims
    desk: Desk
    random: random.Random
    model: Model = field(default_factory=Model)
    state: MemoryState = field(default_factory=MemoryState)
    replay: Replay = field(default_factory=Replay)
    certs: list[Cert] = field(default_factory=list)
    seen: Counter[Outcome] = field(default_factory=Counter)

    def step(self) -> None:
        """One operation, and everything that it may have changed compared."""
        self.random.choice((self._issue, self._move, self._move, self._move, self._withdraw))()
        revoked = [name for name in NAMES if name not in self.model.roles]
        if self.random.random() < (0.05 if revoked else _OWNED) and self.made.fresh_left():
            self.change_role(self.random.choice(revoked or NAMES))

    def change_role(self, name: str) -> None:
        """The owner registers, rotates or revokes, while the node has fresh accounts."""
        role = "issuer" if name in ISSUERS else "party"
        if name not in self.model.roles:
            receipt = self.made.register(name, ISSUER if role == "issuer" else PARTY)
            self.desk.register(name, role)
            self.model.roles[name] = role
        elif self.random.random() < 0.5:
            new = self.made.fresh()
            receipt = self.made.call_as_owner("rotate", self.made.account[name], new)
            self.made.account[name] = new
            self.desk.rotate(name)
        else:
            receipt = self.made.call_as_owner("revoke", self.made.account[name])
            self.desk.revoke(name)
            del self.model.roles[name]
        self._hear(receipt.logs)
        self.seen["own", DONE] += 1

    def _issue(self) -> None:
        who = self._who(ISSUERS)
        count = self.random.choice((1, 1, 1, 2, 3))
        device, day = self.random.choice("xy"), DAY + self.random.randrange(2) + len(self.certs) // 100
        certs = [self._cert(who, device, day) for _ in range(count)]
        if self.certs and self.random.random() < 0.1:
            certs = [self.random.choice(self.certs)]
            who, device = certs[0].issuer, certs[0].device
        if self.random.random() < 0.05:
            certs[-1] = certs[-1]._replace(end=certs[-1].begin + self.random.choice((0, 4500, 450)))
        known = self.model.numbers[certs[0].issuer] - 1
        first = known if certs[0] in self.certs and self.random.random() < 0.5 else self._number(who)
        stand = all(self.model.units.get((c.id, 0), ("withdrawn",))[0] != "withdrawn" for c in certs)
        if who in self.model.roles and first < self.model.numbers[who] and stand and {c.issuer for c in certs} == {who}:
            data = CONTRACT.call("issue", first, h(device), [cert.interval for cert in certs])
            assert number(self.made.registry.node.call(self.made.registry.address, data, self.made.account[who])) == 0
            if (who, first) in self.desk.given:
                self.desk.again(who, first)
            self.seen["issue", AGAIN] += 1
            return
        mine = [cert._replace(issuer=who) for cert in certs]

        def take(model: Model) -> None:
            for n, cert in enumerate(mine):
                if not _well_formed(cert):
                    model.count(who, first + n, "issuer", "Not the issuer")
                    raise No("Malformed claim")
                quarters = frozenset((device, q) for q in range(cert.begin // 900, cert.end // 900))
                model.issue(who, first + n, cert.id, cert.holder, quarters, cert.units)

        tried: Tried = (
            [(who, first + n, _issue(cert)) for n, cert in enumerate(mine)] if all(map(_well_formed, mine)) else []
        )
        done = self._try("issue", who, take, tried, first, h(device), [cert.interval for cert in certs])
        self.certs += mine if done else []
        self._compare(mine, (who,) if done else ())

    def _move(self) -> None:
        cert = self._known()
        a = self.random.randrange(max(cert.units, 1))
        b = (
            self.random.randint(a + 1, max(cert.units, a + 1))
            if self.random.random() < 0.9
            else self.random.randrange(20)
        )
        holder = self.model.units.get((cert.id, a), ("", self.random.choice(PARTIES)))[1]
        who = holder if self.random.random() < 0.85 else self._who(PARTIES)
        to = self.random.choice((*PARTIES, "nobody", "issuer") if self.random.random() < 0.2 else PARTIES)
        found = self.replay.start(cert.id, a)
        start = self.random.randrange(20) if found is None or self.random.random() < 0.1 else found
        part: list[Unit] = [(cert.id, unit) for unit in range(a, b)]
        if start != found and part:
            part = [(cert.id, 2**63)]  # one that no certificate has
        first, slice_ = self._number(who), (a, b)
        method = self.random.choice(("transfer", "transfer", "retire", "export"))
        deed: claim.Deed
        rest: tuple[Argument, ...]
        match method:
            case "transfer":
                status, deed, rest = "held", claim.Transfer(cert.id, slice_, to), (h(to),)
            case "retire":
                status, to, rest = "retired", who, ("use", 1, 2, h("for"))
                deed = claim.Retire(cert.id, slice_, "use", 1000, 2000, h("for"))
            case _:
                status, to, rest = "exported", who, ("elsewhere", "7")
                deed = claim.Export(cert.id, slice_, "elsewhere", "7")
        tried: Tried = [(who, first, deed)] if a < b and start == found else []
        take = partial(Model.move, who=who, number=first, part=part, status=status, to=to)
        done = self._try(method, who, take, tried, first, cert.id, start, a, b, *rest, h("claim"))
        self._compare([cert], (who,) if done else ())

    def _withdraw(self) -> None:
        cert = self._known()
        who = cert.issuer if self.random.random() < 0.9 else self._who(ISSUERS)
        first = self._number(who)
        mine = cert._replace(issuer=who)  # the contract makes the id of its sender's name
        take = partial(Model.withdraw, who=who, number=first, cert=mine.id)
        tried: Tried = [(who, first, claim.Withdraw(mine.id, "wrong"))]
        done = self._try("withdraw", who, take, tried, first, *cert.parts, "wrong", h("claim"))
        self._compare([cert], (who,) if done else ())

    def _try(self, method: str, who: str, take: Try, tried: Tried, *arguments: Argument) -> bool:
        """Whether it was taken, by all or by none; ``tried``: the same as claims, if they can be written."""
        why = self._model(take)
        if tried:
            assert self._python(tried) == why, (method, who, tried)
            if why is None or len(tried) == 1:  # a ledger takes each claim by itself, the contract a call or nothing
                answers = [self.desk.claim(*one) for one in tried]
                assert answers == [why] * len(tried), (method, who, tried)
        assert self._contract(who, method, *arguments) == why, (method, who, arguments)
        self.seen[method, why or DONE] += 1
        return why is None

    def _contract(self, who: str, method: str, *arguments: Argument) -> str | None:
        try:
            self._hear(self.made.registry.send(self.made.account[who], method, *arguments).logs)
        except Reverted as error:
            return str(error)
        return None

    def _model(self, take: Try) -> str | None:
        tried = _another(self.model)
        try:
            take(tried)
        except No as no:
            return str(no)
        self.model = tried
        return None

    def _python(self, claims_tried: Tried) -> str | None:
        tried = _another(self.state) if len(claims_tried) > 1 else self.state
        try:
            for who, first, deed in claims_tried:
                registry.apply(tried, claim.Claim(who, first, REGISTRY, 1, deed), self.model_roles, REGISTRY)
        except Refused as refused:
            return refused.title
        self.state = tried
        return None

    def model_roles(self, name: str) -> str | None:
        return self.model.roles.get(name)

    def _hear(self, logs: list[Log]) -> None:
        events = (event(log.topics, log.data) for log in logs)
        self.replay.hear(one for one in events if one is not None)

    def compare_all(self) -> None:
        """All of it, on the chain too, and what the ledger's log gives by itself; no unit is lost, no hour double."""
        self._compare(self.certs, NAMES)
        assert self.desk.replayed() == self.state
        assert len(self.model.units) == sum(cert.units for cert in self.certs)
        assert doubles(self.state) == 0

    def _compare(self, certs: list[Cert], changed: tuple[str, ...]) -> None:
        """What the replay of the events, the registry in Python and the model hold; and the contract, where a party has
        ``changed`` it: what was refused was asked, not sent."""
        for cert in certs:
            slices = self.replay.slices.get(cert.id, {})
            units = {unit: (status, who) for start, (end, status, who) in slices.items() for unit in range(start, end)}
            held = {n: self.model.units[cert.id, n] for n in range(20) if (cert.id, n) in self.model.units}
            assert units == {n: (status, h(who)) for n, (status, who) in held.items()}
            assert [(start, end, status, holder) for start, (end, status, holder) in sorted(slices.items())] == [
                (one.begin, one.end, one.status, h(one.holder)) for one in self.state.slices(cert.id, (0, 2**63))
            ]
            for start in {0, *slices} if changed else ():
                end, status, holder = slices.get(start, (0, None, bytes(32)))
                assert self.made.slice(cert, start) == (end, STATUSES.index(status), holder)
            self._compare_quarters(cert.device, cert.begin // 86400, on_chain=bool(changed))
            self.desk.compare(cert, self.state)
        for name in NAMES:
            assert self.model.numbers[name] == self.replay.numbers[h(name)] == self.state.next_number(name)
            assert self.model.numbers[name] == self.desk.next(name)
        for name in changed:
            assert self.made.next(name) == self.model.numbers[name]

    def _compare_quarters(self, device: str, day: int, *, on_chain: bool) -> None:
        quarters = range(day * 96, day * 96 + 96)
        taken = {quarter for quarter in quarters if (device, quarter) in self.model.taken}
        assert taken == {quarter for quarter in quarters if (h(device), quarter) in self.replay.taken}
        assert taken == {quarter for quarter in quarters if (h(device), quarter) in self.state.origins}
        if on_chain:
            assert self.made.quarters(device, day) == sum(1 << quarter % 96 for quarter in taken)

    def _who(self, names: tuple[str, ...]) -> str:
        return self.random.choice(names if self.random.random() < 0.95 else NAMES)

    def _number(self, who: str) -> int:
        due = self.model.numbers[who]
        return due if self.random.random() < 0.93 else max(0, due + self.random.choice((-2, -1, 1, 2)))

    def _known(self) -> Cert:
        """One of the certificates, rather a late one; or one that there is not."""
        if not self.certs or self.random.random() < 0.03:
            return self._cert(self.random.choice(ISSUERS), "x", DAY)
        late = self.certs[-12:]
        held = [
            cert for cert in late if ("held", cert.holder) in map(self.model.units.get, self.model.issued[cert.id][3])
        ]
        return self.random.choice(held or late if self.random.random() < 0.8 else self.certs)

    def _cert(self, issuer: str, device: str, day: int) -> Cert:
        quarters = self.random.choice((1, 2, 4))
        begin = day * 86400 + 900 * self.random.randrange(97 - quarters)
        units = self.random.randrange(1, 13) if self.random.random() < 0.97 else 0
        holder = self.random.choice((*PARTIES, "nobody", "rival") if self.random.random() < 0.1 else PARTIES)
        row = f"row {self.random.randrange(2)}"
        return Cert(issuer, device, begin, begin + 900 * quarters, units, "period", row, holder)


def _another(one: _T) -> _T:
    """The same again, to try a claim on; what is inside of its tables is replaced and never changed."""
    return type(one)(*(copy(getattr(one, each.name)) for each in fields(one)))


def _well_formed(cert: Cert) -> bool:
    """Whether it is an interval of C2, as begin and day of the ones here are always good."""
    return cert.units > 0 and 0 < cert.end - cert.begin <= 3600 and cert.end % 900 == 0


def _issue(cert: Cert) -> claim.Issue:
    origin = claim.Origin("gw", "node", cert.device, cert.begin * 1000, cert.end * 1000)
    return claim.Issue(origin, cert.units, cert.holder, h(cert.period), h(cert.row))


def walk(node: Node, folder: Path, seed: int, operations: int) -> Walk:
    """Random ``operations`` on a fresh contract and a fresh ledger in ``folder``; a failing assertion where two of
    them all do not agree."""
    with opened(folder) as desk:
        done = Walk(Claims(deploy(node, CONTRACT, REGISTRY)), desk, random.Random(seed))
        for name in NAMES:
            done.change_role(name)
        for _ in range(operations):
            done.step()
        done.compare_all()
    return done
