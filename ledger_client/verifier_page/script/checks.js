/* Checks shared by all formats (ledger_client/formats/checks.py): names, numbers, sizes. `what` names the place. */

const MAX_RECORD = 64 * 1024;
const MAX_PATH = 64;
const MAX_RECEIPTS = 16;
const MAX_BUNDLE = 1024 * 1024;
const MAX_TIME_S = 253402300799n;
const MAX_TIME_MS = MAX_TIME_S * 1000n + 999n;
const MAX_UINT = 2n ** 64n - 1n;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const FOREIGN_ISSUER = /^[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,1000}$/;
const GATEWAY_ITSELF = "gateway";

const isName = (value) => isText(value) && NAME.test(value);
const isLedgerName = (value) => isName(value) || (isText(value) && FOREIGN_ISSUER.test(value));

function name(value, what) {
  if (!isName(value)) throw malformed("not-name", { what, value: shown(value) });
  return value;
}

function uint(value, what, most = MAX_UINT) {
  if (!isInt(value) || value < 0n || value > most) throw malformed("not-uint", { what, value: shown(value), most });
  return value;
}

const timeS = (value, what) => uint(value, what, MAX_TIME_S);
const timeMs = (value, what) => uint(value, what, MAX_TIME_MS);

function blob(value, what, size) {
  if (!isBytes(value) || value.length !== size) throw malformed("not-bytes", { what, value: shown(value), size });
  return value;
}

function text(value, what, most = 256) {
  if (!isText(value) || !value || length(value) > most) throw malformed("not-text", { what, most });
  return value;
}

function array(value, what, least = 0, most = Infinity) {
  if (!isArray(value) || value.length < least || value.length > most) throw malformed("not-array", { what });
  return value;
}

/** A map with every required key and none beyond the optional ones. */
function table(value, what, required, optional = []) {
  if (!isMap(value)) throw malformed("not-map", { what });
  for (const key of required) if (!value.has(key)) throw malformed("key-missing", { what, key: shown(key) });
  for (const key of value.keys()) {
    if (!required.includes(key) && !optional.includes(key)) {
      throw malformed("key-unknown", { what, key: shown(key) });
    }
  }
  return value;
}

/** {size, index, path} of [size, index, [hash …]] with at least `least` hashes. */
function proof(value, what, least) {
  const [size, index, path] = array(value, what, 3, 3);
  array(path, `${what} path`, least, MAX_PATH);
  return {
    size: uint(size, `${what} size`),
    index: uint(index, `${what} index`),
    path: path.map((hash) => blob(hash, `${what} hash`, 32)),
  };
}

function within(bytes, most, what) {
  if (bytes.length > most) throw malformed("too-large", { what, n: bytes.length, most });
  return bytes;
}

/** A value as a sentence quotes it. */
function shown(value) {
  if (isBytes(value)) return `h'${hex(value)}'`;
  if (isText(value)) return JSON.stringify(value);
  if (isMap(value)) return "{…}";
  if (isArray(value)) return "[…]";
  if (value instanceof Tag) return `tag ${value.tag}`;
  if (value instanceof Simple) return `simple ${value.value}`;
  return String(value);
}
