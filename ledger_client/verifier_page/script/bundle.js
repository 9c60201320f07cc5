/* Proof bundles (.mseal), as ledger_client/formats/bundle.py. */

const LOCATOR = ["tx", "type", "block", "chain", "ledger", "contract", "block_hash"];

/** {record, anchors, place, entry, receipts, witnessed}: record, statement and receipts stay unread bytes. */
function parseBundle(bytes) {
  const bundle = decode(within(bytes, MAX_BUNDLE, "file"));
  const fields = table(bundle, "bundle", ["v", "record", "anchors", "inclusion", "statement"], ["witnessed"]);
  if (fields.get("v") !== 1n) throw malformed("bundle-version", { version: shown(fields.get("v")) });
  for (const key of ["record", "statement"]) {
    if (!isBytes(fields.get(key))) throw malformed("not-byte-string", { what: key });
  }
  const notes = fields.has("witnessed") ? array(fields.get("witnessed"), "witnessed", 1, MAX_RECEIPTS) : [];
  return {
    record: within(fields.get("record"), MAX_RECORD, "record"),
    anchors: array(fields.get("anchors"), "anchors", 0, MAX_RECEIPTS).map(parseLocator),
    place: proof(fields.get("inclusion"), "inclusion", 0),
    ...detachReceipts(fields.get("statement")),
    witnessed: notes.map(parseWitnessed),
  };
}

/** A signed note of a log's head, and where the entry stands in the log of that size. */
function parseWitnessed(value) {
  const fields = table(value, "witnessed", ["note", "place"]);
  const note = fields.get("note");
  if (!isBytes(note) || !note.length || note.length > MAX_NOTE) throw malformed("not-byte-string", { what: "note" });
  return { note, place: proof(fields.get("place"), "place in the log", 0) };
}

/** Where on a chain the statement is said to be: a hint, which only asking the chain confirms. */
function parseLocator(value) {
  const fields = table(value, "locator", LOCATOR, ["inclusion"]);
  if (fields.get("type") !== "evm") throw malformed("locator-type");
  const ledger = fields.get("ledger");
  if (!isLedgerName(ledger)) throw malformed("not-name", { what: "locator ledger", value: shown(ledger) });
  blob(fields.get("contract"), "locator contract", 20);
  blob(fields.get("block_hash"), "locator block_hash", 32);
  if (fields.has("inclusion")) proof(fields.get("inclusion"), "locator inclusion", 0);
  return {
    ledger,
    chain: uint(fields.get("chain"), "locator chain"),
    tx: blob(fields.get("tx"), "locator tx", 32),
    block: uint(fields.get("block"), "locator block"),
  };
}
