// Keeps an open page up to date: values as they come over /stream, how old everything is, and the parts that only the
// page itself can tell. Without it each page is whole as it was sent, and a reload shows what is newer.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  document.addEventListener("change", ({ target }) => {
    if (target.matches("form.row[action]:not([method]) select")) target.form.submit();
  });

  const WATCHING = { "Meterseal-Watch": "1" }; // keeps no session in use, takes no message from anybody
  const again = () => document.querySelector("[data-again]"); // something is still being looked at; in so many seconds
  const watch = (method) => {
    return fetch((again() || location).href, { method, headers: WATCHING, redirect: "manual" }).catch(() => null);
  };

  // What stands in a part ([data-part]) is fetched again with the page. A part in which somebody types, reads on or marks
  // something stays as it is. Where the page has got other parts it is loaded anew.
  let asked = 0, asking = false, renewed = Date.now();
  function renew(within = 0) {
    clearTimeout(asked);
    asked = setTimeout(() => asking ? renew(500) : look(), within);
  }

  async function look() {
    asking = true;
    renewed = Date.now();
    const answer = await watch("GET");
    const text = answer && (answer.ok ? await answer.text().catch(() => null) : "");
    asking = false;
    const later = text === null || [429, 503].includes(answer.status); // the gateway is away, or too busy
    if (later) return renew(2000 + 3000 * Math.random());
    if (!answer.ok) return more();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const parts = document.querySelectorAll("[data-part]"), others = fresh.querySelectorAll("[data-part]");
    const script = (page) => page.querySelector("script[src]")?.getAttribute("src"); // another one after an update
    if (parts.length !== others.length || script(document) !== script(fresh)) return location.reload();
    document.title = fresh.title;
    const list = document.querySelector(".meters"), next = list && fresh.querySelector(".meters");
    const order = (table) => [...table.querySelectorAll("tbody")].map((block) => meters(block).join()).join(";");
    const moved = list && order(list) !== order(next); // some have fallen silent, or answer again
    parts.forEach((part, n) => busy(part) || (moved && list.contains(part)) || take(part, document.adoptNode(others[n])));
    if (moved && !busy(list)) {
      take(list, document.adoptNode(next));
      document.dispatchEvent(new Event("moved"));
    }
    more();
  }

  function meters(block) {
    return [...block.querySelectorAll("[data-meter]")].map((row) => row.dataset.meter);
  }

  function take(part, other) {
    const place = reached(part).indexOf(document.activeElement), to = place >= 0 && document.activeElement.href;
    part.replaceWith(other);
    const same = reached(other), there = (to && same.find((one) => one.href === to)) || same[place];
    if (place >= 0) (there || document.getElementById("main")).focus({ preventScroll: true });
  }

  function reached(part) {
    return [...part.querySelectorAll("a, button, summary, [tabindex]")];
  }

  function busy(part) {
    const marked = getSelection();
    return part.querySelector("details[open], input:focus, select:focus, input[data-typed]") ||
      (!marked.isCollapsed && marked.containsNode(part, true)) ||
      [...part.querySelectorAll("input")].some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked) ||
      [...part.querySelectorAll("option")].some((one) => one.selected && one.index && !one.defaultSelected);
  }

  function more() {
    if (again()) renew(1000 * again().dataset.again || 1500);
  }
  more();

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
  function course(svg, time, number, gap) {
    const [low, high, span, to] = svg.dataset.scale.split(" ").map(Number), from = to - span;
    let seen = svg.seen;
    if (!seen) {
      seen = svg.seen = [];
      for (const piece of svg.firstElementChild.getAttribute("d").split("M").slice(1)) {
        for (const pair of piece.split(" ")) {
          const [x, y] = pair.split(",").map(Number);
          seen.push([from + (x / 120) * (to - from), low + ((26 - y) / 24) * (high - low)]);
        }
        seen.push([0, null]);
      }
      seen.pop();
    }
    if (seen.length && time <= seen[seen.length - 1][0]) return;
    const times = seen.filter((pair) => pair[1] !== null).map((pair) => pair[0]), last = times[times.length - 1];
    const between = times.slice(1).map((t, n) => t - times[n]).sort((a, b) => a - b), usual = between[between.length >> 1];
    if ((last < gap && gap < time) || time - last > 2.5 * usual) seen.push([0, null]);
    seen.push([time, number]);
    while (seen.length > 60) seen.shift();
    const numbers = seen.map((pair) => pair[1]).filter((n) => n !== null);
    const least = Math.min(...numbers), most = Math.max(...numbers), begin = seen.find((pair) => pair[1] !== null)[0];
    const pieces = [[]];
    for (const [t, n] of seen) {
      if (n === null) pieces.push([]);
      else {
        const x = (120 * (t - begin)) / Math.max(1, time - begin);
        const y = most === least ? 14 : 2 + (24 * (most - n)) / (most - least);
        pieces[pieces.length - 1].push(x.toFixed(0) + "," + y.toFixed(0));
      }
    }
    const drawn = pieces.filter((piece) => piece.length).map((piece) => piece.length > 1 ? piece : [...piece, ...piece]);
    svg.firstElementChild.setAttribute("d", drawn.map((piece) => "M" + piece.join(" ")).join("")); // one point is a dot
  }

  function silence(row, now) {
    for (const before of row.querySelectorAll("[data-silent], [data-silent] + small")) before.remove();
    if (!now.since) return;
    const sleeps = now.why === "asleep";
    const sign = document.createElement("span"), reason = document.createElement("small");
    sign.className = sleeps ? "quiet" : "q q-bad";
    sign.dataset.silent = sleeps ? words.asleep : now.a ? words.silent : words.unread;
    sign.dataset.since = now.since;
    put(sign, sign.dataset.silent.replace("#", age(now.since)));
    reason.textContent = sleeps ? "" : words.reasons[now.why] || now.why;
    row.cells[4].prepend(sign, reason);
  }

  // Values outside their limits are named in place of a good quality, and beside any other.
  function limits(quality, now) {
    const named = quality.querySelector("[data-points]"), outside = now.o || [];
    if (!named) return;
    const called = JSON.parse(named.dataset.points);
    put(named, outside.map((point) => called[point] || point).join(", "));
    quality.querySelector(".q").hidden = outside.length > 0 && now.q === "good";
    quality.querySelector("[data-outside]").hidden = named.hidden = !outside.length;
  }

  function meter(name, now) {
    const row = document.querySelector('[data-meter="' + CSS.escape(name) + '"]');
    if (!row || !now) return;
    const cause = (now.since && now.why) || "";
    if (row.tagName !== "TR" && row.dataset.why !== cause) renew(); // its own page says what to do
    row.dataset.why = cause;
    if (row.tagName === "TR") silence(row, now);
    if (!now.t) return;
    const shown = row.querySelector("[data-age]");
    if (row.tagName !== "TR") { // its own page has all values, and says how old those are that it shows
      if (!document.hidden && Date.now() - renewed > 4500) renew();
      return;
    }
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
    for (const [point, [digits, unit, way]] of Object.entries(now.v || {})) {
      const value = row.querySelector('[data-value="' + CSS.escape(point) + '"]');
      if (value) {
        put(value.querySelector("b"), digits);
        put(value.querySelector("i"), unit);
        put(value.querySelector("em"), words.ways[way] || "");
      }
    }
    row.dataset.read = now.q === "good" && !(now.o || []).length ? "well" : "doubtful";
    const quality = row.cells[3], shared = document.querySelector("[data-shared]");
    badge(quality.querySelector(".q"), now.q);
    const own = why(now.f & ~(shared ? Number(shared.dataset.shared) : 0));
    const reason = () => quality.querySelector("small:not([data-points])");
    if (own && !reason()) quality.querySelector(".q").after(document.createElement("small"));
    put(reason(), own);
    limits(quality, now);
    const svg = row.querySelector("td svg");
    if (svg) course(svg, now.t, now.n, now.g);
  }

  function tick() {
    for (const element of document.querySelectorAll("[data-age]")) put(element, age(Number(element.dataset.age)));
    for (const element of document.querySelectorAll("[data-since]")) {
      put(element, element.dataset.silent.replace("#", age(Number(element.dataset.since))));
    }
    for (const row of document.querySelectorAll("[data-every]")) {
      const shown = row.querySelector("[data-age]"), late = 3 * Number(row.dataset.every) + 5000;
      const silent = row.querySelector("[data-since]"), now = Date.now() + ahead;
      const gone = silent && now - Number(silent.dataset.since) > 2 * Number(row.dataset.every);
      if (row.cells) row.cells[3].dataset.old = words.last;
      const tag = gone && row.querySelector(".s-live");
      if (tag) {
        tag.className = "tag s-recorded";
        put(tag, words.states.recorded);
      }
      const old = Boolean(gone) || (Boolean(shown) && now - Number(shown.dataset.age) > late);
      if (old && row.tagName !== "TR" && !row.classList.contains("old")) renew();
      row.classList.toggle("old", old || (row.tagName !== "TR" && row.classList.contains("old")));
      const sleeps = row.dataset.why === "asleep";
      if (row.dataset.state && row.dataset.read) row.dataset.state = !old ? row.dataset.read : sleeps ? "asleep" : "silent";
    }
    choose();
    const rows = document.querySelectorAll("tr[data-every]"), well = [...rows].filter((row) => {
      return row.querySelector("[data-age]") && !row.classList.contains("old");
    });
    const count = words.well.replace("#n", well.length).replace("#a", rows.length);
    if (rows.length && !document.body.classList.contains("off")) put(document.querySelector("[data-well]"), count);
  }

  function told(change) {
    for (const [name, now] of Object.entries(change.meters || {})) {
      site.meters[name] = now;
      meter(name, now);
    }
    for (const [flow, digits] of Object.entries(change.totals || {})) {
      for (const shown of document.querySelectorAll('[data-flow="' + CSS.escape(flow) + '"]')) put(shown, digits);
    }
    const head = change.head || {};
    if (head.alarms) {
      const count = String(head.alarms.length), sign = document.querySelector("[data-alarms]");
      if (sign.textContent !== count) renew(); // what there is to do is told by the page itself
      put(sign, count);
      sign.hidden = count === "0";
      document.title = document.title.replace(/^(\(\d+\) )?/, sign.hidden ? "" : "(" + count + ") ");
    }
    const other = (key) => key in head && key in site.head && String(head[key]) !== String(site.head[key]);
    if (["alarms", "over", "acked", "texts"].some(other)) renew();
    else if (other("headline") || other("totals")) renew(Math.max(0, 4500 - (Date.now() - renewed))); // meters may come and go each second
    else if (other("batch")) renew(5000 * Math.random());
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

  const said = (word, mark) => {
    document.body.classList.toggle("off", word !== "on");
    if (!state) return;
    state.className = "end q q-" + (mark === "●" ? "good" : "bad");
    state.dataset.mark = mark;
    put(state, words.stream[word]);
  };

  // Which meters are shown: the rule of pages/meter_list.py, over the rows that are there.
  const filter = document.querySelector("[data-filter]"), choices = ["find", "state", "line", "role"];
  const choice = (name) => filter.elements[name] ? filter.elements[name].value.trim() : "";
  const folded = (text) => text.normalize("NFKC").toLowerCase();

  function choose() {
    if (!filter) return;
    const [find, state, line, role] = choices.map(choice), sought = folded(find).split(/\s+/).filter(Boolean);
    const some = Boolean(find || state || line || role);
    let all = 0, seen = 0, unseen = 0;
    for (const block of document.querySelectorAll(".meters tbody")) {
      let here = 0;
      for (const row of block.querySelectorAll("[data-meter]")) {
        const is = row.dataset, text = folded([is.meter, row.querySelector("th a").textContent, is.line].join(" "));
        const other = (state && state !== is.state) || (line && line !== is.line) || (role && role !== is.role);
        row.hidden = Boolean(other) || !sought.every((word) => text.includes(word));
        all += 1;
        here += !row.hidden;
        unseen += row.hidden && is.state === "silent";
      }
      seen += here;
      const head = "line" in block.dataset && (!some || block.dataset.line === line);
      block.hidden = !here && !head;
    }
    put(filter.querySelector("[data-shown]"), some ? words.shown.replace("#n", seen).replace("#a", all) : "");
    const sign = filter.querySelector("[data-unseen]");
    put(sign, words.unseen.replace("#", unseen));
    sign.hidden = !unseen;
    filter.querySelector("[data-everything]").hidden = !some;
  }

  function chose() {
    const set = (query) => {
      for (const name of choices) choice(name) ? query.set(name, choice(name)) : query.delete(name);
      return "?" + query;
    };
    history.replaceState(null, "", location.pathname + set(new URLSearchParams(location.search)).replace(/\?$/, ""));
    for (const link of document.querySelectorAll('a[href^="?"]')) { // other languages and themes show the same meters
      link.setAttribute("href", set(new URLSearchParams(link.getAttribute("href"))));
    }
    choose();
  }

  if (filter) {
    filter.classList.add("live"); // needs no button
    filter.addEventListener("input", chose);
    filter.addEventListener("submit", (event) => {
      event.preventDefault();
      chose();
    });
    filter.querySelector("[data-everything]").addEventListener("click", (event) => {
      event.preventDefault();
      for (const name of choices) if (filter.elements[name]) filter.elements[name].value = "";
      chose();
    });
  }
  document.addEventListener("moved", () => {
    for (const [name, now] of Object.entries(site.meters)) meter(name, now);
    tick();
  });

  // A browser goes on by itself after a connection that broke, but not after an answer that was no stream: then nobody is
  // logged in any more, or there are too many open pages.
  let stream = null, unseen = 0;
  function listen() {
    if (document.hidden) return;
    stream = new EventSource("/stream");
    stream.addEventListener("open", () => {
      if (document.body.classList.contains("off")) renew(2000 * Math.random()); // what was missed meanwhile
      said("on", "●");
    });
    stream.addEventListener("error", async ({ target }) => {
      said("off", "✗");
      if (target.readyState !== EventSource.CLOSED) return;
      const answer = await watch("HEAD");
      if (!answer || answer.type !== "opaqueredirect") {
        return setTimeout(() => stream.readyState === EventSource.CLOSED && listen(), 5000);
      }
      said("out", "✗");
      if (!state) return;
      const link = document.createElement("a");
      link.href = location.href;
      link.textContent = words.stream.enter;
      state.append(" ", link);
    });
    for (const kind of ["site", "change"]) stream.addEventListener(kind, (event) => told(JSON.parse(event.data)));
  }

  // A browser opens six connections to a place and no more. Pages that nobody sees leave them to the others, and look up
  // once a minute how many alarms their titles are to tell of.
  function attend() {
    clearInterval(unseen);
    if (stream) stream.close();
    if (document.hidden) unseen = setInterval(renew, 60000);
    else listen();
  }
  attend();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => {
    attend();
    if (!document.hidden) renew();
  });
})();
