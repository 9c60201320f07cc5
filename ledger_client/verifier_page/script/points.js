/* Points that are no public keys: of Ed25519 (RFC 8032 §5.1, ledger_client/formats/ed25519_points.py) and of P-256. */

const ED25519_P = 2n ** 255n - 19n;
const ED25519_L = 2n ** 252n + 27742317777372353535851937790883648493n; // order of the base point
const ED25519_D = modulo(-121665n * inverse(121666n, ED25519_P), ED25519_P);
const ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const P256_P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const P256_B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function modulo(value, prime) {
  const rest = value % prime;
  return rest < 0n ? rest + prime : rest;
}

function power(base, exponent, prime) {
  let [result, square] = [1n, modulo(base, prime)];
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % prime;
    square = (square * square) % prime;
  }
  return result;
}

function inverse(value, prime) {
  return power(value, prime - 2n, prime);
}

/** Ordinates of the eight points of order 1, 2, 4 and 8. */
const SMALL_ORDINATES = [0n, 1n, ED25519_P - 1n, ORDER_8, ED25519_P - ORDER_8];

/** Whether 32 bytes are one of the encodings of a point of small order: also y + p, and both signs of x = 0. */
function hasSmallOrder(point) {
  const y = littleEndian(point) & (2n ** 255n - 1n);
  return SMALL_ORDINATES.some((ordinate) => y === ordinate || y === ordinate + ED25519_P);
}

/** The code of what is wrong with an Ed25519 point; undefined: nothing. */
function weakness(point) {
  if (hasSmallOrder(point)) return "point-small-order";
  const y = littleEndian(point) & (2n ** 255n - 1n);
  if (y >= ED25519_P) return "point-not-canonical";
  // x² = (y² − 1) / (d y² + 1) must be a square (§5.1.3); x = 0 only for y = ±1, which is gone by now
  const square = (y * y - 1n) * inverse(ED25519_D * y * y + 1n, ED25519_P);
  return power(square, (ED25519_P - 1n) / 2n, ED25519_P) === 1n ? undefined : "point-not-on-curve";
}

function isOnP256(xBytes, yBytes) {
  const [x, y] = [bigEndian(xBytes), bigEndian(yBytes)];
  if (x >= P256_P || y >= P256_P) return false;
  return modulo(y * y - x * x * x + 3n * x - P256_B, P256_P) === 0n;
}
