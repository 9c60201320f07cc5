// What pointer and arrow keys tell of a chart that the server has drawn: time, value, least to greatest, quality. Enter or
// a click leads to the records, dragging zooms. Without it each chart is whole, with its data in a table.
(() => {
  "use strict";
  const WIDTH = 480, LEFT = 54, RIGHT = 474, NEAR = 6, SVG = "http://www.w3.org/2000/svg";
  const known = new WeakMap();
  let held = null; // where a drag has begun

  function plot(figure) {
    if (!known.has(figure)) known.set(figure, { svg: figure.querySelector("svg"), ...JSON.parse(figure.dataset.plot) });
    return known.get(figure);
  }

  function place(p, ms) {
    return LEFT + ((RIGHT - LEFT) * (ms - p.from)) / (p.to - p.from);
  }

  function moment(p, x) {
    return p.from + ((Math.min(RIGHT, Math.max(LEFT, x)) - LEFT) / (RIGHT - LEFT)) * (p.to - p.from);
  }

  function at(p, event) {
    const box = p.svg.getBoundingClientRect();
    return [((event.clientX - box.left) * WIDTH) / box.width, ((event.clientY - box.top) * WIDTH) / box.width];
  }

  const begin = (course, n) => course.begin + course.steps[n][0];
  const end = (course, n) => (n + 1 < course.steps.length ? begin(course, n + 1) : course.begin + course.until);
  const middle = (course, n) => (course.made === "reading" ? begin(course, n) : (begin(course, n) + end(course, n)) / 2);

  // The step that holds a moment; of single readings the nearest one, but in a gap the gap. -1: there is none.
  function step(course, ms) {
    let low = 0, high = course.steps.length;
    while (low < high) {
      const half = (low + high) >> 1;
      if (begin(course, half) <= ms) low = half + 1;
      else high = half;
    }
    const n = low - 1;
    if (course.made !== "reading") return n >= 0 && ms < end(course, n) ? n : -1;
    if (n >= 0 && course.steps[n].length === 1) return n;
    if (n + 1 < course.steps.length && (n < 0 || begin(course, n + 1) - ms < ms - begin(course, n))) return n + 1;
    return n;
  }

  function number(value) {
    const size = Math.abs(value), decimals = size >= 10000 ? 0 : size >= 1000 ? 1 : size >= 10 ? 2 : 3;
    const [whole, rest] = size.toFixed(decimals).split(".");
    const digits = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
    return (value < 0 ? "\u2212" : "") + digits + (rest ? "." + rest : "");
  }

  function clock(p, ms, made) {
    const ahead = p.ahead.filter(([since]) => since <= ms).pop() || p.ahead[0];
    const shown = new Date(Math.round(ms) + ahead[1]).toISOString();
    return shown.slice(0, { day: 10, month: 7 }[made] || (ms % 1000 && made ? 23 : 19)).replace("T", " ");
  }

  function sentence(p, course, n) {
    const [, mean = null, verdict = 0, low = mean, high = mean, note = ""] = course.steps[n];
    if (mean === null) return [p.none, note].filter(Boolean).join(": ");
    const range = low !== null && low !== high ? " (" + number(low) + "\u2013" + number(high) + ")" : "";
    const value = number(mean) + (p.unit ? "\u202f" + p.unit : "");
    return value + range + ", " + p.verdicts[verdict || 0] + (note ? ": " + note : "");
  }

  function records(course, n) {
    const from = begin(course, n), single = course.made === "reading";
    const stamp = (ms) => new Date(ms).toISOString();
    const rest = single ? "&one=1" : course.bars ? "&edges=1" : "";
    return course.records + "&from=" + stamp(from) + "&to=" + stamp(single ? from + 1 : end(course, n)) + rest;
  }

  function put(p, name, attributes) {
    let shape = p.svg.querySelector("." + name);
    if (!shape) {
      shape = document.createElementNS(SVG, name === "chosen" ? "rect" : "path");
      shape.setAttribute("class", name);
      p.svg.append(shape);
    }
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  }

  // A moment is shown in every chart of the page that has this time.
  function show(p, ms) {
    for (const figure of document.querySelectorAll("[data-plot]")) {
      const one = plot(figure), parts = [];
      if (one.from !== p.from || one.to !== p.to) continue;
      one.ms = ms;
      put(one, "cursor", { d: "M" + place(one, ms).toFixed(1) + " " + one.y[2] + "V" + one.y[3] });
      let time = "";
      for (const course of one.courses) {
        const n = step(course, ms);
        if (n < 0) continue;
        time = time || clock(one, begin(course, n), course.made);
        parts.push((one.courses.length > 1 ? course.name + " " : "") + sentence(one, course, n));
      }
      figure.querySelector("output").textContent = [time || clock(one, ms), ...parts].join("; ");
    }
  }

  function hide() {
    for (const shape of document.querySelectorAll(".chart .cursor, .chart .chosen")) shape.remove();
    for (const output of document.querySelectorAll("[data-plot] output")) output.textContent = "";
  }

  // The records of the course whose value is nearest to a height, else of the first that has a step then.
  function go(p, ms, y) {
    const value = p.y[0] + ((y - p.y[2]) / (p.y[3] - p.y[2])) * (p.y[1] - p.y[0]);
    let found = null;
    for (const course of p.courses) {
      const n = step(course, ms);
      if (n < 0) continue;
      const [, mean = null] = course.steps[n], apart = mean === null ? Infinity : Math.abs(mean - value);
      if (!found || apart < found.apart) found = { course, n, apart };
    }
    if (found && found.course.records) location.assign(records(found.course, found.n));
  }

  function next(p, forward) {
    const moments = p.courses.flatMap((course) => course.steps.map((_, n) => middle(course, n))).sort((a, b) => a - b);
    if (p.ms === undefined) return moments[forward ? 0 : moments.length - 1];
    return forward ? moments.find((ms) => ms > p.ms) : moments.reverse().find((ms) => ms < p.ms);
  }

  const drawn = ({ target }) => target.closest && target.closest("[data-plot] svg");
  const of = (svg) => plot(svg.closest("[data-plot]"));

  document.addEventListener("pointermove", (event) => {
    if (held) {
      const x = Math.min(RIGHT, Math.max(LEFT, at(held.p, event)[0]));
      const size = { x: Math.min(x, held.x).toFixed(1), width: Math.abs(x - held.x).toFixed(1) };
      return put(held.p, "chosen", { ...size, y: held.p.y[2], height: held.p.y[3] - held.p.y[2] });
    }
    const svg = drawn(event);
    if (svg) show(of(svg), moment(of(svg), at(of(svg), event)[0]));
  });
  document.addEventListener("pointerout", (event) => {
    const onto = event.relatedTarget;
    if (!held && drawn(event) && !(onto && drawn({ target: onto }))) hide();
  });
  document.addEventListener("pointerdown", (event) => {
    const svg = !event.button && drawn(event), x = svg ? at(of(svg), event)[0] : 0;
    if (x >= LEFT && x <= RIGHT) held = { p: of(svg), x };
  });
  document.addEventListener("pointerup", (event) => {
    if (!held) return;
    const { p, x } = held, [to, y] = at(p, event);
    held = null;
    hide();
    if (Math.abs(to - x) < NEAR) return go(p, moment(p, x), y);
    const [first, last] = [moment(p, x), moment(p, to)].sort((a, b) => a - b).map(Math.round);
    const range = "&from=" + new Date(first).toISOString() + "&to=" + new Date(Math.max(last, first + 1)).toISOString();
    location.assign(p.zoom + range);
  });
  document.addEventListener("pointercancel", () => {
    held = null;
    hide();
  });
  document.addEventListener("dragstart", (event) => drawn(event) && event.preventDefault());
  document.addEventListener("keydown", (event) => {
    const p = event.target.matches && event.target.matches("[data-plot]") && plot(event.target);
    if (!p || event.altKey || event.ctrlKey || event.metaKey) return;
    if (["ArrowRight", "ArrowLeft", "Home", "End"].includes(event.key)) {
      if (event.key === "Home" || event.key === "End") p.ms = undefined;
      const ms = next(p, event.key === "ArrowRight" || event.key === "Home");
      if (ms !== undefined) show(p, ms);
    } else if (event.key === "Enter" && p.ms !== undefined) go(p, p.ms, p.y[2]);
    else if (event.key === "Escape") {
      p.ms = undefined;
      hide();
    } else return;
    event.preventDefault();
  });

  // A chart can be reached with the keyboard where there is something to be done with it; parts of a page are replaced.
  function ready() {
    for (const one of document.querySelectorAll("[data-plot]:not([tabindex])")) {
      one.tabIndex = 0;
      one.setAttribute("role", "group");
    }
  }
  ready();
  new MutationObserver(ready).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
