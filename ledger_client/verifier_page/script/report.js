/* The report on a verdict: what passed and what did not, what was recorded, by which keys. */

const SHOWN_UNITS = new Map([["/100", "%"], ["/", ""], ["Cel", "°C"]]);

/** The verdict in a line, with its reason. */
function verdictOf(outcome, now) {
  const title = { good: "text.good", bad: "text.bad", trust: "text.trust-refused", "not-judged": "text.not-judged" };
  const kind = { good: "good", bad: "bad", trust: "bad", "not-judged": "none" }[outcome.verdict];
  const { colon } = marks();
  const lines = [element("p", { class: "headline" }, pieces(title[outcome.verdict]))];
  if (outcome.sentence) {
    const place = outcome.place ? [foreign(outcome.place), colon] : [];
    const step = outcome.step ? [...pieces(`step-name.${outcome.step}`), colon] : [];
    lines.push(element("p", {}, step, place, pieces(outcome.sentence)));
  }
  const fix = { trust: "text.trust-refused-fix", "not-judged": "text.not-judged-fix" }[outcome.verdict];
  if (fix) lines.push(element("p", {}, pieces(fix)));
  lines.push(element("p", { class: "quiet" }, pieces("text.judged-at", { now_s: BigInt(now) })));
  return verdictBox(kind, outcome.verdict, outcome.sentence, lines);
}

/** The box of a verdict, with its code for programs that look at the page. */
function verdictBox(kind, verdict, sentence, lines) {
  const attributes = { class: `verdict ${kind}`, "data-verdict": verdict, "data-code": sentence?.code ?? "" };
  return element("div", attributes, lines);
}

/** The box of what is not judged, and why. */
function refusalBox(kind, sentence) {
  return verdictBox(kind, "not-judged", sentence, [
    element("p", { class: "headline" }, pieces("text.not-judged")), element("p", {}, pieces(sentence)),
  ]);
}

function reportOf(outcome, now) {
  const parts = [];
  if (outcome.verdict === "good" || outcome.verdict === "bad") parts.push(stepList(outcome));
  if (outcome.trust) parts.push(...trustNotes(outcome.trust, BigInt(now)));
  if (outcome.proven) parts.push(...provenParts(outcome.proven));
  else if (outcome.parts.record) {
    const { record } = outcome.parts;
    parts.push(element("h3", {}, pieces("text.unproven")), element("p", {}, ownerOf(record.claims)), contents(record));
  }
  return parts;
}

/** The eight steps, from meter to ledger. */
function stepList({ passed, step }) {
  const { open, close, colon } = marks();
  const items = STEPS.map((name, at) => {
    const state = passed.includes(at + 1) ? "passed" : name === step ? "failed" : "not-reached";
    const mark = { passed: "✓", failed: "✗", "not-reached": "–" }[state];
    return element("li", { class: state, "data-step": name },
      element("span", { class: "mark", "aria-hidden": "true" }, mark),
      element("span", {}, element("strong", {}, pieces(`step-name.${name}`)), open, pieces(`text.${state}`), close,
        colon, pieces(`step.${name}`)));
  });
  return element("div", {}, element("h3", {}, pieces("text.steps")), element("ol", { class: "steps" }, items));
}

function trustNotes(trust, now) {
  const notes = [...trust.notes(now)].map((note) => element("li", {}, pieces(note)));
  return notes.length ? [element("h3", {}, pieces("text.notes")), element("ul", {}, notes)] : [];
}

function provenParts(proven) {
  const { record, statement } = proven;
  return [
    element("h3", {}, pieces("text.recorded")), contents(record),
    element("h3", {}, pieces("text.about")), facts(aboutRows(proven, record, statement)),
    element("h3", {}, pieces("text.keys")), keyTable(proven),
  ];
}

function aboutRows(proven, record, statement) {
  const { claims, timeMs } = record;
  const { batch, size } = statement;
  const clock = new Sentence(`text.clock-${claims.clock}`);
  return [
    ["text.kind", pieces(`text.${record.kind}`)],
    ["text.of", ownerOf(claims)],
    ["text.time", pieces("text.time-by", { time_ms: timeMs, clock })],
    ["text.no-later-than", pieces("text.by-ledgers", { time_s: proven.noLaterThan })],
    ["text.delay", spanInWords(proven.delayMs)],
    ["text.number", pieces("text.number-in", { seq: claims.seq, epoch: hex(claims.epoch) })],
    ["text.batch", pieces("text.batch-of", { batch, size, id: base64url(statement.id) })],
    ["text.root", [foreign(hex(statement.root))]],
    ...(statement.resume === null ? [] : [["text.after-loss", [foreign(statement.resume)]]]),
    ...proven.ledgers.map(({ ledger, time }) => ["text.ledger", pieces("text.receipt-at", { ledger, time_s: time })]),
    ...proven.ledgers.flatMap(({ ledger }) => witnessRows(proven.heads.get(ledger))),
    ...proven.unconfirmed.map((sentence) => ["text.not-confirmed", pieces(sentence)]),
  ];
}

