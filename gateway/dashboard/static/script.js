// Keeps an open page up to date: values as they come over /stream, and how old everything is. Without it each page is
// whole as it was sent, and a reload shows what is newer.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  for (const form of document.querySelectorAll("form.row[action]:not([method])")) {
    for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => form.submit());
  }
  const more = document.querySelector("[data-again]"); // something is still being looked at
  if (more) setTimeout(() => location.replace(more.href), 1500);
  const words = JSON.parse(document.body.dataset.words || "null");
  if (!words || !window.EventSource) return;

  const state = document.querySelector("[data-stream]");
  const ahead = Number(document.body.dataset.now) - Date.now(); // the gateway's clock, not this machine's, tells ages
  const site = { meters: {}, head: {} };

  function age(ms) {
    const seconds = Math.max(0, Math.floor((Date.now() + ahead - ms) / 1000));
    for (const [unit, length, most] of [["s", 1, 120], ["min", 60, 120], ["h", 3600, 72]]) {
      if (seconds < length * most) return words.units[unit].replace("#", Math.floor(seconds / length));
    }
    return words.units.d.replace("#", Math.floor(seconds / 86400));
  }

  function put(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  function badge(element, verdict) {
    element.className = "q q-" + verdict;
    put(element, words.verdicts[verdict]);
  }

  function why(flags) {
    const said = [];
    for (let bit = 0; bit < 32; bit++) if (flags & (1 << bit)) said.push(words.flags[bit] || String(bit));
    return said.join("; ");
  }

  // A sparkline is drawn anew from what it shows: its own scale is kept beside it.
  function course(svg, time, number) {
    const [low, high, span, to] = svg.dataset.scale.split(" ").map(Number), from = to - span;
    let seen = svg.seen;
    if (!seen) {
      seen = svg.seen = [];
      for (const line of svg.querySelectorAll("polyline")) {
        for (const pair of line.getAttribute("points").split(" ")) {
          const [x, y] = pair.split(",").map(Number);
          seen.push([from + (x / 120) * (to - from), low + ((26 - y) / 24) * (high - low)]);
        }
        seen.push([0, null]);
      }
      seen.pop();
    }
    if (seen.length && time <= seen[seen.length - 1][0]) return;
    seen.push([time, number]);
    while (seen.length > 60) seen.shift();
    const numbers = seen.map((pair) => pair[1]).filter((n) => n !== null);
    const least = Math.min(...numbers), most = Math.max(...numbers), begin = seen[0][0] || seen[1][0];
    const pieces = [[]];
    for (const [t, n] of seen) {
      if (n === null) pieces.push([]);
      else {
        const x = (120 * (t - begin)) / Math.max(1, time - begin);
        const y = most === least ? 14 : 2 + (24 * (most - n)) / (most - least);
        pieces[pieces.length - 1].push(x.toFixed(0) + "," + y.toFixed(0));
      }
    }
    svg.replaceChildren(...pieces.filter((piece) => piece.length).map((piece) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("points", piece.join(" "));
      return line;
    }));
  }

  function meter(name, now) {
    const row = document.querySelector('[data-meter="' + CSS.escape(name) + '"]');
    if (!row || !now) return;
    const silent = row.querySelector("[data-silent]");
    if (silent) {
      silent.replaceChildren();
      if (now.since) {
        const sleeps = now.why === "asleep";
        const sign = document.createElement("span"), reason = document.createElement("small");
        sign.className = sleeps ? "quiet" : "q q-bad";
        sign.dataset.words = sleeps ? words.asleep : words.silent;
        sign.dataset.silentSince = now.since;
        sign.textContent = sign.dataset.words.replace("#", age(now.since));
        reason.textContent = sleeps ? "" : words.reasons[now.why] || now.why;
        silent.append(sign, reason);
      }
    }
    if (!now.t) return;
    const shown = row.querySelector("[data-age]");
    if (!shown) return location.reload(); // its first reading: the page has no place for it yet
    const fresh = Number(shown.dataset.age) < now.t;
    shown.dataset.age = now.t;
    put(shown, age(now.t));
    if (!fresh) return;
    const tag = row.querySelector(".tag");
    if (tag) {
      tag.className = "tag s-" + now.s;
      tag.title = "";
      put(tag, words.states[now.s]);
    }
    for (const [point, [digits, unit]] of Object.entries(now.v || {})) {
      const value = row.querySelector('[data-value="' + CSS.escape(point) + '"]');
      if (value) {
        put(value.querySelector("b"), digits);
        put(value.querySelector("i"), unit);
      }
    }
    const quality = row.querySelector("td[data-quality]");
    if (quality && row.tagName === "TR") {
      const shared = document.querySelector("[data-shared]");
      badge(quality.querySelector(".q"), now.q);
      const own = why(now.f & ~(shared ? Number(shared.dataset.shared) : 0));
      if (own && !quality.querySelector("small")) quality.append(document.createElement("small"));
      put(quality.querySelector("small"), own);
    }
    const svg = row.querySelector("td svg");
    if (svg) course(svg, now.t, now.n);
  }

  function tick() {
    for (const element of document.querySelectorAll("[data-age]")) put(element, age(Number(element.dataset.age)));
    for (const element of document.querySelectorAll("[data-silent-since]")) {
      put(element, element.dataset.words.replace("#", age(Number(element.dataset.silentSince))));
    }
    for (const row of document.querySelectorAll("[data-every]")) {
      const shown = row.querySelector("[data-age]"), late = 3 * Number(row.dataset.every) + 5000;
      const silent = row.querySelector("[data-silent-since]"), now = Date.now() + ahead;
      const gone = silent && now - Number(silent.dataset.silentSince) > 2 * Number(row.dataset.every);
      const quality = row.querySelector("td[data-quality]");
      if (quality) quality.dataset.old = words.last;
      const tag = gone && row.querySelector(".s-live");
      if (tag) {
        tag.className = "tag s-recorded";
        put(tag, words.states.recorded);
      }
      row.classList.toggle("old", Boolean(gone) || (Boolean(shown) && now - Number(shown.dataset.age) > late));
    }
    const rows = document.querySelectorAll("tr[data-every]"), well = [...rows].filter((row) => {
      return row.querySelector("[data-age]") && !row.classList.contains("old");
    });
    put(document.querySelector("[data-well]"), words.well.replace("#n", well.length).replace("#a", rows.length));
  }

  function told(change) {
    for (const [name, now] of Object.entries(change.meters || {})) {
      site.meters[name] = now;
      meter(name, now);
    }
    const head = change.head || {};
    if (head.alarms !== undefined) {
      const before = site.head.alarms;
      if (before !== undefined && String(before) !== String(head.alarms) && document.querySelector("[data-verdict]")) {
        return location.reload(); // what there is to do is told by the page itself
      }
      for (const count of document.querySelectorAll("[data-alarms]")) {
        put(count, String(head.alarms.length));
        count.hidden = !head.alarms.length;
      }
    }
    if (head.oldest !== undefined) {
      const oldest = document.querySelector("[data-oldest]");
      if (oldest && head.oldest) oldest.dataset.age = head.oldest;
      else if (oldest) {
        delete oldest.dataset.age;
        put(oldest, words.none);
      }
    }
    Object.assign(site.head, head);
  }

  const stream = new EventSource("/stream");
  const said = (on) => {
    if (!state) return;
    state.className = "end q q-" + (on ? "good" : "bad");
    state.dataset.mark = on ? "●" : "✗";
    put(state, on ? words.stream.on : words.stream.off);
  };
  stream.addEventListener("open", () => said(true));
  stream.addEventListener("error", () => said(false));
  for (const kind of ["site", "change"]) stream.addEventListener(kind, (event) => told(JSON.parse(event.data)));
  setInterval(tick, 1000);
})();
