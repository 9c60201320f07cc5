/* Trust files: keys, ledgers and witnesses that a verifier believes (ledger_client/verification/trust_file.py). */

const MAX_TRUST = 64 * 1024 * 1024;
const LONG_TRUST = 4 * 1024 * 1024; // some 12,000 keys, and seconds
const PARTY_ROLES = ["party", "issuer", "verifier"];
const ROLE_NAMES = {
  meter: ["gateway", "meter"],
  statement: ["gateway"],
  ledger: ["ledger"],
  party: ["party"],
  issuer: ["party"],
  verifier: ["party"],
};
const KEY_COMMON = ["role", "public", "valid_from", "valid_to", "revoked", "revoked_reason"];
const HELD = ["held", "held_by", "held_at", "evidence"];
const ROLE_MORE = {
  meter: ["identity", ...HELD], statement: HELD, ledger: ["kid", ...HELD], party: [], issuer: [], verifier: [],
};
const CHAIN_KEYS = ["ledger", "chain_id", "contract", "sender", "confirmations", "claims"];
const POLICY_KEYS = ["receipts", "ledgers", "max_delay", "attested", "made", "expires", "witnesses"];
const UNITS_MS = { ms: 1n, s: 1000n, m: 60000n, min: 60000n, h: 3600000n, d: 86400000n };
const MOST_DELAY_DAYS = 36500n;

const refuse = (place, code, facts) => {
  throw new TrustRefused(place, code, facts);
};

const refuseValue = (place, value) => refuse(place, "trust-value", { value: quoted(value) });

/** Reads the bytes of a trust file; TrustRefused, or NotJudged for TOML that this page does not read. */
async function parseTrust(bytes) {
  if (bytes.length > MAX_TRUST) refuse("", "trust-too-large", { limit: MAX_TRUST >> 20 });
  if (bytes.length > LONG_TRUST) throw new NotJudged("trust-long", { limit: LONG_TRUST >> 20 });
  const begins = hex(bytes.subarray(0, 3));
  if (begins.startsWith("fffe") || begins.startsWith("feff") || bytes.includes(0)) refuse("", "text-utf16");
  if (begins === "efbbbf") refuse("", "text-bom");
  const text = textOfUtf8(bytes);
  if (text === undefined) refuse("", "trust-not-utf8");
  return new TrustReader(parseToml(text)).trust();
}

class TrustReader {
  constructor(document) {
    this.document = document;
  }

  async trust() {
    this.known(this.document, "", ["policy", "key", "chain", "witness", "log"]);
    const policy = this.policy();
    const keys = [];
    for (const [table, where] of this.tables("key")) keys.push(await this.key(table, where));
    const chains = this.tables("chain").map(([table, where]) => this.chain(table, where));
    this.oneRoleAKey(keys);
    this.oneRoleAParty(keys);
    this.oneLedgerAContract(chains);
    const witnesses = [];
    for (const [table, where] of this.tables("witness")) witnesses.push(await this.witness(table, where));
    const logs = [];
    for (const [table, where] of this.tables("log")) logs.push(await this.log(table, where));
    this.distinct(witnesses, logs, keys);
    if (policy.witnessed > witnesses.length) {
      refuseValue("policy.witnesses", policy.witnessed);
    }
    return new Trust({ ...policy, keys, chains, witnesses, logs });
  }

  known(table, where, allowed) {
    for (const key of table.keys()) {
      if (!allowed.includes(key)) refuse(where ? `${where}.${key}` : key, "trust-unknown-key");
    }
  }

  tables(name) {
    const tables = this.document.get(name) ?? [];
    if (!isArray(tables) || !tables.every(isMap)) refuse(name, "trust-no-tables", { name });
    return tables.map((table, at) => [table, `${name} ${at + 1}`]);
  }

  policy() {
    const policy = this.document.get("policy");
    if (!isMap(policy)) refuse("policy", "trust-policy-missing");
    this.known(policy, "policy", POLICY_KEYS);
    const ledgers = policy.get("ledgers");
    if (!isArray(ledgers) || !ledgers.length || !ledgers.every(isLedgerName)) {
      refuseValue("policy.ledgers", ledgers);
    }
    if (new Set(ledgers).size !== ledgers.length) refuse("policy.ledgers", "trust-ledger-twice");
    const receipts = policy.get("receipts");
    if (!isInt(receipts) || receipts < 1n || receipts > BigInt(ledgers.length)) {
      refuseValue("policy.receipts", receipts);
    }
    const [attested, witnessed] = ["attested", "witnesses"].map((key) => this.count(policy, key));
    const [made, expires] = ["made", "expires"].map((key) => this.timeIn(policy, "policy", key));
    if (made !== null && expires !== null && expires <= made) refuse("policy.expires", "trust-expires-early");
    const maxDelayS = policy.has("max_delay") ? this.delay(policy.get("max_delay")) : null;
    return { receipts: Number(receipts), ledgers, attested, witnessed, made, expires, maxDelayS };
  }

