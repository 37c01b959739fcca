/** The page: what happens when. */

import { element, onClick } from "./elements.js";
import { Engine } from "./engine.js";
import { refusal } from "./limits.js";
import { goOffline } from "./offline.js";
import { Picture } from "./pictures.js";
import { Progress } from "./progress.js";
import { defaultThreads, listModels } from "./runtime.js";
import { SettingsForm } from "./settings.js";
import { Viewer } from "./viewer.js";
import { duration, megapixels } from "./words.js";

/** @typedef {import("./worker.js").Plan} Plan */

const EXAMPLE = { file: "example.png", task: "denoise" };
const TITLE = document.title;
/** Milliseconds that browsers have to read a file after a click on its link. */
const READING = 60_000;
/** Milliseconds between two looks at the clock. */
const TICK = 500;

const files = element("files", HTMLInputElement);
const start = element("start", HTMLButtonElement);
const cancel = element("cancel", HTMLButtonElement);
const bar = element("progress", HTMLProgressElement);
const list = element("list", HTMLUListElement);
const stage = element("stage", HTMLDivElement);
const status = element("status", HTMLElement);
const zoom = element("zoom", HTMLElement);

/** @type {Picture[]} */
let pictures = [];
/** @type {Picture | null} */
let selected = null;
/** How often one was selected: what an earlier choice shows must not come after. */
let selections = 0;
/** @type {{picture: Picture, progress: Progress} | null} */
let running = null;
let isWorking = false;
let isPlanning = false;
let worksOffline = false;

const engine = new Engine();
const viewer = new Viewer(stage, (shown) => {
  if (zoom.textContent !== shown) zoom.textContent = shown; // It is read aloud.
});
const cards = await listModels().catch((error) => {
  status.textContent = `${error.message} Load the page again.`;
  throw error;
});
const settings = new SettingsForm(cards, () => {
  for (const picture of pictures) {
    picture.reset();
    check(picture);
  }
  render();
  planAll();
});

// ------------------------------------------------------------ pictures

/** @param {Iterable<File>} chosen */
async function add(chosen) {
  const added = [...chosen].map((file) => new Picture(file, select, remove));
  pictures.push(...added);
  list.append(...added.map((picture) => picture.row));
  render();
  for (const picture of added) {
    await picture.readSize();
    check(picture);
    render();
  }
  const first = added.find((picture) => !picture.unreadable) ?? added[0];
  if (first && pictures.includes(first)) await select(first);
  planAll();
}

/** @param {Picture} picture */
function check(picture) {
  if (picture.unreadable) return;
  picture.problem = refusal(picture.width, picture.height, settings.factor);
}

/** @param {Picture} picture */
function remove(picture) {
  if (running?.picture === picture) stop();
  const at = pictures.indexOf(picture);
  pictures = pictures.filter((other) => other !== picture);
  picture.row.remove();
  const next = pictures[Math.min(at, pictures.length - 1)];
  if (selected === picture) select(next ?? null);
  (next ?? files).focus();
  render();
}

/** @param {Picture | null} picture */
async function select(picture) {
  const isSame = picture !== null && selected === picture;
  const turn = ++selections;
  selected = picture;
  render();
  const { file, result, unreadable } = picture ?? {};
  const sources = file && !unreadable ? [file, result?.png] : [];
  try {
    const [before, after] = await Promise.all(
      sources.map((source) => source && createImageBitmap(source)),
    );
    if (turn === selections) {
      await viewer.show(before ?? null, after ?? null, isSame);
    } else {
      for (const bitmap of [before, after]) bitmap?.close();
    }
  } catch {
    if (!picture || turn !== selections) return;
    picture.note = "this browser cannot show it";
    await viewer.show(null, null, false);
    render();
  }
}

/** The pictures that are still to be restored. */
function pending() {
  return pictures.filter((picture) => picture.isPending(settings.key));
}

// ------------------------------------------------------------ work

