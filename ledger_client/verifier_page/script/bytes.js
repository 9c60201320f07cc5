/* Bytes: hexadecimal, base64, UTF-8, SHA-256, big integers. */

const utf8 = (text) => new TextEncoder().encode(text);

/** The text of UTF-8 bytes, a byte order mark kept; undefined for what is none. */
function textOfUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const sameBytes = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

/** Below, at or above 0 as `one` sorts before, with or behind `other`. */
function compareBytes(one, other) {
  const common = Math.min(one.length, other.length);
  for (let at = 0; at < common; at += 1) if (one[at] !== other[at]) return one[at] - other[at];
  return one.length - other.length;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

const bigEndian = (bytes) => bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
const littleEndian = (bytes) => bigEndian(Uint8Array.from(bytes).reverse());

/** Standard base64 of bytes, with padding. */
function base64(bytes) {
  let letters = "";
  for (let at = 0; at < bytes.length; at += 4096) letters += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return btoa(letters);
}

/** The bytes of standard base64 in its only form, with padding; undefined for anything else. */
function fromBase64(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  let letters;
  try {
    letters = atob(text);
  } catch {
    return undefined;
  }
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  return base64(bytes) === text ? bytes : undefined;
}

/** base64url without padding (RFC 4648 §5). */
const base64url = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

/** The bytes of base64url without padding in its only form; undefined for anything else. */
function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const padded = text + "=".repeat((4 - (text.length % 4)) % 4);
  return fromBase64(padded.replaceAll("-", "+").replaceAll("_", "/"));
}

/** Characters as Unicode counts them, not UTF-16. */
function length(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
