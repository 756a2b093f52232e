const MEANINGS = {
  gradient: "What in the photo spoke for this class.",
  rollout: "Where the model looked, whatever the class.",
};

function newCard() {
  return $("card").content.firstElementChild.cloneNode(true);
}

function waiting(photo) {
  const { card, name, file } = photo;
  card.classList.add("waiting");
  card.querySelector("h3").textContent = name;
  card.querySelector(".verdict").textContent = "Waiting …";
  const image = card.querySelector("img");
  photo.url = URL.createObjectURL(file);
  image.alt = `Photo ${name}`;
  // Servers read kinds that some browsers cannot show, and their heat maps are shown anywhere.
  const shown = (can) => [image.hidden, card.querySelector(".gone").hidden] = [!can, can];
  image.onload = () => shown(true);
  image.onerror = () => shown(false);
  image.src = photo.url;
}

function finish(photo, found, server) {
  const { card } = photo;
  Object.assign(photo, { found, time: new Date() });
  card.classList.remove("waiting");
  card.classList.toggle("failed", Boolean(found.error));
  const [title, note] = [card.querySelector(".verdict"), card.querySelector(".confidence")];
  if (found.error) {
    title.textContent = "No result";
    note.textContent = `${capital(found.error)}.`;
  } else {
    title.textContent = capital(found.label ?? "undecided");
    note.textContent =
      `Confidence ${percent(found.confidence)}` + (found.label ? "" : ", too low for a label");
    card.querySelector(".bars").replaceChildren(...Object.entries(found.probs).map(bar, found));
    if (server.explain.length) explainable(photo, server);
  }
  row(photo, server);
}

function bar([name, share]) {
  const filled = element("div", { className: "bar" });
  filled.style.width = percent(share);
  const item = element(
    "li",
    { className: name === this.label ? "chosen" : "" },
    element("span", {}, capital(name)),
    element("span", { className: "track", ariaHidden: "true" }, filled),
    element("span", { className: "share" }, percent(share)),
  );
  item.dataset.class = name;
  return item;
}

/** The heat map of a photo, fetched when it is asked for and then kept. */
function explainable(photo, server) {
  const { card, name, file, found } = photo;
  const about = found.label ?? Object.entries(found.probs).sort((a, b) => b[1] - a[1])[0][0];
  const [button, map] = [card.querySelector("button"), card.querySelector(".map")];
  const [image, select] = [card.querySelector("img"), card.querySelector("select")];
  const trouble = card.querySelector(".trouble");
  const { signal } = visit.stop;
  photo.maps = {};
  select.append(...server.explain.map((value) => element("option", { value }, capital(value))));
  button.setAttribute("aria-label", `Show heat map of ${name}`);
  select.setAttribute("aria-label", `Method of the heat map of ${name}`);
  card.querySelector(".explain").hidden = false;

  async function show() {
    const method = select.value;
    button.setAttribute("aria-disabled", "true");
    trouble.textContent = "";
    try {
      photo.maps[method] ??= await fetchMap(method);
    } catch (error) {
      if (!signal.aborted) trouble.textContent = `No heat map: ${error.message}.`;
      return;
    } finally {
      button.removeAttribute("aria-disabled");
    }
    if (method !== select.value) return; // Another one is on its way.
    image.src = photo.maps[method];
    image.alt = `Heat map (${method}) for ${about} over the photo ${name}`;
    card.querySelector(".meaning").textContent = MEANINGS[method] ?? "";
    label(true);
    $("aloud").textContent = `Heat map of ${name} is shown.`;
  }

  async function fetchMap(method) {
    const query = new URLSearchParams({ method, class: about });
    const options = { method: "POST", body: form([file]) };
    const response = await request(`v1/explain?${query}`, options, signal);
    return URL.createObjectURL(await response.blob());
  }

  function label(shown) {
    map.hidden = !shown;
    button.textContent = shown ? "Hide heat map" : "Show heat map";
    button.setAttribute("aria-label", `${button.textContent} of ${name}`);
  }

  button.onclick = () => {
    if (button.ariaDisabled === "true") return; // Not `disabled`, which would lose the focus.
    if (map.hidden) return show();
    image.src = photo.url;
    image.alt = `Photo ${name}`;
    label(false);
    $("aloud").textContent = `Heat map of ${name} is hidden.`;
  };
  select.onchange = show;
}
