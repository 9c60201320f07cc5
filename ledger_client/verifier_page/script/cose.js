/* COSE_Sign1 (RFC 9052 §4.2), as ledger_client/formats/cose.py. */

const [HEADER_ALG, HEADER_CRIT, CONTENT_TYPE, HEADER_KID, CWT_CLAIMS] = [1n, 2n, 3n, 4n, 15n];
const [RECEIPTS, VDS, VDP] = [394n, 395n, 396n]; // RFC 9942
const [ISS, SUB, IAT] = [1n, 2n, 6n]; // RFC 8392 §4

class Sign1 {
  constructor(protectedBytes, header, unprotected, payload, signature) {
    this.protectedBytes = protectedBytes;
    this.header = header;
    this.unprotected = unprotected;
    this.payload = payload; // null: detached
    this.signature = signature;
  }

  static parse(bytes, foreign = false) {
    const tagged = decode(bytes, foreign);
    if (!(tagged instanceof Tag) || tagged.tag !== TAG_SIGN1) throw malformed("not-sign1");
    const [protectedBytes, unprotected, payload, signature] = array(tagged.value, "COSE_Sign1", 4, 4);
    if (!isBytes(protectedBytes) || !isMap(unprotected)) throw malformed("not-sign1");
    if (!(payload === null || isBytes(payload)) || !isBytes(signature)) throw malformed("not-sign1");
    const header = protectedBytes.length ? decode(protectedBytes, foreign) : new Map();
    if (!isMap(header)) throw malformed("not-sign1");
    if (header.has(HEADER_CRIT) || unprotected.has(HEADER_CRIT)) throw malformed("sign1-crit");
    for (const label of header.keys()) if (unprotected.has(label)) throw malformed("sign1-twice");
    return new Sign1(protectedBytes, header, unprotected, payload, signature);
  }

  /** The same with an empty unprotected header: the entry as a ledger logs it. */
  entry() {
    const payload = this.payload === null ? Uint8Array.of(0xf6) : encodedBytes(this.payload);
    const head = Uint8Array.of(0xd2, 0x84);
    return joined(head, encodedBytes(this.protectedBytes), Uint8Array.of(0xa0), payload, encodedBytes(this.signature));
  }

  /** Throws unless `key` signed this, with the payload given where it is detached. */
  async verify(key, payload = null, lowS = true) {
    const alg = this.header.get(HEADER_ALG);
    if (!key.accepts(alg)) throw new Failure(2, "signature-algorithm", { alg: shown(alg), own: key.alg });
    const content = payload ?? this.payload;
    if (content === null) throw new Failure(2, "signature-detached");
    await key.verify(this.signature, signedBytes(this.protectedBytes, content), lowS);
  }
}

/** What is signed (§4.4); an empty map as protected header counts as the empty string. */
function signedBytes(protectedBytes, payload) {
  const header = sameBytes(protectedBytes, Uint8Array.of(0xa0)) ? new Uint8Array() : protectedBytes;
  const context = joined(Uint8Array.of(0x84, 0x6a), utf8("Signature1"));
  return joined(context, encodedBytes(header), Uint8Array.of(0x40), encodedBytes(payload));
}

/** The protected header of a record or a statement: alg, content type, kid and claims, and nothing else. */
function entryHeader(header, what) {
  table(header, `${what} header`, [HEADER_ALG, CONTENT_TYPE, HEADER_KID, CWT_CLAIMS]);
  const alg = header.get(HEADER_ALG);
  if (!isInt(alg) || ![...ED25519_ALGS, ...P256_ALGS].includes(alg)) throw malformed("header-alg", { alg: shown(alg) });
  return header;
}