  count(policy, key) {
    const value = policy.has(key) ? policy.get(key) : 0n;
    if (!isInt(value) || value < 0n) refuseValue(`policy.${key}`, value);
    return value;
  }

  /** Whole seconds (BigInt) of a duration as "8d". */
  delay(value) {
    const fail = (code) => {
      const why = new Sentence(code, { limit: MOST_DELAY_DAYS });
      return refuse("policy.max_delay", "trust-delay", { value: quoted(value), why });
    };
    const match = isText(value) ? /^([0-9]{1,18})(?:\.([0-9]{1,18}))?(ms|s|min|m|h|d)$/.exec(value) : null;
    if (!match) return fail("value-duration");
    const [, whole, fraction = "", unit] = match;
    if (unit === "ms" && whole.length + fraction.length > 28) throw new NotJudged("toml-delay"); // rounded by Python
    const scale = 10n ** BigInt(fraction.length);
    const scaled = BigInt(whole + fraction) * UNITS_MS[unit];
    if (scaled % scale || scaled <= 0n) fail("value-milliseconds");
    const ms = scaled / scale;
    if (ms > MOST_DELAY_DAYS * UNITS_MS.d) fail("value-duration-most");
    if (ms % 1000n) fail("trust-delay-seconds");
    return ms / 1000n;
  }

  async key(table, where) {
    const role = table.get("role");
    if (!isText(role) || !Object.hasOwn(ROLE_NAMES, role)) {
      refuseValue(`${where}.role`, role);
    }
    this.known(table, where, [...KEY_COMMON, ...ROLE_NAMES[role], ...ROLE_MORE[role]]);
    for (const name of ROLE_NAMES[role]) this.name(table, where, name, name === "ledger" ? isLedgerName : isName);
    if (table.get("meter") === GATEWAY_ITSELF) refuse(`${where}.meter`, "trust-meter-name", { name: GATEWAY_ITSELF });
    const key = await this.public(table.get("public"), `${where}.public`);
    const times = ["valid_from", "valid_to", "revoked"];
    const [validFrom, validTo, revoked] = times.map((name) => this.timeIn(table, where, name));
    if (validFrom === null) refuse(`${where}.valid_from`, "trust-valid-from-missing");
    if (validTo !== null && validTo <= validFrom) refuse(`${where}.valid_to`, "trust-valid-to-early");
    const reason = table.get("revoked_reason") ?? null;
    if (reason !== null && (revoked === null || !isText(reason))) {
      refuse(`${where}.revoked_reason`, "trust-reason-alone");
    }
    const identity = table.get("identity") ?? null;
    if (identity !== null && !isSomeText(identity)) {
      refuseValue(`${where}.identity`, identity);
    }
    return {
      role, key, validFrom, validTo, revoked, reason, identity,
      gateway: table.get("gateway"), meter: table.get("meter"), ledger: table.get("ledger"), party: table.get("party"),
      kid: table.has("kid") ? this.kid(table.get("kid"), `${where}.kid`) : key.kid,
      held: this.held(table, where),
    };
  }

  name(table, where, name, valid) {
    if (valid(table.get(name))) return;
    if (!table.has(name)) refuse(`${where}.${name}`, "trust-name-missing");
    refuseValue(`${where}.${name}`, table.get(name));
  }

  async public(value, where) {
    if (!isText(value)) refuse(where, "trust-key-missing");
    try {
      const bytes = fromBase64url(value);
      if (!bytes) throw malformed("not-base64url");
      return await PublicKey.fromCoseKey(bytes);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return refuse(where, "trust-key-invalid", { error: error.sentence });
    }
  }

  kid(value, where) {
    const bytes = isText(value) ? fromBase64url(value) : new Uint8Array();
    if (!bytes) refuse(where, "trust-kid-form", { error: new Sentence("not-base64url") });
    if (!bytes.length || bytes.length > 256) refuse(where, "trust-kid-length");
    return bytes;
  }

  /** Unix seconds (BigInt) of a time with its offset, from 1970 on; null: it is not there. */
  timeIn(table, where, key) {
    if (!table.has(key)) return null;
    const value = table.get(key);
    if (!(value instanceof Moment)) refuseValue(`${where}.${key}`, value);
    if (value.seconds < 0n || value.seconds > MAX_TIME_S) refuseValue(`${where}.${key}`, value);
    return value.seconds;
  }

