# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas
# london: no PUSH0, so that Besu, FISCO BCOS and ChainMaker's EVM run it as they come
"""
@title ClaimRegistry
@license Apache-2.0
@notice Who holds which units of which certificate: issued once for an hour of a device, handed on, used once.
@dev A party is the SHA-256 of its name and outlives its accounts, one at a time, which the owner registers, replaces or
     revokes. A certificate's units [0, units) are partitioned by its slices: never merged, never deleted. Claims of a
     party are numbered 0, 1, 2 … without a hole. Whoever wants the state off the chain rebuilds it from the events.
     Nothing is called but the precompiled SHA-256, no value is taken.
"""

struct Interval:
    begin: uint64  # Unix seconds, a multiple of 900, as `end`
    end: uint64
    units: uint64  # Wh
    period: bytes32  # id of the period statement
    row: bytes32  # leaf of the row
    holder: bytes32  # SHA-256 of the first holder's name
    claim: bytes32  # SHA-256 of the signed claim that says the same; here and below it only stands in the event

event OwnershipOffered:
    owner: indexed(address)
    heir: indexed(address)

event OwnershipTaken:
    owner: indexed(address)

event Registered:
    party: indexed(bytes32)
    account: indexed(address)
    role: uint8
    name: String[64]

event Rotated:
    party: indexed(bytes32)
    old: indexed(address)
    new: indexed(address)

event Revoked:
    party: indexed(bytes32)
    account: indexed(address)

event Issued:
    cert: indexed(bytes32)
    issuer: indexed(bytes32)
    holder: indexed(bytes32)
    number: uint64
    device: bytes32
    begin: uint64
    end: uint64
    units: uint64
    period: bytes32
    row: bytes32
    claim: bytes32
    account: address

event Transferred:
    cert: indexed(bytes32)
    party: indexed(bytes32)
    to: indexed(bytes32)
    number: uint64
    start: uint64
    a: uint64
    b: uint64
    claim: bytes32
    account: address

event Retired:
    cert: indexed(bytes32)
    party: indexed(bytes32)
    beneficiary: indexed(bytes32)
    number: uint64
    start: uint64
    a: uint64
    b: uint64
    begin: uint64
    end: uint64
    claim: bytes32
    account: address
    purpose: String[64]

event Exported:
    cert: indexed(bytes32)
    party: indexed(bytes32)
    number: uint64
    start: uint64
    a: uint64
    b: uint64
    claim: bytes32
    account: address
    into: String[64]
    reference: String[128]

event Withdrawn:
    cert: indexed(bytes32)
    issuer: indexed(bytes32)
    holder: indexed(bytes32)
    number: uint64
    device: bytes32
    begin: uint64
    end: uint64
    units: uint64
    period: bytes32
    row: bytes32
    claim: bytes32
    account: address
    reason: String[128]

PARTY: constant(uint8) = 1
ISSUER: constant(uint8) = 2

HELD: constant(uint256) = 1
RETIRED: constant(uint256) = 2
EXPORTED: constant(uint256) = 3
WITHDRAWN: constant(uint256) = 4

U64: constant(uint256) = 2**64 - 1
SHORT: constant(uint256) = 2**160 - 1  # a party in a word: the first 20 bytes of its hash
STOPPED: constant(uint256) = 1 << 72
QUARTER_S: constant(uint64) = 900
HOUR_S: constant(uint64) = 3600
DAY_S: constant(uint64) = 86400

registry: public(immutable(bytes32))  # SHA-256 of the registry's name
owner: public(address)
heir: public(address)
roleOf: public(HashMap[bytes32, uint8])  # party -> its one role while an account may write for it, else 0
taken: public(HashMap[bytes32, HashMap[uint64, uint256]])  # device -> UTC day -> a bit for each quarter hour, 0:00 lowest
_accounts: HashMap[address, uint256]  # party's 20 bytes, STOPPED, role u8, next claim number u64; an account never changes sides
_newest: HashMap[bytes32, address]  # party -> the account registered last
_parties: HashMap[uint256, bytes32]  # 20 bytes -> the whole hash
_slices: HashMap[bytes32, HashMap[uint64, uint256]]  # certificate -> start -> end u64, status u8, holder's 20 bytes; 0: none


