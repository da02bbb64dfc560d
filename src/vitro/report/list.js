// Filters the rows of the page's list, and its figures with them, and sorts the rows by a column.
(() => {
  const form = document.querySelector("form.filters");
  const table = document.querySelector("table.list");
  const rows = [...table.tBodies[0].rows];
  const figures = []; // each: its view, the filters that it knows, and what scales it to its place

  const wanted = () =>
    Object.fromEntries(
      [...form.elements]
        .filter((field) => field.name)
        .map((field) => [field.name, field.type === "search" ? field.value.trim().toLowerCase() : field.value]),
    );
  const shows = (row, filters) =>
    Object.entries(filters).every(([name, value]) => {
      const own = row.dataset[name];
      return value === "" || (form.elements[name].type === "search" ? own.toLowerCase().includes(value) : own === value);
    });
  const draw = async ({ view, known, fit }, filters) => {
    known.forEach((name) => view.signal(`only_${name}`, filters[name] ?? ""));
    await view.runAsync();
    fit();
  };
  const apply = () => {
    const filters = wanted();
    let left = 0;
    for (const row of rows) {
      row.hidden = !shows(row, filters);
      left += !row.hidden;
    }
    const all = left === rows.length;
    const [some, every] = [left, rows.length].map((count) => count.toLocaleString("en"));
    const said = form.querySelector("output");
    said.textContent = all ? `all ${every} rows` : `${some} of ${every} rows`;
    said.dataset.chosen = Object.entries(filters).filter(([, value]) => value).map((pair) => pair.join(": ")).join(", ");
    form.classList.toggle("filtering", !all);
    clearTimeout(apply.later);
    // Whoever types is not kept waiting for the figures at each letter.
    apply.later = setTimeout(() => figures.forEach((figure) => draw(figure, filters)), 150);
  };

  document.addEventListener("drawn", ({ detail: { view, spec, fit } }) => {
    const names = (spec.params ?? []).map(({ name }) => name).filter((name) => name.startsWith("only_"));
    const figure = { view, fit, known: names.map((name) => name.slice("only_".length)) };
    figures.push(figure);
    if (Object.values(wanted()).some(Boolean)) draw(figure, wanted());
  });
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply)); // the fields are emptied after this event
  addEventListener("pageshow", apply); // whoever comes back finds the fields as they were
  form.hidden = false;

  const key = (row, column) => {
    const cell = row.cells[column];
    if (!cell || cell.colSpan > 1) return null;
    const text = cell.dataset.key ?? cell.textContent;
    if (!cell.classList.contains("number")) return text.toLowerCase();
    const number = parseFloat(text.replace("\u2212", "-"));
    return Number.isNaN(number) ? null : number;
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending"; // of numbers the largest
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyed = rows.map((row) => [key(row, column), row]);
      keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * (a < b ? -1 : a > b ? 1 : 0)));
      table.tBodies[0].append(...keyed.map(([, row]) => row));
    });
  });
})();
