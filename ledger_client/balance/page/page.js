"use strict";
const FRAME = { left: 74, top: 24, width: 876, height: 150, whole: 960 };
/* civil hours since 1970 that follow one another: the first, the place of its row, how many */
const RUNS = JSON.parse(document.getElementById("runs").textContent);
for (const plot of document.querySelectorAll("[data-first]")) {
  plot.classList.add("live");
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    const scale = FRAME.whole / box.width;
    const x = ((event.clientX - box.left) * scale - FRAME.left) / FRAME.width;
    const y = ((event.clientY - box.top) * scale - FRAME.top) / FRAME.height;
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
    const day = Number(plot.dataset.first) + Math.floor(x * Number(plot.dataset.days));
    const hour = 23 - Math.floor(y * 24);
    const number = day * 24 + hour;
    const run = RUNS.find(([from, , count]) => from <= number && number < from + count);
    if (run) location.hash = `h${run[1] + number - run[0]}`;
  });
}
const unfold = () => {
  const row = document.getElementById(location.hash.slice(1));
  const folded = row && row.closest("details");
  if (folded) folded.open = true;
  if (row) row.scrollIntoView({ block: "center" });
};
addEventListener("hashchange", unfold);
unfold();
