/* Tables of class "sortable": a head is a button that sorts by its column (ascending, descending, as it was); a menu shows the
   rows of one value of the first column. Without this script every row is there, in the order in which it was written. */

(() => {
  "use strict";

  const key = (row, column) => row.cells[column].textContent.trim().replaceAll("−", "-");

  /* Order of two cells: numbers by the value that they begin with, texts by the alphabet, what holds no number last. */
  function compare(first, second, numeric, sign) {
    if (!numeric) return sign * first.localeCompare(second);
    const [a, b] = [parseFloat(first), parseFloat(second)];
    if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
    return sign * (a - b);
  }

  function sort(table, rows, head) {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort ?? "none"];
    for (const other of table.tHead.rows[0].cells) other.ariaSort = other === head ? next : "none";
    let order = rows;
    if (next !== "none") {
      const column = head.cellIndex, sign = next === "ascending" ? 1 : -1;
      const numeric = rows.some((row) => !isNaN(parseFloat(key(row, column))));
      order = rows.toSorted((a, b) => compare(key(a, column), key(b, column), numeric, sign));
    }
    table.tBodies[0].append(...order);
  }

  function filter(table, rows) {
    const values = [...new Set(rows.map((row) => key(row, 0)))];
    if (values.length < 2) return;
    const select = document.createElement("select"), label = document.createElement("label");
    for (const value of values) select.add(new Option(rows.find((row) => key(row, 0) === value).cells[0].textContent, value));
    select.add(new Option("all", ""));
    select.addEventListener("change", () => {
      for (const row of rows) row.hidden = select.value !== "" && key(row, 0) !== select.value;
      table.parentElement.classList.toggle("one-measure", select.value !== "");
    });
    label.append("Show ", select);
    table.parentElement.parentElement.querySelector(".table-controls").prepend(label);
    select.dispatchEvent(new Event("change"));
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const table of document.querySelectorAll("table.sortable")) {
      const rows = [...table.tBodies[0].rows];
      for (const head of table.tHead.rows[0].cells) {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.scope = "col";
        head.ariaSort = "none";
        head.append(button);
        button.addEventListener("click", () => sort(table, rows, head));
      }
      filter(table, rows);
    }
  });
})();
