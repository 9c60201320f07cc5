/* The page: two files come in, the verdict goes out. The only clock is this computer's: no address of the page, and
 * nothing in a file, sets another one. */

const SLOTS = ["proof", "trust"];
const OTHER_KINDS = ["mrows", "enrol", "claim"];
const chosen = { proof: null, trust: null };
let show = () => {};
let run = 0;

const byId = (id) => document.getElementById(id);
const nowS = () => Math.floor(Date.now() / 1000);

/** "proof" or "trust" by content, and by name where that says nothing; or the code of why it is neither. */
async function kindOf(file) {
  const begin = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  const suffix = file.name.toLowerCase().split(".").pop();
  if (suffix === "mbatch" || hex(begin).startsWith("a46176")) return "kind-batch";
  if (suffix === "mcert") return "kind-certificate";
  if (OTHER_KINDS.includes(suffix)) return "kind-other";
  if (new TextDecoder().decode(begin).includes("-----BEGIN ")) return "kind-key";
  if (SLOTS.includes({ mseal: "proof", toml: "trust" }[suffix])) return { mseal: "proof", toml: "trust" }[suffix];
  return begin.length && begin[0] < 0x80 ? "trust" : "proof";
}

/** Takes what was dropped or chosen: one file of a kind, or nothing at all. */
async function take(files) {
  const mine = (run += 1);
  if (!files.length) return;
  present(() => [[element("p", {}, pieces("text.judging"))], []]); // no older verdict stands for a moment
  if (files.length > 2) return refuseFiles("too-many-files", { n: files.length });
  const taken = {};
  for (const file of files) {
    let kind;
    try {
      kind = await kindOf(file);
    } catch {
      kind = "not-readable";
    }
    if (mine !== run) return;
    if (!SLOTS.includes(kind)) return refuseFiles(kind, { file: file.name });
    if (taken[kind]) return refuseFiles(kind === "proof" ? "two-proofs" : "two-trusts");
    taken[kind] = file;
  }
  settle({ ...chosen, ...taken });
  await judgeChosen();
}

/** These files are the ones, in the page's fields too: no field may show another file than the one that is judged. */
function settle(files) {
  Object.assign(chosen, files);
  for (const slot of SLOTS) {
    const data = new DataTransfer();
    if (files[slot]) data.items.add(files[slot]);
    byId(slot).files = data.files;
  }
}

/** Nothing is judged, so that no older verdict stands beside a file that it is not about. */
function refuseFiles(code, facts = {}) {
  settle({ proof: null, trust: null });
  present(() => [[refusalBox("none", new Sentence(code, facts))], []]);
}

async function judgeChosen() {
  const mine = (run += 1);
  if (!chosen.proof || !chosen.trust) return present(() => [[element("p", {}, pieces("text.waiting"))], []]);
  const now = nowS();
  try {
    const [proof, trust] = await Promise.all([
      bytesOf(chosen.proof, MAX_BUNDLE), bytesOf(chosen.trust, MAX_TRUST),
    ]);
    const outcome = await judge(proof, trust, now);
    if (mine === run) present(() => [[verdictOf(outcome, now)], reportOf(outcome, now)]);
  } catch (error) {
    if (mine !== run) return;
    const sentence = new Sentence("fault", { error: String(error?.message ?? error) });
    present(() => [[refusalBox("bad", sentence)], []]);
  }
}

/** A file's bytes, one more than is allowed where it has more: as much as finding that out takes. */
const bytesOf = async (file, most) => new Uint8Array(await file.slice(0, most + 1).arrayBuffer());

/** Shows what `make` gives, [verdict, report], now and in the other language. */
function present(make) {
  show = () => {
    const [verdict, report] = make();
    byId("verdict").replaceChildren(...verdict);
    byId("report").replaceChildren(...report);
    for (const slot of SLOTS) {
      const file = chosen[slot];
      byId(`${slot}-name`).replaceChildren(file ? isolated(printable(file.name)) : plainText("text.none"));
    }
  };
  show();
}

async function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = plainText("text.title");
  for (const place of document.querySelectorAll("[data-text]")) {
    place.textContent = plainText(`text.${place.dataset.text}`);
  }
  const button = byId("language");
  button.textContent = plainText("text.language");
  button.setAttribute("lang", language === "zh" ? "en" : "zh-CN");
  show();
}

/** What this page is: the release that wrote it, and the hash of the script that runs. */
async function tellVersion() {
  if (!globalThis.crypto?.subtle) return;
  const scripts = document.querySelectorAll("script");
  const digest = hex(await sha256(utf8(scripts[scripts.length - 1].textContent)));
  const write = () => {
    const text = element("span", {}, pieces("text.version", { release: TEXTS.release, digest }));
    byId("version").replaceChildren(text);
  };
  write();
  byId("language").addEventListener("click", write);
}

async function start() {
  byId("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    translate();
  });
  present(() => [[element("p", {}, pieces("text.waiting"))], []]);
  translate();
  await tellVersion();
  const problem = await cryptographyLacks();
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!problem) take([...event.dataTransfer.files]);
  });
  if (problem) {
    present(() => [[refusalBox("bad", new Sentence(problem))], []]);
    return;
  }
  for (const slot of SLOTS) {
    byId(slot).disabled = false;
    byId(slot).addEventListener("change", (event) => take([...event.target.files]));
  }
  globalThis.meterseal = Object.freeze({ judge }); // what the page itself calls, for whoever compares it
}

start();
