/* Verification of one bundle: the eight steps of ledger_client/verification/verify.py, in its order.
 *
 * Everything comes in as arguments, the time too; nothing is asked of anybody. */

const STEPS = ["parse", "record", "inclusion", "statement", "sequence", "receipts", "validity", "policy"];
const TOLERANCE_S = 300n; // how far the clocks of gateway, ledger and verifier may be apart

/** The verdict on the bytes of a proof by the bytes of a trust file at `now` (Unix seconds).
 *
 * {verdict, step, sentence, place, passed, trust, parts, proven}: the verdict is "good", "bad" (at a step), "trust"
 * (the trust file is not accepted) or "not-judged"; `parts` is what was read before it stopped, proven or not. */
async function judge(bundle, trustFile, now) {
  const stopped = { step: null, sentence: null, place: "" };
  const outcome = { verdict: "good", ...stopped, passed: [], trust: null, parts: {}, proven: null };
  try {
    outcome.trust = await parseTrust(trustFile);
    outcome.trust.demandInForce(BigInt(now));
    outcome.proven = await verify(bundle, outcome.trust, BigInt(now), outcome);
  } catch (error) {
    if (error instanceof Failure) Object.assign(outcome, { verdict: "bad", step: STEPS[error.step - 1] });
    else if (error instanceof TrustRefused) Object.assign(outcome, { verdict: "trust", place: error.place });
    else if (error instanceof NotJudged) outcome.verdict = "not-judged";
    else throw error;
    outcome.sentence = error.sentence;
  }
  return outcome;
}

async function verify(bundle, trust, now, { passed, parts: read }) {
  // 1 parse: every layer, strictly, before anything is believed
  const parts = parseBundle(bundle);
  const statement = await readStatement(parts.entry);
  const record = parseRecord(parts.record); // last: it may already find what belongs to step 2
  Object.assign(read, { record, statement });
  passed.push(1);

  // 2 record: by a key of this meter of this gateway
  const { claims } = record;
  const recordKey = keyOfRecord(record, trust);
  await atStep(2, () => record.sign1.verify(recordKey.key));
  passed.push(2);

  // 3 inclusion: the record is a leaf of the batch
  if (parts.place.size !== statement.size) {
    throw new Failure(3, "verify-path-size", { n: parts.place.size, size: statement.size });
  }
  const root = await rootFromPath(await leafHash(parts.record), parts.place);
  if (!sameBytes(root, statement.root)) throw new Failure(3, "verify-other-root");
  passed.push(3);

  // 4 statement: of the same gateway, by its statement key, and it agrees with itself
  const statementKey = keyOfStatement(statement, claims.gateway, trust);
  await atStep(4, () => statement.sign1.verify(statementKey.key));
  checkStatement(statement);
  if (record.timeMs < statement.fromMs || record.timeMs > statement.toMs) {
    const facts = { record_ms: record.timeMs, from_ms: statement.fromMs, to_ms: statement.toMs };
    throw new Failure(4, "verify-outside-batch", facts);
  }
  passed.push(4);

  // 5 sequence: the statement counts this record
  const ranges = statement.meters.get(claims.meter) ?? [];
  const counts = ({ epoch, first, last }) =>
    sameBytes(epoch, claims.epoch) && first <= claims.seq && claims.seq <= last;
  if (!ranges.some(counts)) throw new Failure(5, "verify-not-counted", { record: record.id, batch: statement.batch });
  passed.push(5);

  // 6 receipts, and of 7 what concerns one receipt: which ledgers vouch, and since when
  const { receipts, junk } = readReceipts(parts.receipts);
  const found = await vouchingLedgers(parts.entry, statement.id, receipts, trust, now);
  const failures = [...junk, ...found.failures];

  // 8 policy: k distinct ledgers of the list; before the rest of 7, whose time only they give
  if (found.vouching.size < trust.receipts) throw policyFailure(found.vouching, failures, trust);
  const { heads, failures: unread } = await cosignedHeads(parts.entry, parts.witnessed, trust);
  const { vouching, lacking } = witnessedLedgers(found.vouching, heads, trust);
  if (vouching.size < trust.receipts) {
    throw new Failure(8, "verify-policy-because", { what: policyText(vouching, trust), why: [...lacking, ...unread] });
  }
  passed.push(6, 8);

  // 7 validity, at the moment from which k ledgers had the statement
  const times = [...vouching.values()].map(({ time }) => time).sort((one, other) => Number(one - other));
  const noLaterThan = times[trust.receipts - 1];
  demandValid(recordKey, noLaterThan, new Sentence("verify-key-of-meter", { meter: claims.meter }));
  demandValid(statementKey, noLaterThan, new Sentence("verify-key-of-gateway", { gateway: claims.gateway }));
  demandTimely(record, statement, noLaterThan, trust.maxDelayS);
  passed.push(7);

  return {
    record, statement, recordKey, statementKey, noLaterThan, heads,
    delayMs: noLaterThan * 1000n - record.timeMs,
    ledgers: [...vouching].map(([ledger, { time, key }]) => ({ ledger, time, key })),
    unconfirmed: [
      ...failures.map(({ failure }) => failure.sentence),
      ...receipts
        .filter(({ ledger, sizeClaim }) => vouching.has(ledger) && sizeClaim === null)
        .map(({ ledger, place }) => new Sentence("size-unsigned", { ledger, size: place.size })),
      ...parts.anchors.map((place) => new Sentence("said-on-chain", { ...place, tx: hex(place.tx) })),
      ...lacking,
      ...unread,
    ],
  };
}

