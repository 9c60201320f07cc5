/* Sentences in the reader's language. What evidence or a file wrote into one is a fact, kept apart from the words. */

const TEXTS = JSON.parse(document.getElementById("words").textContent);
let language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

/** Text of a foreign hand: what is not printable, as controls and marks of direction are, becomes an escape. */
function printable(text) {
  const cut = length(text) > 1000 ? `${text.slice(0, 600)} … ${text.slice(-300)}` : text;
  const escaped = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, escaped);
}

/** What a text or a sentence is made of: words, and facts as {fact}. */
function pieces(key, facts = {}) {
  if (key instanceof Sentence) return pieces(key.code, key.facts);
  const found = [];
  for (const part of TEXTS.words[key][language === "zh" ? 1 : 0].split(/(\{\w+(?:!r|:\w+)?\})/)) {
    const blank = /^\{(\w+)(!r|:\w+)?\}$/.exec(part);
    if (blank) found.push(...factPieces(facts[blank[1]], blank[1], blank[2]));
    else if (part) found.push(part);
  }
  return found;
}

function factPieces(fact, name, format) {
  if (fact instanceof Sentence) return pieces(fact);
  if (fact?.pieces) return fact.pieces;
  if (isArray(fact)) {
    const joint = language === "zh" ? { ":parts": "；" }[format] ?? "、" : { ":parts": "; " }[format] ?? ", ";
    return fact.flatMap((one, at) => [...(at ? [joint] : []), ...factPieces(one, name)]);
  }
  const shownFact = format === ":time" ? rfc3339(fact, name.endsWith("_ms")) : String(fact);
  return [{ fact: printable(shownFact) }];
}

/** Marks between parts, as the language writes them. */
const marks = () =>
  language === "zh" ? { open: "（", close: "）", colon: "：" } : { open: " (", close: ")", colon: ": " };

/** The same as one text, for tests and titles. */
const plainText = (key, facts) => pieces(key, facts).map((piece) => piece.fact ?? piece).join("");

/** RFC 3339 in UTC of Unix seconds or milliseconds (BigInt). */
function rfc3339(time, isMs) {
  const text = new Date(Number(isMs ? time : time * 1000n)).toISOString();
  return isMs ? text : text.replace(/\.\d+Z$/, "Z");
}

/** A time between two moments in the two units that say most: "300 d 2 h". */
function spanInWords(ms) {
  const sign = ms < 0n ? "-" : "";
  const rest = ms < 0n ? -ms : ms;
  if (rest < 60000n) return `${sign}${(Number(rest) / 1000).toFixed(1)} s`;
  for (const [unitMs, unit, lessMs, less] of [[86400000n, "d", 3600000n, "h"], [3600000n, "h", 60000n, "min"]]) {
    if (rest >= unitMs) return `${sign}${rest / unitMs} ${unit} ${(rest % unitMs) / lessMs} ${less}`;
  }
  return `${sign}${rest / 60000n} min ${(rest % 60000n) / 1000n} s`;
}
