"use strict";
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending", column = head.cellIndex;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const number = text => { const value = Number(text.replace("inf", "Infinity")); return Number.isNaN(value) ? -Infinity : value; };
    const value = row => row.cells[column].dataset.v;
    const order = (a, b) => head.classList.contains("n") ? number(value(a)) - number(value(b)) || 0 : value(b).localeCompare(value(a));
    body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
  });
}
const reveal = () => {
  for (let part = document.getElementById(location.hash.slice(1)); part; part = part.parentElement)
    if (part.tagName === "DETAILS") part.open = true;
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