function witnessRows(head) {
  if (!head?.witnesses.length) return [];
  const names = head.witnesses.map(({ name }) => name);
  return [["text.witnessed", pieces("text.witnessed-by", { names, ledger: head.ledger, size: head.size })]];
}

function ownerOf({ gateway, meter }) {
  return pieces(meter === GATEWAY_ITSELF ? "text.of-gateway" : "text.of-meter", { gateway, meter });
}

/** What a record says: values with their quality, or facts. */
function contents({ kind, body }) {
  if (kind === "coverage") {
    return facts([
      ["text.covered", pieces("text.covered-span", { from_ms: body.fromMs, to_ms: body.toMs })],
      ["text.due", String(body.due)],
      ["text.polls-recorded", String(body.recorded)],
      ...body.missed.map(([reason, count]) => [new Sentence("text.missed", { reason }), String(count)]),
    ]);
  }
  if (kind === "event") {
    const rows = [["event", body.name], ...[...body.fields].sort(([one], [other]) => (one < other ? -1 : 1))];
    const heads = ["text.fact", "text.value"];
    return dataTable("text.recorded", heads, rows.map(([key, value]) => [[foreign(key)], [foreign(factText(value))]]));
  }
  const heads = ["text.point", "text.value", "text.unit", "text.quality"];
  const unitText = (unit) => SHOWN_UNITS.get(unit) ?? unit ?? "";
  const rows = body.values.map((value) => [
    [foreign(value.name)], valueText(value.value), [unitText(value.unit)], qualityText(value),
  ]);
  return dataTable("text.recorded", heads, rows, ["", "number"]);
}

/** A value with exactly the decimals that were recorded. */
function valueText(value) {
  if (value === null) return pieces("text.no-value");
  if (typeof value === "boolean") return pieces(value ? "text.yes" : "text.no");
  return [foreign(numberText(value))];
}

/** A float as Python writes it, so that a whole one is seen to be a float. */
const numberText = (value) => (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e16 ?
  `${Object.is(value, -0) ? "-0" : value}.0` : String(value));

function qualityText({ quality, offsetMs }) {
  const known = qualityBits(quality).flatMap((bit, at) => [
    ...(at ? [", "] : []),
    ...(QUALITY[bit] ? pieces(`quality.${QUALITY[bit]}`) : pieces("text.quality-unknown", { n: bit })),
  ]);
  const all = known.length ? known : pieces("text.quality-good");
  return offsetMs ? pieces("text.later", { quality: { pieces: all }, ms: offsetMs }) : all;
}

/** What an event says, in one line: parts as JSON has them, decimals exact, bytes in hexadecimal. */
function factText(value) {
  if (isBytes(value)) return hex(value);
  if (isArray(value)) return `[${value.map(innerText).join(", ")}]`;
  if (isMap(value)) return `{${[...value].map(([key, inner]) => `${innerText(key)}: ${innerText(inner)}`).join(", ")}}`;
  return typeof value === "number" ? numberText(value) : String(value);
}

const innerText = (value) => (isText(value) ? JSON.stringify(value) : factText(value));

/** Every key that the verdict rests on, and who answers for where it is kept. */
function keyTable(proven) {
  const heads = ["text.key", "text.held", "text.valid", "text.thumbprint"];
  return dataTable("text.keys", heads, signingKeys(proven).map(({ name, names, key, times }) => [
    pieces(name, names), heldCell(key, times), validText(key), [foreign(base64url(key.key.kid))],
  ]), ["", "", "", "code"]);
}

/** The keys of record, statement and counted receipts, each with when it signed, by the clock of whoever signed. */
function signingKeys({ record, recordKey, statement, statementKey, ledgers }) {
  const { meter, iat } = record.claims;
  const ofMeter = { name: "text.key-of-meter", names: { meter }, key: recordKey, times: [iat] };
  const times = recordKey === statementKey ? [iat, statement.iat] : [statement.iat];
  const { gateway } = statement;
  return [
    ...(recordKey === statementKey ? [] : [ofMeter]),
    { name: "text.key-of-statement", names: { gateway }, key: statementKey, times },
    ...ledgers.map(({ ledger, key, time }) => ({ name: "text.key-of-ledger", names: { ledger }, key, times: [time] })),
  ];
}

/** Hardware only where somebody answers for it before all that the key signed here: a file may have been copied. */
function heldCell({ held, identity }, times) {
  const before = held === null ? times : times.filter((time) => time < held.at);
  const facts = held === null ? {} : { by: held.by, at_s: held.at, evidence: held.evidence };
  let code = "text.held-file";
  if (held !== null && before.length === 0) code = held.evidence === null ? "text.held-hardware" : "text.held-evidence";
  else if (held !== null) code = before.length === times.length ? "text.held-after" : "text.held-from";
  const device = identity === null ? [] : ["; ", ...pieces("text.device", { identity })];
  return [element("span", { "data-held": before.length ? "file" : "hardware" }, pieces(code, facts)), ...device];
}

function validText({ validFrom, validTo }) {
  if (validTo === null) return pieces("text.valid-from", { from_s: validFrom });
  return pieces("text.valid-until", { from_s: validFrom, until_s: validTo });
}