@deploy
def __init__(name: String[64]):
    assert len(name) > 0, "No name"
    registry = sha256(name)
    self.owner = msg.sender
    log OwnershipTaken(owner=msg.sender)


@external
def offerOwnership(heir: address):
    """
    @notice Let another account take the contract over; until it does, nothing changes. The empty address takes it back.
    """
    self._only_owner()
    self.heir = heir
    log OwnershipOffered(owner=msg.sender, heir=heir)


@external
def takeOwnership():
    assert msg.sender == self.heir, "Not the heir"
    self.owner = msg.sender
    self.heir = empty(address)
    log OwnershipTaken(owner=msg.sender)


@external
def register(account: address, name: String[64], role: uint8):
    """
    @notice Let an account write for the party (role 1) or issuer (role 2) of this name, which has none now.
    """
    self._only_owner()
    assert len(name) > 0, "No name"
    assert role == PARTY or role == ISSUER, "No role"
    party: bytes32 = sha256(name)
    short: uint256 = self._short(party)
    word: uint256 = (short << 96) | (convert(role, uint256) << 64)
    if self._parties[short] == empty(bytes32):
        self._parties[short] = party
    else:
        last: uint256 = self._accounts[self._newest[party]]  # 0 for another name with the same 20 bytes
        assert self._role(last) == role, "Name has another role"
        assert last & STOPPED != 0, "Party has an account: rotate"
        word |= last & U64
    self.roleOf[party] = role
    self._begin(account, party, word)
    log Registered(party=party, account=account, role=role, name=name)


@external
def rotate(old: address, new: address):
    """
    @notice Put a new account in the place of an old one, which may not write from here on. Claim numbers go on.
    """
    self._only_owner()
    word: uint256 = self._stop(old)
    party: bytes32 = self._parties[word >> 96]
    self._begin(new, party, word)
    log Rotated(party=party, old=old, new=new)


@external
def revoke(account: address):
    """
    @notice Stop an account for ever. Its party keeps what it holds, gets nothing, and goes on with another account.
    """
    self._only_owner()
    word: uint256 = self._stop(account)
    party: bytes32 = self._parties[word >> 96]
    self.roleOf[party] = 0
    log Revoked(party=party, account=account)


@external
def issue(number: uint64, device: bytes32, intervals: DynArray[Interval, 24]) -> bool:
    """
    @notice A certificate for each of up to 24 intervals of one device and UTC day; each takes the next claim number.
    @dev A call under a number that is taken does nothing if all its certificates stand: it was made before.
    @return True: issued now. False: they were there already, nothing happened.
    """
    word: uint256 = self._account()
    issuer: bytes32 = self._parties[word >> 96]
    next: uint64 = convert(word & U64, uint64)
    if number < next:
        assert len(intervals) > 0, "Claim number taken"
        for one: Interval in intervals:
            cert: bytes32 = self._cert(issuer, device, one.begin, one.end, one.units, one.period, one.row, one.holder)
            status: uint256 = (self._slices[cert][0] >> 160) & 255
            assert status != 0 and status != WITHDRAWN, "Claim number taken"
        return False
    assert number == next, "Out of order"
    assert self._role(word) == ISSUER, "Not the issuer"
    assert len(intervals) > 0, "Malformed claim"
    day: uint64 = intervals[0].begin // DAY_S
    quarters: uint256 = self.taken[device][day]
    for one: Interval in intervals:
        assert one.begin < one.end and one.end - one.begin <= HOUR_S, "Malformed claim"
        assert one.begin % QUARTER_S == 0 and one.end % QUARTER_S == 0, "Malformed claim"
        assert one.begin // DAY_S == day and (one.end - 1) // DAY_S == day, "Malformed claim"
        assert one.units > 0, "Malformed claim"
        assert self.roleOf[one.holder] == PARTY, "Unknown party"
        cert: bytes32 = self._cert(issuer, device, one.begin, one.end, one.units, one.period, one.row, one.holder)
        mine: uint256 = self._quarters(one.begin, one.end)
        assert (self._slices[cert][0] >> 160) & 255 != WITHDRAWN, "Final"
        assert quarters & mine == 0, "Origin taken"  # so is that of a certificate that stands
        quarters |= mine
        self._slices[cert][0] = self._slice(one.units, HELD, self._short(one.holder))
        log Issued(
            cert=cert,
            issuer=issuer,
            holder=one.holder,
            number=next,
            device=device,
            begin=one.begin,
            end=one.end,
            units=one.units,
            period=one.period,
            row=one.row,
            claim=one.claim,
            account=msg.sender,
        )
        next += 1
    self.taken[device][day] = quarters
    self._accounts[msg.sender] = word + len(intervals)
    return True


