/* TOML as `trust from` writes it: [table], [[table]], bare keys, strings of one line, whole numbers, booleans, times,
 * and arrays of these. What is certainly no TOML, or no value that any key of a trust file takes, is refused; whatever
 * else TOML allows is not judged here, so that no file ever means something else than to `meterseal-ledger`. */

/** A time with its offset: whole Unix seconds (BigInt). */
class Moment {
  constructor(seconds, text) {
    this.seconds = seconds;
    this.text = text;
  }
}

/** A value that TOML allows and no key of a trust file takes: a float, a time without an offset. */
class OtherValue {
  constructor(text) {
    this.text = text;
  }
}

const NO_CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/; // but tab and newline
const DELIMITED = "(?=[ \\t\\n,\\]#]|$)";
const DATE = "(\\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])";
const TIME = "([01]\\d|2[0-3]):([0-5]\\d):([0-5]\\d)(?:\\.(\\d+))?";
const OFFSET = "(Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)?";
const TOML = {
  blank: /[ \t]*/y,
  lineEnd: /[ \t]*(?:#[^\n]*)?(?:\n|$)/y,
  between: /(?:[ \t\n]+|#[^\n]*(?:\n|$))*/y,
  tables: /\[\[[ \t]*([A-Za-z0-9_-]+)[ \t]*\]\]/y,
  table: /\[[ \t]*([A-Za-z0-9_-]+)[ \t]*\]/y,
  key: /([A-Za-z0-9_-]+)[ \t]*=[ \t]*/y,
  basic: /"(?!"")([^"\\\n]*(?:\\[^\n][^"\\\n]*)*)"/y,
  literal: /'(?!'')([^'\n]*)'/y,
  boolean: new RegExp(`(true|false)${DELIMITED}`, "y"),
  moment: new RegExp(`${DATE}[Tt ]${TIME}${OFFSET}${DELIMITED}`, "y"),
  date: new RegExp(`${DATE}${DELIMITED}`, "y"),
  integer: new RegExp(`([+-]?(?:0|[1-9](?:_?\\d)*))${DELIMITED}`, "y"),
  float: new RegExp(
    `[+-]?(?:0|[1-9](?:_?\\d)*)(?:\\.\\d(?:_?\\d)*)?(?:[eE][+-]?\\d(?:_?\\d)*)?${DELIMITED}`, "y"),
};
const ESCAPES = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", '"': '"', "\\": "\\" };
const LONG_KEY = /(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){1000}/;

const notToml = (line, code) => new TrustRefused("", "trust-not-toml", { error: new Sentence(code, { line }) });

/** Map of the document: a Map for [name], an array of them for [[name]], else a value. */
function parseToml(source) {
  return new TomlReader(source.replaceAll("\r\n", "\n")).document();
}

class TomlReader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  get line() {
    return this.text.slice(0, this.at).split("\n").length;
  }

  /** The match of a token here, and behind it; null: something else stands here. */
  next(token) {
    const pattern = TOML[token];
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match) this.at = pattern.lastIndex;
    return match;
  }

  unusual() {
    throw new NotJudged("toml-unusual", { line: this.line });
  }

  document() {
    const control = this.text.search(NO_CONTROL);
    if (control >= 0) throw notToml(this.text.slice(0, control).split("\n").length, "toml-control");
    if (LONG_KEY.test(this.text)) throw notToml(1, "toml-long-key");
    const document = new Map();
    let table = document;
    while (this.at < this.text.length) {
      if (this.next("lineEnd")) continue;
      this.next("blank");
      let match;
      if ((match = this.next("tables"))) {
        const tables = document.get(match[1]) ?? [];
        if (!isArray(tables) || (document.has(match[1]) && !tables.ofTables)) throw notToml(this.line, "toml-twice");
        document.set(match[1], tables);
        tables.ofTables = true;
        tables.push((table = new Map()));
      } else if ((match = this.next("table"))) {
        if (document.has(match[1])) throw notToml(this.line, "toml-twice");
        document.set(match[1], (table = new Map()));
      } else if ((match = this.next("key"))) {
        if (table.has(match[1])) throw notToml(this.line, "toml-twice");
        table.set(match[1], this.value());
      } else {
        this.unusual();
      }
      if (!this.next("lineEnd")) this.unusual();
    }
    return document;
  }

  value() {
    return this.text[this.at] === "[" ? this.array() : this.scalar();
  }

  array() {
    const items = [];
    this.at += 1;
    for (;;) {
      this.next("between");
      if (this.text[this.at] === "]") break;
      items.push(this.scalar());
      this.next("between");
      if (this.text[this.at] === "]") break;
      if (this.text[this.at] !== ",") this.unusual();
      this.at += 1;
    }
    this.at += 1;
    return items;
  }

  scalar() {
    let match;
    if ((match = this.next("basic"))) return this.unescaped(match[1]);
    if ((match = this.next("literal"))) return match[1];
    if ((match = this.next("boolean"))) return match[1] === "true";
    if ((match = this.next("moment"))) return this.moment(match);
    if ((match = this.next("date"))) return new OtherValue(match[0]);
    if ((match = this.next("integer"))) return this.integer(match[1]);
    if ((match = this.next("float"))) return new OtherValue(match[0]);
    return this.unusual();
  }

  unescaped(raw) {
    return raw.replace(/\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[^])/g, (_, escape) => {
      if (escape.length === 1) return ESCAPES[escape] ?? this.unusual();
      const code = parseInt(escape.slice(1), 16);
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) this.unusual();
      return String.fromCodePoint(code);
    });
  }

  integer(digits) {
    const value = BigInt(digits.replaceAll("_", "").replace(/^\+/, ""));
    if (value > MAX_UINT || value < -MAX_UINT) throw notToml(this.line, "toml-64-bits");
    return value;
  }

  moment([text, year, month, day, hour, minute, second, fraction = "", offset]) {
    const date = new Date(0);
    date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
    if (date.getUTCDate() !== Number(day) || year === "0000") throw notToml(this.line, "toml-no-date");
    if (offset === undefined) return new OtherValue(text);
    const minutes = offset === "Z" ? 0 : Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4));
    const ahead = minutes * (offset[0] === "-" ? -60 : 60);
    const seconds = date.getTime() / 1000 + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - ahead;
    if (/[1-9]/.test(fraction.slice(0, 6)) && seconds >= 2 ** 33) this.unusual(); // a double may round it up
    return new Moment(BigInt(seconds), text);
  }
}
