"use strict";
(() => {
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // Sorting: missing numbers stay last in both directions.
  const table = document.querySelector("thead button")?.closest("table");
  const key = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return cell.dataset.sortText.toLowerCase();
    return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const sortBy = (header, column) => {
    const up = header.getAttribute("aria-sort") !== "ascending";
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return up ? compare(a, b) : compare(b, a);
    });
    all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows.map(([, row]) => row));
    document.getElementById("sorted").textContent =
      "Sorted by " + header.textContent.trim() + (up ? ", ascending." : ", descending.");
  };
  if (table) {
    all("thead th", table).forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => sortBy(header, column));
    });
  }

  // Tooltips of the chart: by pointer, by keyboard, gone with Escape.
  const tip = document.querySelector(".tip");
  const hide = () => { tip.hidden = true; };
  const show = (mark) => {
    const figure = tip.parentElement.getBoundingClientRect();
    const circle = mark.querySelector("circle").getBoundingClientRect();
    tip.replaceChildren(document.getElementById("tip-" + mark.dataset.tip).content.cloneNode(true));
    tip.hidden = false;
    const middle = circle.left + circle.width / 2 - figure.left - tip.offsetWidth / 2;
    const above = circle.top - figure.top - tip.offsetHeight - 10;
    tip.style.left = Math.max(0, Math.min(middle, figure.width - tip.offsetWidth)) + "px";
    tip.style.top = (above < -60 ? circle.bottom - figure.top + 10 : above) + "px";
  };
  all(".mark").forEach((mark) => {
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
  });
  if (tip) document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // The candidate that is opened.
  const pick = document.getElementById("pick");
  const open = () => all(".panel").forEach((panel) => { panel.hidden = panel.dataset.panel !== pick.value; });
  if (pick) {
    pick.addEventListener("change", open);
    open();
  }

  // The error per layer: its order, and how much of it.
  all(".panel").forEach((panel) => {
    const list = panel.querySelector(".layers");
    const more = panel.querySelector(".all");
    if (!list) return;
    const orders = {
      worst: (a, b) => a.dataset.db - b.dataset.db || a.dataset.at - b.dataset.at,
      graph: (a, b) => a.dataset.at - b.dataset.at,
    };
    all(".order button", panel).forEach((button, index, buttons) => {
      button.addEventListener("click", () => {
        buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        list.append(...Array.from(list.children).sort(orders[button.dataset.order]));
      });
    });
    if (more) {
      const closed = more.textContent;
      more.setAttribute("aria-expanded", "false");
      more.addEventListener("click", () => {
        const shown = list.classList.toggle("open");
        more.setAttribute("aria-expanded", String(shown));
        more.textContent = shown ? "Show the first 12" : closed;
      });
    }
  });
})();