@external
def transfer(number: uint64, cert: bytes32, start: uint64, a: uint64, b: uint64, to: bytes32, claim: bytes32):
    """
    @notice Hand units [a, b), which the sender holds, to another party.
    @param start Where the slice begins that has unit a. [a, b) may go on through the slices after it.
    """
    me: uint256 = self._holder(number)
    assert a < b, "Malformed claim"
    self._move(cert, start, a, b, me, HELD, self._short(to))
    assert self.roleOf[to] == PARTY, "Unknown party"
    log Transferred(
        cert=cert,
        party=self._parties[me],
        to=to,
        number=number,
        start=start,
        a=a,
        b=b,
        claim=claim,
        account=msg.sender,
    )


@external
def retire(
    number: uint64,
    cert: bytes32,
    start: uint64,
    a: uint64,
    b: uint64,
    purpose: String[64],
    begin: uint64,
    end: uint64,
    beneficiary: bytes32,
    claim: bytes32,
):
    """
    @notice Use units [a, b) for a period of consumption [begin, end), in Unix seconds: final.
    @param beneficiary SHA-256(salt, name) of whom they are used for; empty: the sender.
    """
    me: uint256 = self._holder(number)
    assert a < b and begin < end, "Malformed claim"
    self._move(cert, start, a, b, me, RETIRED, me)
    log Retired(
        cert=cert,
        party=self._parties[me],
        beneficiary=beneficiary,
        number=number,
        start=start,
        a=a,
        b=b,
        begin=begin,
        end=end,
        claim=claim,
        account=msg.sender,
        purpose=purpose,
    )


@external
def export(
    number: uint64,
    cert: bytes32,
    start: uint64,
    a: uint64,
    b: uint64,
    into: String[64],
    reference: String[128],
    claim: bytes32,
):
    """
    @notice Units [a, b) go on in another registry, under its reference: final here.
    """
    me: uint256 = self._holder(number)
    assert a < b, "Malformed claim"
    self._move(cert, start, a, b, me, EXPORTED, me)
    log Exported(
        cert=cert,
        party=self._parties[me],
        number=number,
        start=start,
        a=a,
        b=b,
        claim=claim,
        account=msg.sender,
        into=into,
        reference=reference,
    )


