"use strict";
// The page: one clip is edited at a time; every answer becomes a card, and a row of the CSV.

const get = (id) => document.getElementById(id);
const scores = []; // answers of the service, as they came
const waiting = []; // files that were chosen together and not looked at yet
let file = null;
let needsDifficulty = false;

const CSV_COLUMNS = ["name", "mu", "sigma", "low_50", "high_50", "low_90", "high_90", "difficulty",
  "marks", "start_seconds", "end_seconds", "unlike_training", "notes"];
const SVG = "http://www.w3.org/2000/svg";
const MAX_STRIP_FRAMES = 16;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function say(text) {
  get("message").textContent = text;
}

function headers() {
  const token = get("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function loadModel() {
  const answer = await fetch("model", { headers: headers() });
  if (answer.status === 401) {
    for (const each of document.querySelectorAll(".token")) each.hidden = false;
    get("model").textContent = "This service asks for a token.";
    return;
  }
  const model = await answer.json();
  const first = model.models[0];
  needsDifficulty = model.models.some((each) => each.needs_difficulty);
  get("difficulty").required = needsDifficulty;
  const trained = first.trained_on ? `, trained on ${first.trained_on.num_samples} performances` : "";
  get("model").textContent = `Model: ${first.model} on ${first.backbone}${trained}.`;
}

// ---- the clip that is edited

function choose(chosen) {
  waiting.push(...chosen);
  next();
}

function next() {
  if (!waiting.length) return;
  file = waiting.shift();
  say(waiting.length ? `${waiting.length} more after this one.` : "");
  const player = get("player");
  if (player.src) URL.revokeObjectURL(player.src);
  player.hidden = false;
  get("no-preview").hidden = true;
  setLength(0);
  player.src = URL.createObjectURL(file);
  get("drop").querySelector(".drop-title").textContent = file.name;
  get("editor").hidden = false;
}

function setLength(seconds) {
  for (const id of ["start", "end"]) {
    const slider = get(id);
    slider.max = seconds || 1;
    slider.disabled = !seconds;
  }
  get("start").value = 0;
  get("end").value = seconds;
  showRange();
}

function showRange() {
  const known = !get("end").disabled;
  get("start-text").textContent = known ? `${Number(get("start").value).toFixed(2)} s` : "–";
  get("end-text").textContent = known ? `${Number(get("end").value).toFixed(2)} s` : "–";
}

function moveSlider(event) {
  const start = get("start");
  const end = get("end");
  if (Number(start.value) > Number(end.value)) {
    if (event.target === start) end.value = start.value;
    else start.value = end.value;
  }
  get("player").currentTime = Number(event.target.value);
  showRange();
}

function clipForm() {
  const form = new FormData();
  form.append("name", file.name);
  form.append("strip", "true");
  const start = get("start");
  const end = get("end");
  if (!end.disabled) {
    if (Number(start.value) > 0) form.append("start_seconds", start.value);
    // the last step before the end may be cut off: a slider stops at whole steps
    if (Number(end.max) - Number(end.value) >= Number(end.step)) form.append("end_seconds", end.value);
  }
  if (get("difficulty").value) form.append("difficulty", get("difficulty").value);
  form.append("video", file, file.name);
  return form;
}

async function score(event) {
  event.preventDefault();
  if (!file) {
    say("Choose a video first.");
    return;
  }
  const button = get("score");
  button.disabled = true;
  say("Scoring …");
  try {
    const request = { method: "POST", body: clipForm(), headers: headers() };
    const answer = await fetch("score", request);
    const content = await answer.json().catch(() => ({ detail: `the service answered ${answer.status}.` }));
    if (!answer.ok) {
      say(explained(content.detail));
      return;
    }
    say("");
    scores.push(content);
    showScores();
    get("announcement").textContent =
      `${content.name}: ${content.mu.toFixed(1)} points` +
      (content.unlike_training ? ", unlike anything the model was trained on" : "");
    next();
  } catch {
    say("The service cannot be reached. Try again.");
  } finally {
    button.disabled = false;
  }
}

function explained(detail) {
  if (!Array.isArray(detail)) return String(detail);
  return detail.map((each) => `${each.loc.at(-1)}: ${each.msg}`).join("; ");
}

// ---- answers

function showScores() {
  get("results").hidden = !scores.length;
  const bounds = scores.flatMap((each) => each.intervals["90"]);
  const low = Math.floor(Math.min(...bounds) / 10) * 10;
  const high = Math.ceil(Math.max(...bounds) / 10) * 10;
  // one scale for all, so that clips can be compared by eye
  get("cards").replaceChildren(...scores.map((each) => card(each, low, Math.max(high, low + 10))));
}

function card(answer, low, high) {
  const remove = element("button", { type: "button", class: "secondary remove", "aria-label": `Remove ${answer.name}` }, "×");
  remove.addEventListener("click", () => {
    scores.splice(scores.indexOf(answer), 1);
    showScores();
  });
  const made = element("article", { class: "card", "aria-label": answer.name },
    element("div", { class: "row between" }, element("h3", {}, answer.name), remove));
  made.append(element("p", { class: "points" }, answer.mu.toFixed(1)));
  const [from, to] = answer.intervals["90"];
  made.append(element("p", { class: "quiet" },
    `points; with a chance of 90 % between ${from.toFixed(1)} and ${to.toFixed(1)}` +
    (answer.difficulty === 1 ? "" : `, difficulty ${answer.difficulty}`)));
  if (answer.unlike_training) {
    made.append(element("p", { class: "warning" },
      "Unlike anything the model was trained on: the score means little."));
  }
  made.append(scale(answer, low, high));
  if (answer.marks) {
    made.append(element("p", { class: "quiet" }, "Expected marks"),
      element("ul", { class: "marks" }, ...answer.marks.map((mark) => element("li", {}, mark.toFixed(1)))));
  }
  for (const note of answer.notes) made.append(element("p", { class: "quiet" }, `Note: ${note}.`));
  if (answer.strip) made.append(strip(answer));
  return made;
}

function scale(answer, low, high) {
  const [width, left, right] = [320, 12, 308];
  const at = (value) => left + ((value - low) / (high - low)) * (right - left);
  const made = drawn("svg", { class: "scale", viewBox: `0 0 ${width} 52`, role: "img",
    "aria-label": `${answer.mu.toFixed(1)} points on a scale from ${low} to ${high}` });
  for (const [share, kind, top, height] of [["90", "wide", 8, 18], ["50", "band", 8, 18]]) {
    const [from, to] = answer.intervals[share];
    made.append(drawn("rect", { class: kind, x: at(from), y: top, width: Math.max(1, at(to) - at(from)), height, rx: 2 }));
  }
  made.append(drawn("line", { class: "axis", x1: left, x2: right, y1: 32, y2: 32 }));
  for (const value of [low, (low + high) / 2, high]) {
    made.append(drawn("line", { class: "axis", x1: at(value), x2: at(value), y1: 29, y2: 35 }),
      drawn("text", { x: at(value), y: 47, "text-anchor": "middle" }, `${value}`));
  }
  made.append(drawn("line", { class: "answer", x1: at(answer.mu), x2: at(answer.mu), y1: 4, y2: 30 }));
  return made;
}

function strip(answer) {
  const count = Math.min(MAX_STRIP_FRAMES, answer.strip.length);
  const places = [...Array(count).keys()].map((i) => Math.round((i * (answer.strip.length - 1)) / Math.max(1, count - 1)));
  const made = element("div", { class: "strip", tabindex: "0", role: "group", "aria-label": `Frames that the model looked at in ${answer.name}` });
  for (const place of places) {
    made.append(element("img", { src: answer.strip[place], alt: `frame ${answer.frame_numbers[place]}`, loading: "lazy" }));
  }
  return made;
}

// ---- the CSV

function csvRow(answer) {
  const [low50, high50] = answer.intervals["50"];
  const [low90, high90] = answer.intervals["90"];
  const row = { ...answer, low_50: low50, high_50: high50, low_90: low90, high_90: high90,
    marks: (answer.marks || []).join(";"), notes: answer.notes.join("; ") };
  return CSV_COLUMNS.map((name) => quoted(row[name] ?? "")).join(",");
}

function quoted(value) {
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@]/.test(text)) text = `'${text}`; // no formula for a spreadsheet
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download() {
  const text = [CSV_COLUMNS.join(","), ...scores.map(csvRow)].join("\n") + "\n";
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "scores.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- what the user does

for (const id of ["file", "camera"]) {
  get(id).addEventListener("change", (event) => {
    choose([...event.target.files]);
    event.target.value = "";
  });
}
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  get("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    get("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") choose([...event.dataTransfer.files]);
  });
}
get("player").addEventListener("loadedmetadata", (event) => {
  const seconds = event.target.duration;
  setLength(Number.isFinite(seconds) ? seconds : 0);
});
get("player").addEventListener("error", () => {
  get("player").hidden = true;
  get("no-preview").hidden = false;
});
for (const id of ["start", "end"]) get(id).addEventListener("input", moveSlider);
get("token").addEventListener("change", () => loadModel().catch(() => {}));
get("form").addEventListener("submit", score);
get("download").addEventListener("click", download);
loadModel().catch(() => say("The service cannot be reached."));
