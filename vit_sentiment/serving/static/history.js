const COLUMNS = { negative: "NEG", neutral: "NEU", positive: "POS" };

function row(photo, { classes }) {
  const { name, found, time } = photo;
  const cells = [element("th", { scope: "row" }, name)];
  const number = (text) => element("td", { className: "number" }, text);
  if (found.error) {
    cells.push(element("td", { colSpan: classes.length + 2 }, found.error));
  } else {
    cells.push(element("td", {}, found.label ?? "undecided"));
    for (const key of classes) cells.push(number(key in found.probs ? percent(found.probs[key]) : ""));
    cells.push(number(percent(found.confidence)));
  }
  cells.push(number(time.toLocaleTimeString("en-GB")));
  $("history").hidden = false;
  photo.row = element("tr", {}, ...cells);
  // Answers overtake each other; rows do not.
  const before = visit.photos.slice(0, visit.photos.indexOf(photo)).findLast(({ row }) => row);
  if (before) before.row.before(photo.row);
  else $("rows").append(photo.row);
}

/** A field of a CSV file; a leading quote keeps spreadsheets from running names as formulas. */
function field(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The table that `predict` writes. */
function csv(photos, classes) {
  const names = classes.map((name) => COLUMNS[name] ?? name);
  const rows = [["path", ...names, "label", "confidence", "error"]];
  for (const { name, found } of photos) {
    const shares = classes.map((key) => found.probs?.[key]);
    rows.push([name, ...shares, found.label, found.confidence, found.error]);
  }
  return rows.map((values) => values.map(field).join(",") + "\n").join("");
}

$("save").onclick = async () => {
  const { classes, model_id } = await facts();
  const done = visit.photos.filter((photo) => photo.found);
  // Spreadsheets take a file for UTF-8 only by its mark.
  const file = new Blob(["\ufeff", csv(done, classes)], { type: "text/csv" });
  const url = URL.createObjectURL(file);
  element("a", { href: url, download: `predictions-${model_id.slice(0, 8)}.csv` }).click();
  setTimeout(URL.revokeObjectURL, 60000, url);
  $("said").textContent = `Saved ${count(done.length, "row")}.`;
};

$("clear").onclick = () => {
  visit.stop.abort();
  for (const { url, maps } of visit.photos) {
    [url, ...Object.values(maps ?? {})].forEach((made) => URL.revokeObjectURL(made));
  }
  visit = newVisit();
  for (const id of ["cards", "rows", "busy"]) $(id).replaceChildren();
  for (const id of ["results", "history", "progress"]) $(id).hidden = true;
  $("said").textContent = "History cleared.";
  $("files").focus(); // The button that had it is gone.
};
