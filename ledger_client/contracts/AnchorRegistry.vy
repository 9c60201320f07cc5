# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas
# london: no PUSH0, so that Besu, FISCO BCOS and ChainMaker's EVM run it as they come
"""
@title AnchorRegistry
@license Apache-2.0
@notice Which statement id each gateway has anchored under which batch number: once, in order, for ever.
@dev A gateway is the SHA-256 of its name. It outlives its accounts: one account at a time writes for it, the owner
     replaces or revokes that account, and the story goes on. Whoever wants the state off the chain rebuilds it from the
     events; `previous` leads from each anchor of a gateway to the block of the one before, without a search.
     Nothing is deleted, nothing is called, no value is taken.
"""

event OwnershipOffered:
    owner: indexed(address)
    heir: indexed(address)

event OwnershipTaken:
    owner: indexed(address)

event Registered:
    gateway: indexed(bytes32)
    account: indexed(address)
    name: String[64]

event Rotated:
    gateway: indexed(bytes32)
    old: indexed(address)
    new: indexed(address)

event Revoked:
    gateway: indexed(bytes32)
    account: indexed(address)

event BridgeSet:
    account: indexed(address)
    allowed: bool

event Anchored:
    gateway: indexed(bytes32)
    batch: indexed(uint64)
    id: indexed(bytes32)
    prev: bytes32
    resume: bool
    account: address
    previous: uint64  # block of this gateway's anchor before; 0: none

event AnchoredMany:
    root: indexed(bytes32)
    account: indexed(address)
    size: uint64

owner: public(address)
heir: public(address)
accountOf: public(HashMap[bytes32, address])  # gateway -> the one account that may write for it now
isBridge: public(HashMap[address, bool])
get: public(HashMap[bytes32, HashMap[uint64, bytes32]])  # gateway -> batch -> statement id; empty: none
_gateways: HashMap[address, bytes32]  # account -> its gateway; never changes, so that an account never changes sides
_last: HashMap[bytes32, uint256]  # gateway -> 2**128 + batch * 2**64 + block of the last anchor; 0: none
_roots: HashMap[bytes32, uint256]  # shared root -> number of ids under it * 2**64 + block; 0: none


@deploy
def __init__():
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
def register(account: address, name: String[64]):
    """
    @notice Let an account write for the gateway of this name, which has none now.
    """
    self._only_owner()
    gateway: bytes32 = sha256(name)
    assert len(name) > 0, "No name"
    assert self.accountOf[gateway] == empty(address), "Gateway has an account: rotate"
    self._begin(gateway, account)
    log Registered(gateway=gateway, account=account, name=name)


@external
def rotate(old: address, new: address):
    """
    @notice Put a new account in the place of an old one, which may not write from here on.
    """
    self._only_owner()
    gateway: bytes32 = self._gateway_of(old)
    self._begin(gateway, new)
    log Rotated(gateway=gateway, old=old, new=new)


@external
def revoke(account: address):
    """
    @notice Stop an account for ever. Its gateway goes on when another account is registered under its name.
    """
    self._only_owner()
    gateway: bytes32 = self._gateway_of(account)
    self.accountOf[gateway] = empty(address)
    log Revoked(gateway=gateway, account=account)


@external
def setBridge(account: address, allowed: bool):
    """
    @notice Give an account the role bridge, or take it away.
    """
    self._only_owner()
    self.isBridge[account] = allowed
    log BridgeSet(account=account, allowed=allowed)


@external
def anchor(batch: uint64, id: bytes32, prev: bytes32, resume: bool) -> bool:
    """
    @notice Write down the statement id of a batch of the sender's gateway.
    @dev The first one at any number; then last + 1 with prev = the last id; with resume any number above the last.
    @return True: written now. False: it was there already, nothing happened.
    """
    gateway: bytes32 = self._gateway_of(msg.sender)
    assert id != empty(bytes32), "No statement id"
    known: bytes32 = self.get[gateway][batch]
    if known == id:
        return False
    assert known == empty(bytes32), "Batch number taken"
    last: uint256 = self._last[gateway]
    if last != 0:
        number: uint256 = (last >> 64) & convert(max_value(uint64), uint256)
        if resume:
            assert convert(batch, uint256) > number, "Out of order"
        else:
            assert convert(batch, uint256) == number + 1, "Out of order"
            assert prev == self.get[gateway][convert(number, uint64)], "Out of order"
    self.get[gateway][batch] = id
    self._last[gateway] = (1 << 128) | (convert(batch, uint256) << 64) | block.number
    log Anchored(
        gateway=gateway,
        batch=batch,
        id=id,
        prev=prev,
        resume=resume,
        account=msg.sender,
        previous=convert(last & convert(max_value(uint64), uint256), uint64),
    )
    return True


@external
def anchorMany(root: bytes32, size: uint64) -> bool:
    """
    @notice Write down the root of a tree over the statement ids of many gateways. Order is the bridge's duty.
    @return True: written now. False: it was there already, nothing happened.
    """
    assert self.isBridge[msg.sender], "Unknown account"
    assert root != empty(bytes32) and size > 0, "No root"
    known: uint256 = self._roots[root]
    if known >> 64 == convert(size, uint256):
        return False
    assert known == 0, "Root taken"
    self._roots[root] = (convert(size, uint256) << 64) | block.number
    log AnchoredMany(root=root, account=msg.sender, size=size)
    return True


@external
@view
def last(gateway: bytes32) -> (bool, uint64, bytes32, uint64):
    """
    @notice Whether a gateway has anchored anything, and of its last anchor: batch, statement id, block.
    """
    last: uint256 = self._last[gateway]
    batch: uint64 = convert((last >> 64) & convert(max_value(uint64), uint256), uint64)
    at: uint64 = convert(last & convert(max_value(uint64), uint256), uint64)
    return last != 0, batch, self.get[gateway][batch], at


@external
@view
def shared(root: bytes32) -> (uint64, uint64):
    """
    @notice Of a shared root: how many ids are under it, and its block; zeros if it was not anchored.
    """
    known: uint256 = self._roots[root]
    return convert(known >> 64, uint64), convert(known & convert(max_value(uint64), uint256), uint64)


@external
@view
def gatewayOf(account: address) -> (bytes32, bool):
    """
    @notice The gateway that an account was registered for, and whether it may write for it now.
    """
    gateway: bytes32 = self._gateways[account]
    return gateway, gateway != empty(bytes32) and self.accountOf[gateway] == account


@internal
def _only_owner():
    assert msg.sender == self.owner, "Not the owner"


@internal
def _begin(gateway: bytes32, account: address):
    assert account != empty(address), "No account"
    assert self._gateways[account] == empty(bytes32), "Account was used before"
    self._gateways[account] = gateway
    self.accountOf[gateway] = account


@internal
@view
def _gateway_of(account: address) -> bytes32:
    gateway: bytes32 = self._gateways[account]
    assert gateway != empty(bytes32) and self.accountOf[gateway] == account, "Unknown account"
    return gateway