/** Finds out, one after the other, what restoring the pictures will take. */
async function planAll() {
  if (isPlanning) return;
  isPlanning = true;
  for (;;) {
    const picture = pending().find((one) => !one.plan);
    if (!picture || isWorking) break;
    await makePlan(picture);
    render();
  }
  isPlanning = false;
}

/** @param {Picture} picture */
async function makePlan(picture) {
  const { key, values } = settings;
  try {
    const plan = await engine.run("plan", { source: picture.source, settings: values });
    if (key !== settings.key) return;
    picture.plan = plan;
    picture.note = plan.notice;
  } catch (error) {
    if (key === settings.key) fail(picture, error);
  }
}

async function restoreAll() {
  isWorking = true;
  status.textContent = "";
  let done = 0;
  const before = pictures.filter((picture) => picture.problem).length;
  for (let [picture] = pending(); picture && isWorking; [picture] = pending()) {
    running = { picture, progress: new Progress(0) };
    render();
    if (!picture.plan) await makePlan(picture);
    if (picture.plan && isWorking) done += Number(await restore(picture, picture.plan));
  }
  running = null;
  const failed = pictures.filter((picture) => picture.problem).length - before;
  const parts = [`${done} of ${done + failed} restored`];
  if (!isWorking) parts.unshift("Canceled");
  status.textContent = `${parts.join(": ")}.`;
  isWorking = false;
  render();
  planAll();
}

/**
 * @param {Picture} picture
 * @param {Plan} plan
 * @returns {Promise<boolean>} Whether there is a result.
 */
async function restore(picture, plan) {
  const { key, values } = settings;
  const progress = new Progress(plan.seconds);
  running = { picture, progress };
  picture.note = plan.notice;
  status.textContent = `Restoring ${picture.file.name}.`;
  try {
    const order = { source: picture.source, settings: values, plan };
    const result = await engine.run("restore", order, (done, total) => {
      progress.report(done, total);
      renderProgress();
    });
    picture.result = { ...result, plan, settings: key };
    if (selected === picture) {
      await select(picture);
      stage.scrollIntoView({ block: "nearest" });
    }
    return true;
  } catch (error) {
    fail(picture, error);
    return false;
  }
}

/** @param {Picture} picture @param {unknown} error */
function fail(picture, error) {
  const { name, message } = /** @type {Error} */ (error);
  if (name === "AbortError") picture.note = "canceled";
  else picture.problem = message;
}

function stop() {
  isWorking = false;
  engine.stop();
}

// ------------------------------------------------------------ downloads

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), READING);
}

/** @param {Picture | null} picture */
function savePng(picture) {
  if (picture?.result) save(picture.result.png, picture.resultName("png"));
}

/** @param {Picture | null} picture */
async function saveJpeg(picture) {
  if (!picture?.result) return;
  const { png } = picture.result;
  const name = picture.resultName("jpg");
  const writer = new Engine(); // The other one may have an hour of work.
  try {
    save(await writer.run("jpeg", { png }), name);
  } catch {
    status.textContent = "This browser cannot make so large a JPEG: take the PNG.";
  } finally {
    writer.stop();
  }
}

// ------------------------------------------------------------ what is seen

function render() {
  for (const picture of pictures) {
    picture.render(stateOf(picture), picture === selected);
  }
  const waiting = pending();
  const result = selected?.result;
  start.textContent =
    waiting.length > 1 ? `Restore ${waiting.length} pictures` : "Restore";
  start.disabled = isWorking || !waiting.length;
  cancel.hidden = !isWorking;
  settings.disabled = isWorking;
  element("all", HTMLElement).hidden =
    pictures.filter((picture) => picture.result).length < 2;
  for (const id of ["png", "jpeg"]) element(id, HTMLButtonElement).disabled = !result;
  for (const id of ["before", "after"]) element(id, HTMLElement).hidden = !result;
  element("empty", HTMLElement).hidden = selected !== null && !selected.unreadable;
  element("about", HTMLElement).textContent = result
    ? `${result.width} × ${result.height} pixels with ${result.plan.card.name} ` +
      `(${result.plan.reason}) in ${duration(result.seconds)}`
    : "";
  element("estimate", HTMLElement).textContent = isWorking ? "" : cost(waiting);
  element("machine", HTMLElement).textContent = machine();
  stage.setAttribute("aria-label", selected?.file.name ?? "Picture");
  renderProgress();
}

