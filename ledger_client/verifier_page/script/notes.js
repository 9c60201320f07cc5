/* Signed notes of C2SP: verifier keys, checkpoints of a log, cosignatures of witnesses (formats/notes.py). */

const [LOG_KEY, COSIGNER_KEY] = [1, 4]; // 04: cosignature/v1
const MAX_NOTE = 65536;
const MAX_SIGNATURES = 100;
const KEY_NAME = /^[!-*,-~]{1,255}$/;
const LINE_NAME = /^[^+\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u;
const LOG_SIZE = /^(?:0|[1-9][0-9]{0,18})$/;

/** {name, kind, id, key} of `NAME+HEX+BASE64`. */
async function parseVkey(text) {
  const [, name, id, encoded] = /^([^+]*)\+([^+]*)\+([^]*)$/.exec(text) ?? [];
  if (name === undefined || !KEY_NAME.test(name)) throw malformed("vkey-form");
  const bytes = fromBase64(encoded);
  if (bytes?.length !== 33 || ![LOG_KEY, COSIGNER_KEY].includes(bytes[0])) throw malformed("vkey-form");
  const coseKey = joined(fromHex("a4010103272006215820"), bytes.subarray(1));
  const key = await PublicKey.fromCoseKey(coseKey);
  const hash = await sha256(utf8(`${name}\n`), bytes);
  if (id !== hex(hash.subarray(0, 4))) throw malformed("vkey-id");
  return { name, kind: bytes[0], id: hash.subarray(0, 4), key };
}

/** {text, lines}: the signed text with its final newline, and the signature lines; nothing verified yet. */
function parseNote(bytes) {
  const text = textOfUtf8(within(bytes, MAX_NOTE, "note"));
  if (text === undefined || /[\x00-\x09\x0b-\x1f]/.test(text)) throw malformed("note-form");
  const blank = text.lastIndexOf("\n\n");
  if (blank < 0 || !text.endsWith("\n")) throw malformed("note-form");
  const lines = text.slice(blank + 2).split("\n");
  if (lines.length < 2 || lines.pop() !== "") throw malformed("note-form");
  if (lines.length > MAX_SIGNATURES) throw malformed("note-form");
  return { text: text.slice(0, blank + 1), lines: lines.map(signatureLine) };
}

function signatureLine(line) {
  const [, name, encoded] = /^\u2014 ([^ ]+) ([^]*)$/.exec(line) ?? [];
  const bytes = name !== undefined && LINE_NAME.test(name) ? fromBase64(encoded) : undefined;
  if (!bytes || bytes.length < 5) throw malformed("note-form");
  return { name, id: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

/** {origin, size, root} of a checkpoint's text. Lines behind the third are the log's own. */
function parseCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.length < 4 || lines.pop() !== "" || lines.includes("")) throw malformed("checkpoint-form");
  const [origin, size, encoded] = lines;
  const root = fromBase64(encoded);
  if (!LOG_SIZE.test(size) || BigInt(size) > 2n ** 63n - 1n || root?.length !== 32) throw malformed("checkpoint-form");
  return { origin, size: BigInt(size), root };
}

const linesOf = (note, vkey) => note.lines.filter(({ name, id }) => name === vkey.name && sameBytes(id, vkey.id));

/** The first time of a witness's cosignatures (BigInt Unix seconds); null: it has none. Each of its lines must hold. */
async function cosigned(note, vkey) {
  let first = null;
  for (const { signature } of linesOf(note, vkey)) {
    const time = signature.length === 72 ? bigEndian(signature.subarray(0, 8)) : 0n;
    if (time === 0n || time > MAX_TIME_S) throw malformed("cosignature-form", { name: vkey.name });
    await vkey.key.verify(signature.subarray(8), utf8(`cosignature/v1\ntime ${time}\n${note.text}`));
    if (first === null || time < first) first = time;
  }
  return first;
}

/** {heads, failures}: of each ledger the head with the entry that most witnesses have cosigned, and why others fail. */
async function cosignedHeads(entry, witnessed, trust) {
  const heads = new Map();
  const failures = [];
  for (const [at, one] of witnessed.entries()) {
    try {
      const head = await cosignedHead(entry, one, trust);
      if (!(head.witnesses.length <= heads.get(head.ledger)?.witnesses.length)) heads.set(head.ledger, head);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(new Sentence("verify-note-not", { number: at + 1, n: witnessed.length, why: error.sentence }));
    }
  }
  return { heads, failures };
}

async function cosignedHead(entry, { note: bytes, place }, trust) {
  const note = parseNote(bytes);
  const checkpoint = parseCheckpoint(note.text);
  const keys = trust.logs.filter((log) => log.vkey.name === checkpoint.origin);
  if (!keys.length) throw malformed("verify-note-unknown", { origin: checkpoint.origin });
  const { ledger } = keys[0];
  const signed = keys.filter((log) => linesOf(note, log.vkey).length);
  if (!signed.length) throw malformed("verify-note-unsigned", { ledger });
  for (const { vkey } of signed) {
    for (const line of linesOf(note, vkey)) await vkey.key.verify(line.signature, utf8(note.text));
  }
  const witnesses = [];
  for (const { name, vkey } of trust.witnesses) {
    const time = await cosigned(note, vkey);
    if (time !== null) witnesses.push({ name, time });
  }
  const root = await rootFromPath(await leafHash(entry), place);
  const isIn = place.size === checkpoint.size && sameBytes(root, checkpoint.root);
  if (!isIn) throw malformed("verify-note-without", { ledger });
  return { ledger, size: place.size, witnesses };
}
