/* Public keys: COSE_Key (RFC 9052 §7), thumbprints (RFC 9679), signatures in their one form (formats/cose_key.py). */

const ED25519_ALGS = [-8n, -19n];
const P256_ALGS = [-7n, -9n];
const [KTY, KID, ALG, KEY_OPS, CRV, X, Y, D] = [1n, 2n, 3n, 4n, -1n, -2n, -3n, -4n];

class PublicKey {
  constructor(alg, kid, algs, raw) {
    this.alg = alg;
    this.kid = kid;
    this.algs = algs;
    this.raw = raw; // 32 bytes, or 65 of an uncompressed point
  }

  get isEd25519() {
    return this.algs === ED25519_ALGS;
  }

  /** A COSE_Key in any encoding with definite lengths. */
  static async fromCoseKey(bytes) {
    const key = decode(bytes, true);
    if (isMap(key) && key.has(D)) throw malformed("key-private");
    table(key, "COSE_Key", [KTY, CRV, X], [KID, ALG, KEY_OPS, Y]);
    const [kty, crv, x] = [key.get(KTY), key.get(CRV), key.get(X)];
    const y = key.get(Y) ?? null;
    if (!isInt(kty) || !isInt(crv)) throw malformed("key-kind");
    blob(x, "COSE_Key x", 32);
    let algs, raw, thumb;
    if (kty === 1n && crv === 6n && y === null) {
      const problem = weakness(x);
      if (problem) throw malformed(problem);
      [algs, raw] = [ED25519_ALGS, x];
      thumb = joined(fromHex("a301012006215820"), x);
    } else if (kty === 2n && crv === 1n) {
      blob(y, "COSE_Key y", 32);
      if (!isOnP256(x, y)) throw malformed("point-not-on-p256");
      [algs, raw] = [P256_ALGS, joined(Uint8Array.of(4), x, y)];
      thumb = joined(fromHex("a401022001215820"), x, fromHex("225820"), y);
    } else {
      throw malformed("key-kind");
    }
    const alg = key.has(ALG) ? key.get(ALG) : algs[0];
    if (!isInt(alg) || !algs.includes(alg)) throw malformed("key-alg", { alg: shown(alg) });
    return new PublicKey(alg, await sha256(thumb), algs, raw);
  }

  accepts(alg) {
    return isInt(alg) && this.algs.includes(alg);
  }

  /** Throws unless the signature is this key's, in the one accepted form (`lowS` false: either s). */
  async verify(signature, message, lowS = true) {
    const fail = (code, facts) => {
      throw new Failure(2, code, facts);
    };
    if (signature.length !== 64) fail("signature-length", { n: signature.length });
    if (this.isEd25519) {
      if (littleEndian(signature.subarray(32)) >= ED25519_L) fail("signature-s-too-large");
      if (hasSmallOrder(signature.subarray(0, 32))) fail("signature-r-small");
    } else if (lowS && bigEndian(signature.subarray(32)) > P256_ORDER / 2n) {
      fail("signature-high-s");
    }
    if (!(await hasSigned(this, signature, message))) fail("signature-wrong", { kid: base64url(this.kid) });
  }
}

/** The browser's own judgement of a raw signature R ‖ S. */
async function hasSigned(key, signature, message) {
  const kind = key.isEd25519 ? "Ed25519" : { name: "ECDSA", namedCurve: "P-256" };
  const imported = await crypto.subtle.importKey("raw", key.raw, kind, false, ["verify"]);
  const how = key.isEd25519 ? "Ed25519" : { name: "ECDSA", hash: "SHA-256" };
  return crypto.subtle.verify(how, imported, signature, message);
}