/** @param {Picture} picture */
function stateOf(picture) {
  if (running?.picture === picture) return "restoring …";
  if (picture.result && !picture.isPending(settings.key)) return "restored";
  if (picture.plan) return duration(picture.plan.seconds);
  return isWorking && picture.width ? "waiting" : "";
}

/**
 * What it costs, before the start.
 *
 * @param {Picture[]} waiting
 */
function cost(waiting) {
  if (!waiting.length) return "";
  const pixels = waiting.reduce((sum, { width, height }) => sum + width * height, 0);
  const { factor } = settings;
  const larger = factor > 1 ? ` to ${megapixels(pixels * factor ** 2)}` : "";
  const size = megapixels(pixels) + larger;
  const plans = waiting.flatMap(({ plan }) => plan ?? []);
  if (plans.length < waiting.length) return `${size}, trying how long it takes …`;
  const seconds = plans.reduce((sum, plan) => sum + plan.seconds, 0);
  const [{ card, reason }] = plans;
  const how = plans.length === 1 ? ` with ${card.name} (${reason})` : "";
  return `${size}, ${duration(seconds)}${how}.`;
}

function renderProgress() {
  element("work", HTMLElement).hidden = !running;
  document.title = TITLE;
  if (!running) return;
  const { picture, progress } = running;
  const remaining = element("remaining", HTMLElement);
  if (!progress.hasBegun) {
    bar.removeAttribute("value");
    remaining.textContent = `${picture.file.name}: getting ready …`;
    return;
  }
  bar.value = progress.part;
  const left = `${duration(progress.remaining)} left`;
  remaining.textContent = `${picture.file.name}: ${left}`;
  document.title = `${Math.floor(100 * progress.part)} % ${TITLE}`;
}

function machine() {
  const threads = defaultThreads();
  const parts = [
    threads > 1 ? `Computes on ${threads} threads.` : "Computes on 1 thread.",
  ];
  if (!crossOriginIsolated) {
    const advice = isSecureContext ? "loaded again" : "over HTTPS";
    parts.push(`The page is not cross-origin isolated: ${advice}, it may have more.`);
  }
  if (worksOffline) parts.push("Works without a network.");
  return parts.join(" ");
}

// ------------------------------------------------------------ events

files.addEventListener("change", () => {
  add([...(files.files ?? [])]);
  files.value = ""; // So that the same file may be chosen again.
});
onClick("example", async () => {
  const response = await fetch(EXAMPLE.file).catch(() => Response.error());
  if (!response.ok) {
    status.textContent = "The example cannot be loaded without a network.";
    return;
  }
  const file = new File([await response.blob()], EXAMPLE.file, { type: "image/png" });
  if (!isWorking) settings.task = EXAMPLE.task;
  await add([file]);
  if (!isWorking) restoreAll();
});
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData?.files.length) add(clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer?.files.length) add(event.dataTransfer.files);
});
start.addEventListener("click", restoreAll);
cancel.addEventListener("click", stop);
onClick("png", () => savePng(selected));
onClick("jpeg", () => saveJpeg(selected));
onClick("all", () => pictures.forEach(savePng));
onClick("in", () => viewer.step(1));
onClick("out", () => viewer.step(-1));
onClick("fit", () => viewer.fit());
onClick("actual", () => viewer.actual());
addEventListener("beforeunload", (event) => {
  if (isWorking) event.preventDefault();
});
setInterval(() => {
  if (running) renderProgress();
}, TICK);

render();
goOffline(
  () => !pictures.length,
  () => {
    worksOffline = true;
    render();
  },
).catch((error) => console.warn("The page does not work without a network:", error));
const { gpu } = /** @type {{gpu?: {requestAdapter(): Promise<unknown>}}} */ (navigator);
if (await gpu?.requestAdapter()) settings.offerGraphics();
