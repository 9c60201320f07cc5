/* Records: a reading, coverage or event of one meter, signed by the gateway (formats/record.py, record_claims.py). */

const CONTENT_READING = "application/senml+cbor";
const CONTENT_COVERAGE = "application/vnd.meterseal.coverage+cbor";
const CONTENT_EVENT = "application/vnd.meterseal.event+cbor";
const MISSED_REASONS = (
  "timeout refused line-down backoff skipped no-shape stopped disk-full disk-error asleep exchanged shared"
).split(" ");

/** {kind, claims, kid, body, sign1, timeMs, id}; well-formed, its signature not yet checked. */
function parseRecord(bytes) {
  const sign1 = Sign1.parse(within(bytes, MAX_RECORD, "record"));
  table(sign1.unprotected, "record unprotected header", []);
  const header = entryHeader(sign1.header, "record");
  const kid = blob(header.get(HEADER_KID), "record kid", 32);
  if (sign1.payload === null) throw malformed("no-payload", { what: "record" });
  const claims = parseClaims(header.get(CWT_CLAIMS));
  const { kind, body, timeMs } = parseBody(header.get(CONTENT_TYPE), sign1.payload, claims);
  if (claims.meter === GATEWAY_ITSELF && kind !== "event") throw new Failure(2, "record-of-gateway");
  const id = `${claims.meter}/${hex(claims.epoch)}/${claims.seq}`;
  return { kind, claims, kid, body, sign1, timeMs, id };
}

function parseClaims(value) {
  const required = [ISS, SUB, IAT, "up", "seq", "clock", "epoch"];
  const claims = table(value, "record claims", required, ["err", "prev", "salt"]);
  if (!["U", "I", "S", "R"].includes(claims.get("clock"))) throw malformed("record-clock");
  const parsed = {
    gateway: name(claims.get(ISS), "record iss"),
    meter: name(claims.get(SUB), "record sub"),
    iat: timeS(claims.get(IAT), "record iat"),
    seq: uint(claims.get("seq"), "record seq"),
    epoch: blob(claims.get("epoch"), "record epoch", 8),
    clock: claims.get("clock"),
  };
  uint(claims.get("up"), "record up");
  if (claims.has("prev")) blob(claims.get("prev"), "record prev", 32);
  if (claims.has("err")) uint(claims.get("err"), "record err");
  if (claims.has("salt")) blob(claims.get("salt"), "record salt", 16);
  return parsed;
}

function parseBody(content, payload, claims) {
  if (content === CONTENT_READING) {
    const body = parsePack(payload, claims.gateway, claims.meter);
    return { kind: "reading", body, timeMs: body.timeMs };
  }
  if (content === CONTENT_COVERAGE) {
    const body = parseCoverage(decode(payload));
    return { kind: "coverage", body, timeMs: body.toMs };
  }
  if (content === CONTENT_EVENT) {
    return { kind: "event", body: parseEvent(decode(payload)), timeMs: claims.iat * 1000n };
  }
  throw new Failure(2, "record-content", { content: shown(content) });
}

function parseCoverage(value) {
  const fields = table(value, "coverage", ["to", "due", "from", "missed", "recorded"]);
  const missed = [...table(fields.get("missed"), "coverage missed", [], MISSED_REASONS)];
  for (const [reason, count] of missed) uint(count, `coverage missed ${reason}`);
  const [fromMs, toMs] = ["from", "to"].map((key) => timeMs(fields.get(key), `coverage ${key}`));
  const [due, recorded] = ["due", "recorded"].map((key) => uint(fields.get(key), `coverage ${key}`));
  const sum = missed.reduce((total, [, count]) => total + count, recorded);
  if (fromMs > toMs || due !== sum) throw malformed("coverage-sum", { due, sum });
  return { fromMs, toMs, due, recorded, missed };
}

function parseEvent(value) {
  if (!isMap(value) || ![...value.keys()].every(isText)) throw malformed("event-keys");
  const fields = new Map(value);
  fields.delete("event");
  return { name: name(value.get("event"), "event"), fields };
}
