
// Tables that are there already, made sortable; long ones get a filter.
document.querySelectorAll("table").forEach((table) => {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };

  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("n");
      const was = heading.getAttribute("aria-sort");
      const up = was ? was === "descending" : !numeric;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = rows.map((row) => [value(row, column), row]);
      const order = numeric ? ([a], [b]) => a - b : ([a], [b]) => a.localeCompare(b, "en", { numeric: true });
      keyed.sort((a, b) => (up ? order(a, b) : order(b, a)));
      body.append(...keyed.map(([, row]) => row));
    });
  });

  if (rows.length < 8) return;
  const label = `Filter: ${table.parentElement.getAttribute("aria-label").toLowerCase()}`;
  const input = make("input", { type: "search", placeholder: "Filter rows", "aria-label": label, maxlength: 200 });
  const shown = make("output");
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = texts.map((text) => words.every((word) => text.includes(word)));
    rows.forEach((row, i) => (row.hidden = !fits[i]));
    shown.textContent = words.length ? `${count(fits.filter(Boolean).length)} of ${count(rows.length)} rows` : "";
  };
  input.addEventListener("input", apply);
  table.parentElement.before(make("div", { class: "tools" }, input, shown));
});
