/* Failures: a code with facts, as in ledger_client/messages.py, and the step at which verification stopped. */

/** A sentence to be: its code of words.toml or en.toml, and its facts (text, numbers, lists, other sentences). */
class Sentence {
  constructor(code, facts = {}) {
    this.code = code;
    this.facts = facts;
  }
}

/** Evidence that does not hold: `step` 1 to 8. */
class Failure extends Error {
  constructor(step, code, facts = {}) {
    super(code);
    this.step = step;
    this.sentence = code instanceof Sentence ? code : new Sentence(code, facts);
  }
}

/** Bytes that are not of the format. */
const malformed = (code, facts) => new Failure(1, code, facts);

/** A trust file that is not accepted, with the place in it: "key 3.public". */
class TrustRefused extends Error {
  constructor(place, code, facts = {}) {
    super(code);
    this.place = place;
    this.sentence = code instanceof Sentence ? code : new Sentence(code, facts);
  }
}

/** What this page does not judge: `meterseal-ledger verify` does. */
class NotJudged extends Error {
  constructor(code, facts = {}) {
    super(code);
    this.sentence = new Sentence(code, facts);
  }
}

/** Run `judge`; a failure inside of it is one of this step. */
async function atStep(step, judge) {
  try {
    return await judge();
  } catch (error) {
    if (error instanceof Failure) error.step = step;
    throw error;
  }
}