@external
def withdraw(
    number: uint64,
    device: bytes32,
    begin: uint64,
    end: uint64,
    units: uint64,
    period: bytes32,
    row: bytes32,
    holder: bytes32,
    reason: String[128],
    claim: bytes32,
):
    """
    @notice Take a certificate of the sender back while its first holder holds all of it. Frees its quarter hours.
    """
    word: uint256 = self._in_order(number)
    assert self._role(word) == ISSUER, "Not the issuer"
    issuer: bytes32 = self._parties[word >> 96]
    cert: bytes32 = self._cert(issuer, device, begin, end, units, period, row, holder)
    assert self._slices[cert][0] != 0, "Not the issuer"
    self._move(cert, 0, 0, units, self._short(holder), WITHDRAWN, self._short(holder))
    self.taken[device][begin // DAY_S] ^= self._quarters(begin, end)
    log Withdrawn(
        cert=cert,
        issuer=issuer,
        holder=holder,
        number=number,
        device=device,
        begin=begin,
        end=end,
        units=units,
        period=period,
        row=row,
        claim=claim,
        account=msg.sender,
        reason=reason,
    )


@external
@view
def slice(cert: bytes32, start: uint64) -> (uint64, uint8, bytes32):
    """
    @notice Of the slice that begins at `start`: its end, its status (0: there is none; 1 held, 2 retired, 3 exported,
            4 withdrawn), and the party that holds it, or held it last.
    """
    word: uint256 = self._slices[cert][start]
    return convert(word >> 168, uint64), convert((word >> 160) & 255, uint8), self._parties[word & SHORT]


@external
@view
def party(account: address) -> (bytes32, uint8, bool):
    """
    @notice The party that an account was registered for, its role, and whether it may write for it now.
    """
    word: uint256 = self._accounts[account]
    return self._parties[word >> 96], self._role(word), word != 0 and word & STOPPED == 0


@external
@view
def accountOf(party: bytes32) -> address:
    """
    @notice The one account that may write for a party now.
    """
    account: address = self._newest[party]
    return empty(address) if self._accounts[account] & STOPPED != 0 else account


@external
@view
def nextNumber(party: bytes32) -> uint64:
    """
    @notice The number of a party's next claim.
    """
    return convert(self._accounts[self._newest[party]] & U64, uint64)


@internal
@view
def _only_owner():
    assert msg.sender == self.owner, "Not the owner"


@internal
def _begin(account: address, party: bytes32, word: uint256):
    assert account != empty(address), "No account"
    assert self._accounts[account] == 0, "Account was used before"
    self._accounts[account] = word
    self._newest[party] = account


@internal
def _stop(account: address) -> uint256:
    word: uint256 = self._accounts[account]
    assert word != 0 and word & STOPPED == 0, "Unknown account"
    self._accounts[account] = word | STOPPED
    return word


@internal
@view
def _account() -> uint256:
    word: uint256 = self._accounts[msg.sender]
    assert word != 0 and word & STOPPED == 0, "Unknown party"
    return word


@internal
def _in_order(number: uint64) -> uint256:
    word: uint256 = self._account()
    next: uint64 = convert(word & U64, uint64)
    assert number >= next, "Claim number taken"
    assert number == next, "Out of order"
    self._accounts[msg.sender] = word + 1
    return word


@internal
def _holder(number: uint64) -> uint256:
    word: uint256 = self._in_order(number)
    assert self._role(word) == PARTY, "Unknown party"
    return word >> 96


@internal
def _move(cert: bytes32, start: uint64, a: uint64, b: uint64, holder: uint256, status: uint256, heir: uint256):
    # the first unit from a on that `holder` cannot move says why not
    assert start <= a, "Not this slice"
    begin: uint64 = start
    for _: uint256 in range(U64):
        old: uint256 = self._slices[cert][begin]
        end: uint64 = convert(old >> 168, uint64)
        assert a < end, "Not this slice"
        assert (old >> 160) & 255 == HELD, "Final"
        assert old & SHORT == holder, "Not the holder"
        if begin < a:
            self._slices[cert][begin] = self._slice(a, HELD, holder)
        self._slices[cert][max(begin, a)] = self._slice(min(end, b), status, heir)
        if b < end:
            self._slices[cert][b] = self._slice(end, HELD, holder)
        if b <= end:
            break
        begin = end


@internal
@view
def _cert(
    issuer: bytes32,
    device: bytes32,
    begin: uint64,
    end: uint64,
    units: uint64,
    period: bytes32,
    row: bytes32,
    holder: bytes32,
) -> bytes32:
    edges: uint256 = (convert(begin, uint256) << 128) | (convert(end, uint256) << 64) | convert(units, uint256)
    said: bytes24 = convert(convert(edges, uint192), bytes24)
    return sha256(concat(registry, issuer, device, said, period, row, holder))


@internal
@pure
def _quarters(begin: uint64, end: uint64) -> uint256:
    width: uint256 = convert((end - begin) // QUARTER_S, uint256)
    return ((1 << width) - 1) << convert(begin % DAY_S // QUARTER_S, uint256)


@internal
@pure
def _slice(end: uint64, status: uint256, holder: uint256) -> uint256:
    return (convert(end, uint256) << 168) | (status << 160) | holder


@internal
@pure
def _short(party: bytes32) -> uint256:
    return convert(party, uint256) >> 96


@internal
@pure
def _role(word: uint256) -> uint8:
    return convert((word >> 64) & 255, uint8)
