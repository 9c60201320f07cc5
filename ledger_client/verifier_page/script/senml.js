/* SenML packs of readings (RFC 8428, CBOR labels), as ledger_client/formats/senml.py. */

const PRIMARY_UNITS = new Set(
  (
    "m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 " +
    "cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m " +
    "B VA VAs var vars J/m kg/m3 deg NTU"
  ).split(" "),
);
const SECONDARY_UNITS = new Set(
  (
    "ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h ppm " +
    "/100 /1000 hPa mm cm km km/h ppb ppt VAh mg/l ug/l g/l"
  ).split(" "),
);
const [BVER, BN, BT, N, U, V, VS, VB, T, Q] = [-1n, -2n, -3n, 0n, 1n, 2n, 3n, 4n, 6n, "q_"];
const VERSION_SECONDARY = 26n; // RFC 9100 §3

/** Names of the quality bits, lowest first. A bit beyond them counts as bad. */
const QUALITY = (
  "COMM_FAIL DECODE_ERR NOT_FOUND DEVICE_FAULT STALE FROZEN RANGE_HIGH RANGE_LOW CAL_RANGE MAINTENANCE CALIBRATING " +
  "STOPPED MANUAL SUBSTITUTED OUT_OF_CONTROL CAL_OVERDUE ROLLOVER COUNTER_RESET METER_EXCHANGED TAMPER IMPLAUSIBLE " +
  "CLOCK_UNSYNC CLOCK_STEP LATE CACHED SHARED_LINE IDENTITY_UNPROVEN CONFIG_CHANGED BLOCKED NOT_ASKED"
).split(" ");

/** The numbers of the bits that are set, lowest first. */
function qualityBits(quality) {
  const bits = [];
  for (let bit = 0, left = quality; left > 0n; bit += 1, left >>= 1n) if (left & 1n) bits.push(bit);
  return bits;
}

/** {timeMs, values} of a pack; at step 2 where it is of another gateway or meter. */
function parsePack(payload, gateway, meter) {
  const entries = array(decode(payload), "pack", 1);
  if (!isMap(entries[0])) throw malformed("not-map", { what: "pack entry 0" });
  const base = new Map();
  const rest = new Map();
  for (const [key, value] of entries[0]) ([BVER, BN, BT].includes(key) ? base : rest).set(key, value);
  table(base, "pack entry 0", [BN, BT], [BVER]);
  const values = [rest, ...entries.slice(1)].map((entry, number) => packValue(entry, `pack entry ${number}`));
  const places = new Set();
  for (const value of values) {
    const place = `${value.name} ${value.offsetMs}`;
    if (places.has(place)) throw malformed("pack-twice", { name: value.name });
    places.add(place);
  }
  const secondary = values.some((value) => SECONDARY_UNITS.has(value.unit));
  if (base.get(BVER) !== (secondary ? VERSION_SECONDARY : undefined)) throw malformed("pack-version");
  const timeMs = packTime(base.get(BT), "pack bt");
  if (base.get(BN) !== `${gateway}/${meter}/`) {
    throw new Failure(2, "pack-of-other", { pack: shown(base.get(BN)), claims: `${gateway}/${meter}/` });
  }
  return { timeMs, values };
}

function packValue(entry, where) {
  const fields = table(entry, where, [N], [U, V, VS, VB, T, Q]);
  const unit = fields.get(U);
  if (!isName(fields.get(N))) throw malformed("not-name", { what: `${where} n`, value: shown(fields.get(N)) });
  if (fields.has(U) && !PRIMARY_UNITS.has(unit) && !SECONDARY_UNITS.has(unit)) {
    throw malformed("pack-unit", { what: where, unit: shown(unit) });
  }
  const offsetMs = fields.has(T) ? packTime(fields.get(T), `${where} t`) : 0n;
  const quality = fields.has(Q) ? uint(fields.get(Q), `${where} q_`) : 0n;
  if ((fields.has(T) && !offsetMs) || (fields.has(Q) && !quality)) throw malformed("pack-idle", { what: where });
  if ([V, VS, VB].filter((key) => fields.has(key)).length !== 1) throw malformed("pack-value", { what: where });
  return { name: fields.get(N), value: packContent(fields, where, quality), unit, quality, offsetMs };
}

/** A boolean, text, BigInt, number or Decimal; null: there is none, and the quality says why. */
function packContent(fields, where, quality) {
  if (fields.has(VB)) {
    if (typeof fields.get(VB) !== "boolean") throw malformed("pack-value", { what: where });
    return fields.get(VB);
  }
  if (fields.has(VS)) {
    if (fields.get(VS) === "" && quality) return null;
    return text(fields.get(VS), `${where} vs`, 65536);
  }
  const number = fields.get(V);
  if (!isInt(number) && typeof number !== "number" && !(number instanceof Decimal)) {
    throw malformed("pack-value", { what: where });
  }
  if (number instanceof Decimal && number.exponent === 0n) throw malformed("pack-value", { what: where });
  return number;
}

/** Milliseconds: tag 4 [−3, ms]. */
function packTime(value, what) {
  if (!(value instanceof Decimal) || value.exponent !== -3n) throw malformed("pack-time", { what });
  return timeMs(value.mantissa, what);
}
