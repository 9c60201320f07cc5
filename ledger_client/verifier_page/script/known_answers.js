/* Known answers: a browser whose cryptography gives others judges nothing. */

const KNOWN_SIGNATURES = [
  {
    // RFC 8032 §7.1, test 2
    key: () => new PublicKey(-8n, new Uint8Array(32), ED25519_ALGS,
      fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")),
    message: "72",
    signature:
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  },
  {
    // RFC 6979 §A.2.5, P-256 with SHA-256 over "sample"
    key: () => new PublicKey(-7n, new Uint8Array(32), P256_ALGS,
      fromHex(
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6" +
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")),
    message: "73616d706c65",
    signature:
      "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
  },
];
const SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, B.1

/** The code of what this browser cannot do; undefined: it gives all known answers. */
async function cryptographyLacks() {
  if (!globalThis.crypto?.subtle) return "no-webcrypto";
  try {
    if (hex(await sha256(utf8("abc"))) !== SHA256_OF_ABC) return "wrong-answers";
    for (const { key, message, signature } of KNOWN_SIGNATURES) {
      if (!(await hasSigned(key(), fromHex(signature), fromHex(message)))) return "wrong-answers";
      for (const [changed, sameMessage] of [[signature.replace(/^../, "93"), message], [signature, "73"]]) {
        if (await hasSigned(key(), fromHex(changed), fromHex(sameMessage))) return "wrong-answers";
      }
    }
  } catch {
    return "no-ed25519";
  }
  return undefined;
}
