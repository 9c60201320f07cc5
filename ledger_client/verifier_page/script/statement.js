/* Batch statements: a SCITT Signed Statement over the root of one batch (ledger_client/formats/statement.py). */

const CONTENT_BATCH = "application/vnd.meterseal.batch+cbor";
const SOFTWARE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}$/;
const SIGNED_BEFORE_MS = 2000n; // so far `to` may be ahead of iat

/** {entry, receipts} of a statement as it travels: its receipts stand in header 394. */
function detachReceipts(bytes) {
  const sign1 = Sign1.parse(within(bytes, MAX_BUNDLE, "statement"));
  const header = table(sign1.unprotected, "statement unprotected header", [], [RECEIPTS]);
  if (!header.has(RECEIPTS)) return { entry: bytes, receipts: [] };
  const receipts = array(header.get(RECEIPTS), "receipts", 1, MAX_RECEIPTS);
  if (!receipts.every(isBytes)) throw malformed("not-byte-string", { what: "receipt" });
  return { entry: sign1.entry(), receipts };
}

/** The facts of an entry, with its `sign1`, `kid` and `id`; its signature not yet checked. */
async function readStatement(entry) {
  const sign1 = Sign1.parse(within(entry, MAX_BUNDLE, "statement"));
  table(sign1.unprotected, "statement unprotected header", []);
  const header = entryHeader(sign1.header, "statement");
  if (header.get(CONTENT_TYPE) !== CONTENT_BATCH) {
    throw malformed("statement-content", { content: shown(header.get(CONTENT_TYPE)) });
  }
  if (sign1.payload === null) throw malformed("no-payload", { what: "statement" });
  const statement = statementFacts(header.get(CWT_CLAIMS), decode(sign1.payload));
  statement.kid = blob(header.get(HEADER_KID), "statement kid", 32);
  statement.sub = text(header.get(CWT_CLAIMS).get(SUB), "statement sub");
  return Object.assign(statement, { sign1, id: await sha256(entry) });
}

function statementFacts(claims, payload) {
  table(claims, "statement claims", [ISS, SUB, IAT]);
  const required = ["batch", "root", "size", "from", "to", "meters", "config", "software"];
  const fields = table(payload, "statement", required, ["prev", "resume"]);
  if (!isMap(fields.get("meters"))) throw malformed("not-map", { what: "statement meters" });
  if (!isText(fields.get("software")) || !SOFTWARE.test(fields.get("software"))) throw malformed("statement-software");
  const meters = new Map();
  for (const [meter, ranges] of fields.get("meters")) {
    meters.set(name(meter, "statement meter"), meterRanges(ranges, `ranges of ${meter}`));
  }
  blob(fields.get("config"), "statement config", 32);
  if (fields.has("prev")) blob(fields.get("prev"), "statement prev", 32);
  return {
    gateway: name(claims.get(ISS), "statement iss"),
    iat: timeS(claims.get(IAT), "statement iat"),
    batch: uint(fields.get("batch"), "statement batch"),
    hasPrev: fields.has("prev"),
    root: blob(fields.get("root"), "statement root", 32),
    size: uint(fields.get("size"), "statement size"),
    fromMs: timeMs(fields.get("from"), "statement from"),
    toMs: timeMs(fields.get("to"), "statement to"),
    resume: fields.has("resume") ? text(fields.get("resume"), "statement resume") : null,
    meters,
  };
}

/** Sorted and disjoint: nothing is counted twice. */
function meterRanges(value, what) {
  const ranges = array(value, what, 1).map((part) => {
    const [epoch, first, last] = array(part, what, 3, 3);
    blob(epoch, what, 8);
    if (uint(first, what) > uint(last, what)) throw malformed("statement-ranges", { what });
    return { epoch, first, last };
  });
  for (let at = 1; at < ranges.length; at += 1) {
    const [before, after] = [ranges[at - 1], ranges[at]];
    const order = compareBytes(before.epoch, after.epoch);
    if (order > 0 || (order === 0 && before.last >= after.first)) throw malformed("statement-ranges", { what });
  }
  return ranges;
}

/** Step 4: the statement agrees with itself, and was not signed before its last record. */
function checkStatement(statement) {
  const { sub, batch, size, iat } = statement;
  if (sub !== `batch/${batch}`) throw new Failure(4, "statement-sub", { sub, batch });
  let total = 0n;
  for (const ranges of statement.meters.values()) for (const { first, last } of ranges) total += last - first + 1n;
  if (size === 0n || size !== total) throw new Failure(4, "statement-size", { size, total });
  if (statement.hasPrev === (batch === 0n)) throw new Failure(4, "statement-prev");
  if (statement.fromMs > statement.toMs) throw new Failure(4, "statement-times");
  if (statement.toMs - SIGNED_BEFORE_MS > iat * 1000n) {
    throw new Failure(4, "statement-signed-before", { signed_s: iat, to_ms: statement.toMs });
  }
}
