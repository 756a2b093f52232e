"use strict";

const IN_FLIGHT = 2; // Requests with photos at a time: more only wait on the server.
const TRIES = 6; // Of a request that a busy server turns away.
const LONGEST_WAIT = 30; // Seconds between two of them, whatever the server asks for.

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const seconds = (number) => new Promise((resolve) => setTimeout(resolve, 1000 * number));

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children); // Strings become text: no name of a file is ever markup.
  return made;
}

/** A request whose answer is good; waits and tries again while the server is busy. */
async function request(path, options, signal) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(path, { ...options, signal }).catch((error) => {
      if (signal.aborted) throw error;
      throw new Error("the server cannot be reached");
    });
    if (response.ok) {
      $("busy").textContent = "";
      return response;
    }
    if (response.status !== 503 || attempt === TRIES) {
      $("busy").textContent = "";
      throw new Error(await reason(response));
    }
    const asked = Number(response.headers.get("Retry-After"));
    const wait = Math.min(Math.max(asked || 1, 1), LONGEST_WAIT);
    $("busy").textContent =
      `The server is busy. Trying again in ${wait} s (attempt ${attempt + 1} of ${TRIES}).`;
    await seconds(wait);
    signal.throwIfAborted();
  }
}

async function reason(response) {
  try {
    const { error, predictions } = await response.json();
    return error?.message ?? predictions[0].error; // A photo alone that cannot be read is a 422.
  } catch {
    return `the server answered ${response.status}`; // A proxy in between, say.
  }
}

function form(files) {
  const body = new FormData();
  for (const file of files) body.append("image", file, file.name);
  return body;
}

let asked; // A promise of what the server says of its model; asked again only where that failed.

function facts() {
  asked ??= readModel().catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}

async function readModel() {
  const response = await request("v1/model", {}, new AbortController().signal);
  const server = await response.json();
  const or = new Intl.ListFormat("en-GB", { type: "disjunction" });
  $("classes").textContent = or.format(server.classes);
  $("model").textContent =
    `Model ${server.name} (${server.model_id}), photos of ${server.image_size.join(" × ")} pixels, ` +
    (server.calibrated
      ? "shares calibrated on labelled photos."
      : "shares not calibrated: they rank photos, and are no chances of being right.");
  const heads = ["Photo", "Result", ...server.classes.map(capital), "Confidence", "Time"];
  const number = (place) => (place > 1 ? "number" : "");
  $("columns").replaceChildren(
    ...heads.map((text, i) => element("th", { scope: "col", className: number(i) }, text)),
  );
  return server;
}
