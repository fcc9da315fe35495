"use strict";
(() => {
  // Tables sort by their headings; without this they stand in the report's own order.
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.v;
    return number === undefined ? cell.textContent.trim() : Number(number);
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other
      : typeof one === typeof other ? String(one).localeCompare(String(other))
        : typeof one === "number" ? 1 : -1;
  for (const heading of document.querySelectorAll("thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "descending"
        || (!heading.hasAttribute("aria-sort") && !heading.classList.contains("n"));
      for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "ascending" : "descending");
      const body = heading.closest("table").tBodies[0];
      const column = heading.cellIndex;
      const rows = [...body.rows].sort((one, other) => compare(value(one, column), value(other, column)));
      body.append(...(descending ? rows : rows.reverse()));
    });
  }
  // Tooltips follow the pointer at once; without this the browser shows the same titles after a while.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const shape = event.target instanceof SVGElement && event.target.querySelector(":scope > title");
    tip.hidden = !shape || event.target.tagName === "svg";
    if (tip.hidden) return;
    if (shape.textContent) { event.target.tipText = shape.textContent; shape.textContent = ""; }
    tip.textContent = event.target.tipText || "";
    tip.hidden = tip.textContent === "";
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10}px`;
  });
})();
