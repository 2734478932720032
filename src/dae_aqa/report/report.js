// Search, filter and sort the table of predictions. Without this script the table is whole as it is.
"use strict";
(() => {
  const table = document.getElementById("predictions");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const search = document.getElementById("search");
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");

  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const tagged = !filter.value || row.dataset.tags.split(" ").includes(filter.value);
      row.hidden = !(tagged && words.every((word) => row.dataset.text.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };

  const sortBy = (header, column) => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    const isText = header.dataset.kind === "text";
    const value = (row) => {
      const text = row.cells[column].textContent.trim();
      return isText ? text : Number(text.replace("\u2212", "-"));
    };
    const keyed = rows.map((row) => [value(row), row]);
    keyed.sort(([a], [b]) => (isText ? a.localeCompare(b, "en", { numeric: true }) : a - b));
    if (!ascending) keyed.reverse();
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...keyed.map(([, row]) => row));
  };

  Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
    if (header.dataset.sort === "none") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(header, column));
    header.append(button);
  });

  // A link to a row that the search hides must still lead to it.
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (row && row.hidden) {
      search.value = "";
      filter.value = "";
      update();
      row.scrollIntoView();
    }
  });
  search.addEventListener("input", update);
  filter.addEventListener("change", update);
  document.getElementById("controls").hidden = false;
  update();
})();
