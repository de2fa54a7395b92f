// Charts say the values under the pointer; a click on a table's heading sorts. Without it the page shows all the same.
for (const plot of document.querySelectorAll(".plot")) {
  const data = JSON.parse(plot.querySelector("script").textContent);
  const frame = plot.querySelector(".frame");
  const tip = plot.querySelector(".tip");
  const time = (us) => (us >= 1000 ? (us / 1000).toPrecision(3) + " ms" : us + " µs");
  frame.addEventListener("pointermove", (event) => {
    const box = frame.getBoundingClientRect();
    let best = null, nearest = 900;
    for (const [x, y] of data.p) {
      const dx = (x / data.w) * box.width - (event.clientX - box.left);
      const dy = (1 - Math.min(y, data.h) / data.h) * box.height - (event.clientY - box.top);
      const far = dx * dx + dy * dy;
      if (far < nearest) { nearest = far; best = [x, y]; }
    }
    tip.hidden = best === null;
    if (best === null) return;
    tip.textContent = `${data.x} ${best[0]}: ${time(best[1])}`;
    const left = (best[0] / data.w) * 100;
    tip.style.left = left + "%";
    tip.style.top = (1 - Math.min(best[1], data.h) / data.h) * 100 + "%";
    tip.style.transform = `translate(${left > 60 ? "-105%" : "5%"}, -120%)`;
  });
  frame.addEventListener("pointerleave", () => { tip.hidden = true; });
}
for (const table of document.querySelectorAll(".sortable")) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const compare = (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b))));
  }));
}