/** The key that the trust file names for a record's owner and kid. */
function keyOfRecord({ claims, kid }, trust) {
  const { gateway, meter } = claims;
  const owner = meter === GATEWAY_ITSELF ? { role: "statement", gateway } : { role: "meter", gateway, meter };
  const key = trust.find({ ...owner, kid });
  if (!key) throw new Failure(2, "verify-unknown-meter-key", { kid: base64url(kid), meter, gateway });
  return key;
}

function keyOfStatement(statement, gateway, trust) {
  if (statement.gateway !== gateway) {
    throw new Failure(4, "verify-other-gateway", { gateway, batch_gateway: statement.gateway });
  }
  const key = trust.find({ role: "statement", gateway, kid: statement.kid });
  if (!key) throw new Failure(4, "verify-unknown-statement-key", { kid: base64url(statement.kid), gateway });
  return key;
}

/** The receipts among some bytes; what is none spoils nothing and counts for nothing: anybody may put it there. */
function readReceipts(all) {
  const receipts = [];
  const junk = [];
  for (const [at, bytes] of all.entries()) {
    try {
      receipts.push(parseReceipt(bytes));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const facts = { number: at + 1, n: all.length, why: error.sentence };
      const ledger = `receipt ${at + 1} of ${all.length}`;
      junk.push({ ledger, failure: new Failure(6, "verify-no-receipt", facts) });
    }
  }
  return { receipts, junk };
}

/** {vouching: ledger → its earliest time and the key, failures}. A ledger counts once. */
async function vouchingLedgers(entry, statementId, receipts, trust, now) {
  const vouching = new Map();
  const failures = [];
  for (const receipt of receipts) {
    const { ledger } = receipt;
    try {
      const counted = await countedReceipt(entry, statementId, receipt, trust, now);
      if (!trust.ledgers.includes(ledger)) throw at(receipt, "verify-not-listed");
      const before = vouching.get(ledger);
      vouching.set(ledger, before && before.time <= counted.time ? before : counted);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push({ ledger, failure: error });
    }
  }
  return { vouching, failures };
}

async function countedReceipt(entry, statementId, receipt, trust, now) {
  const { ledger, kid, iat } = receipt;
  if (!trust.hasLedgerKey(ledger)) throw at(receipt, "verify-no-ledger-key");
  const key = trust.find({ role: "ledger", ledger, kid });
  if (!key) throw at(receipt, "verify-unknown-ledger-key", { kid: base64url(kid) });
  await checkReceipt(receipt, entry, statementId, key.key);
  if (iat === null) throw at(receipt, "verify-receipt-no-time", {}, 7);
  if (iat > now + TOLERANCE_S) throw at(receipt, "verify-receipt-future", { signed_s: iat }, 7);
  if (key.revoked !== null) throw at(receipt, "verify-ledger-key-revoked", { reason: reasonOf(key) }, 7);
  demandValid(key, iat, new Sentence("verify-key-of-ledger", { ledger }));
  return { time: iat, key };
}

