/* Receipts: COSE Receipts of inclusion (RFC 9942 §5.2), as ledger_client/formats/receipt.py.
 *
 * One with the claim "size" is in Meterseal's own form and read strictly, another one is a foreign ledger's. */

const RFC9162_SHA256 = 1n;
const INCLUSION = -1n;
const CWT_TIME = 1n; // tag of an epoch time; RFC 8392 §2 leaves it out, some ledgers do not

function parseReceipt(bytes) {
  let sign1 = Sign1.parse(within(bytes, MAX_BUNDLE, "receipt"), true);
  const claims = sign1.header.get(CWT_CLAIMS);
  const ours = isMap(claims) && claims.has("size");
  if (ours) {
    sign1 = Sign1.parse(bytes);
    table(sign1.header, "receipt header", [HEADER_ALG, HEADER_KID, CWT_CLAIMS, VDS]);
    table(sign1.unprotected, "receipt unprotected header", [VDP]);
    blob(sign1.header.get(HEADER_KID), "receipt kid", 32);
  }
  const receipt = ours ? ourClaims(sign1.header.get(CWT_CLAIMS)) : foreignClaims(claims);
  const [kid, vds] = [sign1.header.get(HEADER_KID), sign1.header.get(VDS)];
  if (!isBytes(kid) || !kid.length || kid.length > 256) throw malformed("not-receipt");
  if (!isInt(vds) || !isInt(sign1.header.get(HEADER_ALG))) throw malformed("not-receipt");
  if (sign1.payload !== null) throw malformed("not-receipt");
  let place = { size: 0n, index: 0n, path: [] };
  if (vds === RFC9162_SHA256) place = proof(decode(oneProof(sign1, ours), !ours), "inclusion proof", 1);
  return { ...receipt, kid, vds, place, sign1 };
}

function ourClaims(value) {
  const claims = table(value, "receipt claims", [ISS, SUB, IAT, "size"]);
  return {
    ledger: name(claims.get(ISS), "receipt iss"),
    sub: text(claims.get(SUB), "receipt sub"),
    iat: timeS(claims.get(IAT), "receipt iat"),
    sizeClaim: uint(claims.get("size"), "receipt size"),
  };
}

function foreignClaims(claims) {
  if (!isMap(claims)) throw malformed("not-receipt");
  return {
    sub: claims.has(SUB) ? text(claims.get(SUB), "receipt sub", 8192) : null,
    iat: claims.has(IAT) ? foreignTime(claims.get(IAT)) : null,
    ledger: text(claims.get(ISS), "receipt iss", 8192),
    sizeClaim: null,
  };
}

/** A NumericDate (RFC 8392 §2: integer or float) as whole seconds, never earlier than it says. */
function foreignTime(value) {
  const plain = value instanceof Tag && value.tag === CWT_TIME ? value.value : value;
  return timeS(Number.isFinite(plain) ? BigInt(Math.ceil(plain)) : plain, "receipt iat");
}

function oneProof(sign1, ours) {
  const proofs = sign1.unprotected.get(VDP);
  if (ours) table(proofs, "receipt proofs", [INCLUSION]);
  if (!isMap(proofs)) throw malformed("not-receipt");
  const [encoded] = array(proofs.get(INCLUSION), "inclusion proofs", 1, 1);
  if (!isBytes(encoded)) throw malformed("not-byte-string", { what: "inclusion proof" });
  return encoded;
}

/** Step 6: the key's owner has logged this entry. */
async function checkReceipt(receipt, entry, statementId, key) {
  const { vds, sizeClaim, place } = receipt;
  if (vds !== RFC9162_SHA256) throw at(receipt, "receipt-structure", { structure: vds });
  if (sizeClaim !== null && sizeClaim !== place.size) {
    throw at(receipt, "receipt-size", { size: place.size, signed: sizeClaim });
  }
  if (sizeClaim !== null && receipt.sub !== base64url(statementId)) {
    throw at(receipt, "receipt-other-statement", { sub: receipt.sub });
  }
  try {
    const root = await rootFromPath(await leafHash(entry), place);
    await receipt.sign1.verify(key, root, false); // nothing hashes a receipt: a twin harms nobody
  } catch (error) {
    throw error instanceof Failure ? at(receipt, error.sentence) : error;
  }
}

/** A failure at step 6 (or another one) with the ledger before it. */
function at(receipt, what, facts = {}, step = 6) {
  const sentence = what instanceof Sentence ? what : new Sentence(what, facts);
  return new Failure(step, "at", { place: receipt.ledger, what: sentence });
}
