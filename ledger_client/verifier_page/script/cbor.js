/* Core deterministic CBOR (RFC 8949 §4.2.1), as ledger_client/formats/cbor.py reads it.
 *
 * Integers are BigInt, floats are numbers, text is a string, bytes are a Uint8Array, maps are a Map whose keys are
 * BigInt, string, or the symbol of a byte string. Strict unless `foreign`: minimal heads, shortest floats, sorted keys,
 * tags 18 (outermost) and 4 (a decimal fraction) alone. */

const MAX_DEPTH = 16;
const MAX_EXPONENT = 64n;
const TAG_DECIMAL = 4n;
const TAG_SIGN1 = 18n;

/** mantissa × 10^exponent, exact: 1.50 is 150 × 10⁻². */
class Decimal {
  constructor(exponent, mantissa) {
    this.exponent = exponent;
    this.mantissa = mantissa;
  }

  /** Every digit that was recorded, without an exponent. */
  toString() {
    const sign = this.mantissa < 0n ? "-" : "";
    const digits = (this.mantissa < 0n ? -this.mantissa : this.mantissa).toString();
    if (this.exponent >= 0n) return this.mantissa === 0n ? "0" : sign + digits + "0".repeat(Number(this.exponent));
    const places = Number(-this.exponent);
    const padded = digits.padStart(places + 1, "0");
    return `${sign}${padded.slice(0, -places)}.${padded.slice(-places)}`;
  }
}

class Tag {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

/** A simple value without a meaning here, of foreign CBOR. */
class Simple {
  constructor(value) {
    this.value = value;
  }
}

const isInt = (value) => typeof value === "bigint";
const isText = (value) => typeof value === "string";
const isBytes = (value) => value instanceof Uint8Array;
const isMap = (value) => value instanceof Map;
const isArray = (value) => Array.isArray(value);

/** The one value in these bytes. */
function decode(bytes, foreign = false) {
  const decoder = new Decoder(bytes, foreign);
  const value = decoder.item(0);
  if (decoder.at !== bytes.length) {
    throw malformed("cbor-after-end", { at: decoder.at, n: bytes.length - decoder.at });
  }
  return value;
}

class Decoder {
  constructor(bytes, foreign) {
    this.bytes = bytes;
    this.foreign = foreign;
    this.at = 0;
  }

  fail(at, code, facts = {}) {
    throw malformed(code, { at, ...facts });
  }

  take(count) {
    const left = this.bytes.length - this.at;
    if (count > left) this.fail(this.at, "cbor-short", { n: count, left });
    const taken = this.bytes.slice(this.at, this.at + Number(count));
    this.at += Number(count);
    return taken;
  }

  /** The argument of the head at `start`, whose first byte was taken. */
  argument(start, info) {
    if (info < 24) return BigInt(info);
    if (info > 27) this.fail(start, info === 31 ? "cbor-indefinite" : "cbor-reserved");
    const width = 1 << (info - 24);
    const value = bigEndian(this.take(width));
    const smallest = [24n, 0x100n, 0x10000n, 0x100000000n][info - 24];
    if (value < smallest && !this.foreign) this.fail(start, "cbor-not-shortest", { value });
    return value;
  }

  item(depth) {
    const start = this.at;
    if (depth > MAX_DEPTH) this.fail(start, "cbor-too-deep", { limit: MAX_DEPTH });
    const initial = this.take(1)[0];
    const info = initial & 31;
    if (initial >> 5 === 7) return this.simple(start, info);
    const argument = this.argument(start, info);
    switch (initial >> 5) {
      case 0:
        return argument;
      case 1:
        return -1n - argument;
      case 2:
        return this.take(argument);
      case 3: {
        const text = textOfUtf8(this.take(argument));
        return text === undefined ? this.fail(start, "cbor-not-utf8") : text;
      }
      case 4: {
        const items = [];
        for (let left = argument; left > 0n; left -= 1n) items.push(this.item(depth + 1));
        return items;
      }
      case 5:
        return this.map(argument, depth);
      default:
        return this.tag(start, argument, depth);
    }
  }

  map(size, depth) {
    const result = new Map();
    let previous = new Uint8Array();
    for (let left = size; left > 0n; left -= 1n) {
      const start = this.at;
      const read = this.item(depth + 1);
      if (!isInt(read) && !isText(read) && !isBytes(read)) this.fail(start, "cbor-key");
      const key = isBytes(read) ? Symbol.for(hex(read)) : read;
      if (result.has(key)) this.fail(start, "cbor-key-twice");
      const encoded = this.bytes.slice(start, this.at);
      if (!this.foreign && compareBytes(encoded, previous) < 0) this.fail(start, "cbor-key-order");
      previous = encoded;
      result.set(key, this.item(depth + 1));
    }
    if (!this.foreign && !usualKeys([...result.keys()])) this.fail(this.at, "cbor-keys");
    return result;
  }

  tag(start, tag, depth) {
    if (this.foreign || (tag === TAG_SIGN1 && depth === 0)) return new Tag(tag, this.item(depth + 1));
    if (tag !== TAG_DECIMAL) this.fail(start, "cbor-tag", { tag });
    const parts = this.item(depth + 1);
    const fits = isArray(parts) && parts.length === 2 && parts.every(isInt);
    if (!fits || parts[0] > MAX_EXPONENT || parts[0] < -MAX_EXPONENT) this.fail(start, "cbor-decimal");
    return new Decimal(parts[0], parts[1]);
  }

  simple(start, info) {
    if (info === 20 || info === 21) return info === 21;
    if (info === 22) return null;
    if (info >= 25 && info <= 27) return this.float(start, 1 << (info - 24));
    if (!this.foreign || info > 24) this.fail(start, "cbor-simple");
    if (info < 24) return new Simple(info);
    const value = this.take(1)[0];
    if (value < 32) this.fail(start, "cbor-simple"); // RFC 8949 §3.3: not well-formed
    return new Simple(value);
  }

  float(start, width) {
    const raw = this.take(width);
    const view = new DataView(raw.buffer);
    const value = width === 2 ? half(view.getUint16(0)) : width === 4 ? view.getFloat32(0) : view.getFloat64(0);
    if (this.foreign) return value;
    if (!Number.isFinite(value)) this.fail(start, "cbor-float");
    const shorter = (width === 8 && Math.fround(value) === value) || (width === 4 && fitsHalf(value));
    if (shorter) this.fail(start, "cbor-not-shortest", { value });
    return value;
  }
}

/** Keys that sort alike bytewise and length-first: all in {−24…23, text}, or all integers from 0 on. */
function usualKeys(keys) {
  const small = (key) => isText(key) || (isInt(key) && key >= -24n && key <= 23n);
  return keys.every(small) || keys.every((key) => isInt(key) && key >= 0n);
}

/** The value of a binary16 (IEEE 754). */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** Whether a finite binary32 is a binary16, too: ten bits of fraction, or a multiple of 2⁻²⁴ below 2⁻¹⁴. */
function fitsHalf(value) {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return Math.abs(value) <= 65504 && Number.isInteger(value * 2 ** 24) && (view.getUint32(0) & 0x1fff) === 0;
}

/** The head of a byte string of this size, in its shortest form. */
function bytesHead(size) {
  if (size < 24) return Uint8Array.of(0x40 | size);
  if (size < 0x100) return Uint8Array.of(0x58, size);
  if (size < 0x10000) return Uint8Array.of(0x59, size >> 8, size & 255);
  return Uint8Array.of(0x5a, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
}

const encodedBytes = (bytes) => joined(bytesHead(bytes.length), bytes);