/** The first receipt's failure where it made the difference, else that the policy is not met. */
function policyFailure(vouching, failures, trust) {
  const lost = new Set(failures.map(({ ledger }) => ledger).filter((ledger) => !vouching.has(ledger)));
  if (lost.size && vouching.size + lost.size >= trust.receipts) {
    return failures.find(({ ledger }) => lost.has(ledger)).failure;
  }
  const what = policyText(vouching, trust);
  if (!failures.length) return new Failure(8, what);
  return new Failure(8, "verify-policy-because", { what, why: failures.map(({ failure }) => failure.sentence) });
}

function policyText(vouching, trust) {
  const ledgers = [...vouching.keys()];
  const found = ledgers.length ? new Sentence("verify-ledgers", { ledgers }) : new Sentence("verify-no-ledgers");
  return new Sentence("verify-policy", { wanted: trust.receipts, ledgers: trust.ledgers, n: ledgers.length, found });
}

/** Of the ledgers with receipts those whose log as many witnesses have cosigned as the policy asks for. */
function witnessedLedgers(all, heads, trust) {
  const vouching = new Map();
  const lacking = [];
  for (const [ledger, counted] of all) {
    const n = heads.get(ledger)?.witnesses.length ?? 0;
    if (BigInt(n) >= trust.witnessed) vouching.set(ledger, counted);
    else if (!trust.logs.some((log) => log.ledger === ledger)) lacking.push(at({ ledger }, "verify-no-log").sentence);
    else lacking.push(at({ ledger }, "verify-witnesses", { n, wanted: trust.witnessed }).sentence);
  }
  return { vouching, lacking };
}

function demandValid(key, time, whose) {
  if (time < key.validFrom) throw new Failure(7, "verify-key-early", { whose, from_s: key.validFrom, at_s: time });
  if (key.validTo !== null && time >= key.validTo) {
    throw new Failure(7, "verify-key-late", { whose, until_s: key.validTo, at_s: time });
  }
  if (key.revoked !== null && time >= key.revoked) {
    const facts = { whose, revoked_s: key.revoked, reason: reasonOf(key), at_s: time };
    throw new Failure(7, "verify-key-revoked", facts);
  }
}

/** The statement was signed by then; the record speaks of no time after it, and was not held back. */
function demandTimely(record, statement, noLaterThan, maxDelayS) {
  const facts = { tolerance_s: TOLERANCE_S, ledgers_s: noLaterThan };
  if (statement.iat > noLaterThan + TOLERANCE_S) {
    throw new Failure(7, "verify-signed-after-ledgers", { ...facts, signed_s: statement.iat });
  }
  const offsets = record.kind === "reading" ? record.body.values.map(({ offsetMs }) => offsetMs) : [];
  const last = offsets.reduce((most, offset) => (offset > most ? offset : most), 0n) + record.timeMs;
  const signed = record.claims.iat * 1000n;
  const latest = last > signed ? last : signed;
  const claimed = latest > MAX_TIME_MS ? MAX_TIME_MS : latest;
  if (claimed > (noLaterThan + TOLERANCE_S) * 1000n) {
    throw new Failure(7, "verify-after-ledgers", { ...facts, claimed_ms: claimed });
  }
  const heldMs = noLaterThan * 1000n - record.timeMs;
  if (maxDelayS !== null && heldMs > maxDelayS * 1000n) {
    const spans = { held: spanInWords(heldMs), most: spanInWords(maxDelayS * 1000n) };
    throw new Failure(7, "verify-held-back", { ...facts, ...spans, record_ms: record.timeMs });
  }
}

const reasonOf = (key) => key.reason || new Sentence("verify-no-reason");
