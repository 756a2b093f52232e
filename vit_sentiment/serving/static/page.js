let visit = newVisit();

function newVisit() {
  // `batch` is of photos since all was done; `stop` ends what is under way.
  const stop = new AbortController();
  return { stop, photos: [], batch: [], names: new Set(), queue: [], working: 0 };
}

async function add(files) {
  const mine = visit;
  let server;
  try {
    server = await facts();
  } catch (error) {
    $("said").textContent = `No photo was sent: ${error.message}.`;
    return;
  }
  if (mine !== visit) return;
  const photos = files.map((file) => ({ file, name: unused(file.name), card: newCard() }));
  photos.forEach(waiting);
  $("results").hidden = false;
  $("cards").prepend(...photos.map((photo) => photo.card));
  if (mine.batch.every((photo) => photo.found)) mine.batch = []; // It has been told of.
  mine.batch.push(...photos);
  mine.photos.push(...photos);
  const problems = await Promise.all(photos.map((photo) => problem(photo.file, server.limits)));
  if (mine !== visit) return;
  photos.forEach((photo, i) => problems[i] && finish(photo, { error: problems[i] }, server));
  const fit = photos.filter((_, i) => !problems[i]);
  mine.queue.push(...chunks(fit, server.limits));
  while (mine.working < IN_FLIGHT && mine.queue.length) work(mine, server);
  progress(mine);
}

/** The name, numbered where this visit has had it: rows of a table of predictions are told by it. */
function unused(name) {
  const [, stem, suffix] = name.match(/^(.*?)(\.[^.]*)?$/s);
  let free = name;
  for (let number = 2; visit.names.has(free); number++) free = `${stem} (${number})${suffix ?? ""}`;
  visit.names.add(free);
  return free;
}

/** Why a file need not be sent at all, or null. */
async function problem(file, limits) {
  if (file.size > limits.max_bytes) {
    const [found, most] = [file.size, limits.max_bytes].map(megabytes);
    return `too big: it has ${found}, and the server takes ${most} at most`;
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return "cannot be read; folders have to be opened first"; // Or it is gone from the disk.
  }
  return null;
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Photos for one request each: no more than the server takes, and of large ones fewer, since a
 * request must have come within a time.
 */
function chunks(photos, { max_bytes, max_images }) {
  const made = [];
  let bytes = Infinity;
  for (const photo of photos) {
    bytes += photo.file.size;
    if (bytes > max_bytes || made.at(-1).length === max_images) {
      made.push([]);
      bytes = photo.file.size;
    }
    made.at(-1).push(photo);
  }
  return made;
}

async function work(mine, server) {
  mine.working++;
  while (mine.queue.length && mine === visit) {
    await judge(mine.queue.shift(), mine, server);
    progress(mine);
  }
  mine.working--;
}

async function judge(photos, mine, server) {
  const body = form(photos.map((photo) => photo.file));
  let found;
  try {
    const response = await request("v1/predict", { method: "POST", body }, mine.stop.signal);
    found = (await response.json()).predictions;
  } catch (error) {
    found = photos.map(() => ({ error: error.message }));
  }
  if (mine !== visit) return;
  photos.forEach((photo, i) => finish(photo, found[i], server));
}

function progress(mine) {
  if (mine !== visit) return;
  const done = mine.batch.filter((photo) => photo.found);
  const total = mine.batch.length;
  $("progress").hidden = done.length === total;
  Object.assign($("progress"), { max: total, value: done.length });
  if (done.length < total) {
    $("said").textContent = `${done.length} of ${count(total, "photo")} done.`;
  } else if (total === 1) {
    $("said").textContent = `${done[0].name}: ${verdict(done[0].found)}.`;
  } else {
    const tally = new Map();
    for (const { found } of done) {
      const key = found.error ? "without a result" : (found.label ?? "undecided");
      tally.set(key, (tally.get(key) ?? 0) + 1);
    }
    const parts = [...tally].map(([key, number]) => `${number} ${key}`);
    $("said").textContent = `${count(total, "photo")} done: ${parts.join(", ")}.`;
  }
}

const verdict = ({ error, label, confidence }) =>
  error ?? `${label ?? "undecided"}, confidence ${percent(confidence)}`;

$("files").onchange = () => {
  add([...$("files").files]);
  $("files").value = ""; // The same file again is a change, too.
};

addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) add([...clipboardData.files]);
  else $("said").textContent = "There is no photo on the clipboard.";
});

let depth = 0; // Of elements that a dragged thing is over.
const dragging = (change) => {
  depth = Math.max(depth + change, 0);
  document.body.classList.toggle("dragging", depth > 0);
};
addEventListener("dragenter", () => dragging(1));
addEventListener("dragleave", () => dragging(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragging(-Infinity);
  const files = [...event.dataTransfer.files];
  if (files.length) add(files);
  else $("said").textContent = "Nothing to read there: drop image files, not links.";
});

facts().catch((error) => ($("said").textContent = `Not ready: ${error.message}.`));