  /** Who answers for it that the key is in hardware; null: nobody. */
  held(table, where) {
    const there = HELD.filter((key) => table.has(key));
    if (!there.length) return null;
    const needed = HELD.slice(0, 3);
    const missing = needed.find((key) => !table.has(key));
    if (missing) refuse(`${where}.${missing}`, "trust-held-part", { there: there[0], keys: needed });
    if (table.get("held") !== "hardware") refuseValue(`${where}.held`, table.get("held"));
    const evidence = table.get("evidence") ?? null;
    if (evidence !== null && !isSomeText(evidence)) refuse(`${where}.evidence`, "trust-evidence", { limit: 1024 });
    this.name(table, where, "held_by", isLedgerName);
    return { by: table.get("held_by"), at: this.timeIn(table, where, "held_at"), evidence };
  }

  chain(table, where) {
    const claims = table.has("claims") ? table.get("claims") : false;
    if (typeof claims !== "boolean") refuseValue(`${where}.claims`, claims);
    this.known(table, where, claims ? CHAIN_KEYS.filter((key) => key !== "sender") : CHAIN_KEYS);
    this.name(table, where, "ledger", isLedgerName);
    const id = table.get("chain_id");
    if (!isInt(id) || id <= 0n || id > MAX_UINT) refuseValue(`${where}.chain_id`, id);
    for (const key of claims ? ["contract"] : ["contract", "sender"]) {
      const value = table.get(key);
      if (!isText(value) || !/^0x[0-9A-Fa-f]{40}$/.test(value)) {
        refuseValue(`${where}.${key}`, value);
      }
    }
    const confirmations = table.has("confirmations") ? table.get("confirmations") : 1n;
    if (!isInt(confirmations) || confirmations < 1n) {
      refuseValue(`${where}.confirmations`, confirmations);
    }
    return { ledger: table.get("ledger"), id, contract: table.get("contract").toLowerCase() };
  }

  async witness(table, where) {
    this.known(table, where, ["name", "vkey"]);
    const name = table.get("name");
    if (!isText(name) || !KEY_NAME.test(name)) refuseValue(`${where}.name`, name);
    return { name, vkey: await this.vkey(table.get("vkey"), `${where}.vkey`, COSIGNER_KEY) };
  }

  async log(table, where) {
    this.known(table, where, ["ledger", "vkey"]);
    this.name(table, where, "ledger", isLedgerName);
    return { ledger: table.get("ledger"), vkey: await this.vkey(table.get("vkey"), `${where}.vkey`, LOG_KEY) };
  }

  async vkey(value, where, kind) {
    if (!isText(value)) refuse(where, "trust-vkey-missing");
    let vkey;
    try {
      vkey = await parseVkey(value);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return refuse(where, "trust-vkey-invalid", { error: error.sentence });
    }
    if (vkey.kind !== kind) refuse(where, "trust-vkey-kind", { kind: `0${vkey.kind}`, wanted: `0${kind}` });
    return vkey;
  }

  /** One public key serves one role, and of ledgers and parties only one; a lookup never finds two. */
  oneRoleAKey(keys) {
    const owners = new Map();
    const places = new Map();
    keys.forEach((key, at) => {
      const holder = `${key.role} ${key.ledger ?? key.party ?? ""}`.trim();
      const owner = owners.get(hex(key.key.kid)) ?? holder;
      owners.set(hex(key.key.kid), owner);
      if (owner !== holder) refuse(`key ${at + 1}.public`, "trust-key-two-roles", { one: owner, other: holder });
      const place = placeOf(key);
      if (places.has(place)) refuse(`key ${at + 1}`, "trust-key-twice", { number: places.get(place) });
      places.set(place, at + 1);
    });
  }

  oneRoleAParty(keys) {
    const roles = new Map();
    keys.forEach(({ party, role }, at) => {
      if (party === undefined) return;
      const one = roles.get(party) ?? role;
      roles.set(party, one);
      if (one !== role) refuse(`key ${at + 1}.role`, "trust-party-two-roles", { party, one, other: role });
    });
  }

  oneLedgerAContract(chains) {
    const ledgers = new Map();
    chains.forEach(({ ledger, id, contract }, at) => {
      const one = ledgers.get(`${id} ${contract}`) ?? ledger;
      ledgers.set(`${id} ${contract}`, one);
      const facts = { contract: contract.slice(2), chain: id, one, other: ledger };
      if (one !== ledger) refuse(`chain ${at + 1}.contract`, "trust-contract-twice", facts);
    });
  }

  /** One key is one witness or one log, one origin one ledger, and neither has a key that is used otherwise. */
  distinct(witnesses, logs, keys) {
    const holders = new Map(keys.map(({ key, role }) => [hex(key.kid), role]));
    const alone = (vkey, holder) => {
      const first = holders.get(hex(vkey.key.kid)) ?? holder;
      holders.set(hex(vkey.key.kid), first);
      if (first !== holder) refuse(`${holder}.vkey`, "trust-key-two-roles", { one: first, other: holder });
    };
    const names = new Map();
    witnesses.forEach(({ name, vkey }, at) => {
      const where = `witness ${at + 1}`;
      for (const one of new Set([name, vkey.name])) {
        if (names.has(one)) refuse(`${where}.name`, "trust-witness-twice", { name: one, one: names.get(one) });
        names.set(one, where);
      }
      alone(vkey, where);
    });
    const [ledgers, origins] = [new Map(), new Map()];
    logs.forEach(({ ledger, vkey }, at) => {
      const where = `log ${at + 1}`;
      alone(vkey, where);
      const [one, before] = [ledgers.get(vkey.name) ?? ledger, origins.get(ledger) ?? vkey.name];
      ledgers.set(vkey.name, one);
      origins.set(ledger, before);
      const origin = vkey.name;
      if (one !== ledger) refuse(`${where}.vkey`, "trust-origin-twice", { origin, one, other: ledger });
      if (before !== origin) refuse(`${where}.vkey`, "trust-two-origins", { ledger, one: before, other: origin });
    });
  }
}

const isSomeText = (value) => isText(value) && value !== "" && length(value) <= 1024;

/** A value of the file as a sentence quotes it. */
function quoted(value) {
  if (value instanceof Moment || value instanceof OtherValue) return value.text;
  return isArray(value) ? `[${value.map(quoted).join(", ")}]` : shown(value);
}

const placeOf = ({ role, gateway, meter, ledger, party, kid }) =>
  JSON.stringify([role, gateway ?? null, meter ?? null, ledger ?? null, party ?? null, hex(kid)]);

/** What was read: `receipts` is k, `ledgers` the list, `witnessed` how many witnesses must have cosigned. */
class Trust {
  constructor(facts) {
    Object.assign(this, facts);
    this.index = new Map(this.keys.map((key) => [placeOf(key), key]));
  }

  find(place) {
    return this.index.get(placeOf(place));
  }

  hasLedgerKey(ledger) {
    return this.keys.some((key) => key.ledger === ledger);
  }

  /** What a reader should know of a file that is accepted, at `now` (BigInt Unix seconds). */
  *notes(now) {
    const { ledgers, receipts, keys, made } = this;
    if (this.maxDelayS === null) yield new Sentence("trust-no-max-delay");
    if (this.expires === null) yield new Sentence("trust-no-expires");
    if (made !== null && now + TOLERANCE_S < made) yield new Sentence("trust-made-later", { made_s: made, now_s: now });
    const n = ledgers.length;
    if (receipts * 2 <= n) yield new Sentence("trust-no-majority", { receipts, ledgers_n: n });
    const named = (entries) => new Set([...entries, ...this.chains].map(({ ledger }) => ledger));
    for (const ledger of ledgers) {
      if (!named(keys).has(ledger)) yield new Sentence("trust-ledger-no-key", { ledger });
      if (this.witnessed && !named(this.logs).has(ledger)) yield new Sentence("trust-ledger-no-log", { ledger });
    }
    for (const ledger of new Set(keys.filter((key) => key.ledger).map((key) => key.ledger))) {
      if (!ledgers.includes(ledger)) yield new Sentence("trust-ledger-not-listed", { ledger });
    }
    for (const [at, { ledger, held }] of keys.entries()) {
      if (!held) continue;
      if (held.by === ledger) yield new Sentence("trust-held-by-itself", { number: at + 1, ledger });
      if (ledger || ledgers.includes(held.by)) continue;
      yield new Sentence("trust-held-by-unknown", { number: at + 1, by: held.by, ledgers });
    }
    yield* this.sharedKeys();
  }

  /** One key of two meters or gateways: each could sign for the other. */
  *sharedKeys() {
    const first = new Map();
    const owner = ({ gateway = "", meter }) =>
      meter ? new Sentence("meter-of-gateway", { meter, gateway }) : new Sentence("gateway-itself", { gateway });
    for (const [at, key] of this.keys.entries()) {
      const kid = hex(key.key.kid);
      if (!first.has(kid)) first.set(kid, { number: at + 1, key });
      const { number, key: other } = first.get(kid);
      if (other.gateway === key.gateway && other.meter === key.meter) continue;
      yield new Sentence("trust-key-shared", { number: at + 1, other: number, one: owner(other), another: owner(key) });
    }
  }

  /** Throws TrustRefused for a file that counts no more at `now` (BigInt Unix seconds). */
  demandInForce(now) {
    if (this.expires !== null && now >= this.expires) {
      refuse("policy.expires", "trust-expired", { expires_s: this.expires, source: "trust.toml" });
    }
  }
}
