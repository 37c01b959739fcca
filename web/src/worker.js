/** The worker that reads, restores and writes pictures, one after the other. */

import { byScale, choose } from "./choose.js";
import { cover } from "./cover.js";
import { decode, isOpaque, Refusal } from "./decode.js";
import { estimateNoise } from "./noise.js";
import { PngWriter } from "./png.js";
import { isGray, listModels, openModel, restore, restoreBands } from "./restore.js";

/** @typedef {import("./runtime.js").Card} Card */
/** @typedef {import("./runtime.js").Model} Model */
/** @typedef {import("./runtime.js").Provider} Provider */
/** @typedef {import("./restore.js").Picture} Picture */

/**
 * How pictures are restored.
 *
 * @typedef {object} Settings
 * @property {string} task
 * @property {string} model The name of one, or "auto".
 * @property {number} scale For tasks that enlarge.
 * @property {number} strength
 * @property {Provider} provider
 * @property {number} window
 */

/**
 * A picture: `key` is its own.
 *
 * @typedef {object} Source
 * @property {number} key
 * @property {Blob} file
 */

/**
 * What restoring a picture will take.
 *
 * @typedef {object} Plan
 * @property {Card} card Of the model.
 * @property {string} reason Why this one.
 * @property {number} seconds Expected.
 * @property {Provider} provider What computes.
 * @property {string} notice What the user should know, or "".
 */

/**
 * @typedef {object} Result
 * @property {Blob} png
 * @property {number} width
 * @property {number} height
 * @property {number} seconds
 */

/** Side, in pixels of the result, of what is tried before the start. */
const TRIAL = 160;
/** Quality of JPEG, as `xunit-keras restore` writes it. */
const QUALITY = 0.95;

/** @type {{key: number, picture: Picture} | undefined} */
let decoded;
/** @type {{key: string, model: Model} | undefined} */
let opened;
/** Seconds for a pixel of a window, by model and kind of picture. */
const rates = /** @type {Map<string, number>} */ (new Map());
/** What comparing the graphics card with the processor gave, by model: "" is well. */
const complaints = /** @type {Map<string, string>} */ (new Map());
const cards = listModels();

const jobs = {
  /**
   * @param {{source: Source, settings: Settings}} order
   * @returns {Promise<Plan>}
   */
  async plan({ source, settings }) {
    const picture = await pixels(source);
    const { card, reason } = await chosen(picture, settings);
    const trial = middle(picture, Math.max(1, Math.floor(TRIAL / card.scale)));
    let { provider } = settings;
    let notice = "";
    if (provider === "webgpu") {
      notice = complaints.get(card.name) ?? (await compare(card, trial));
      complaints.set(card.name, notice);
      if (notice) provider = "wasm";
    }
    const model = await network(card, provider);
    const key = rateKey(card, provider, picture, settings);
    const rate = rates.get(key) ?? (await measure(model, trial, settings, key));
    const seconds = rate * work(picture, card, settings.window);
    return { card, reason, seconds, provider, notice };
  },

  /**
   * @param {{source: Source, settings: Settings, plan: Plan}} order
   * @param {(done: number, total: number) => void} onProgress
   * @returns {Promise<Result>}
   */
  async restore({ source, settings, plan: { card, provider } }, onProgress) {
    const picture = await pixels(source);
    const model = await network(card, provider);
    const started = performance.now();
    const result = await write(picture, model, settings, onProgress);
    const seconds = (performance.now() - started) / 1000;
    const key = rateKey(card, provider, picture, settings);
    // What it took tells more than a trial, unless it was smaller than one.
    if (picture.width * picture.height * card.scale ** 2 > TRIAL ** 2) {
      rates.set(key, seconds / work(picture, card, settings.window));
    }
    return { ...result, seconds };
  },

  /**
   * @param {{png: Blob}} order
   * @returns {Promise<Blob>} The same as JPEG, on white where it is transparent.
   */
  async jpeg({ png }) {
    const bitmap = await createImageBitmap(png);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Refusal("This browser cannot write so large a JPEG file.");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  },
};

/** @typedef {typeof jobs} Jobs */

/** @param {Source} source */
async function pixels({ key, file }) {
  if (decoded?.key !== key) {
    decoded = undefined; // Two of them may be too much.
    decoded = { key, picture: await decode(file) };
  }
  return decoded.picture;
}

/**
 * @param {Picture} picture
 * @param {Settings} settings
 */
async function chosen(picture, { task, model, scale }) {
  const known = await cards;
  const named = known.find((card) => card.name === model);
  if (named) return { card: named, reason: "chosen by you" };
  const channels = isGray(picture) ? 1 : 3;
  const fitting = byScale(
    known.filter((card) => card.task === task),
    scale,
  );
  return choose(fitting, channels, () => estimateNoise(picture, channels));
}

/**
 * A network; one is open at a time, as each keeps the memory of its activations.
 *
 * @param {Card} card
 * @param {Provider} provider
 */
async function network(card, provider) {
  const key = `${card.name} ${provider}`;
  if (opened?.key !== key) {
    await opened?.model.close();
    opened = undefined;
    opened = { key, model: await openModel(card, { provider }) };
  }
  return opened.model;
}

/**
 * Pixels of all windows of a picture.
 *
 * @param {Picture} picture
 * @param {Card} card
 * @param {number} window
 */
function work({ height, width }, card, window) {
  const { rows, columns } = cover(card, height, width, window);
  const [tall, wide] = [rows, columns].map(([{ start, stop }]) => stop - start);
  return rows.length * tall * columns.length * wide;
}

/**
 * @param {Card} card
 * @param {Provider} provider
 * @param {Picture} picture
 * @param {Settings} settings
 */
function rateKey(card, provider, picture, { strength }) {
  return [card.name, provider, isGray(picture), strength === 1].join();
}

/**
 * Seconds for a pixel, tried on a part of the picture: the second time, when memory is
 * at hand.
 *
 * @param {Model} model
 * @param {Picture} trial
 * @param {Settings} settings
 * @param {string} key
 */
async function measure(model, trial, settings, key) {
  await write(trial, model, settings);
  const started = performance.now();
  await write(trial, model, settings);
  const seconds = (performance.now() - started) / 1000;
  const rate = seconds / (trial.width * trial.height);
  if (Math.min(trial.width, trial.height) * model.card.scale >= TRIAL / 2) {
    rates.set(key, rate);
  }
  return rate;
}

/**
 * Restores a picture into a file.
 *
 * @param {Picture} picture
 * @param {Model} model
 * @param {Settings} settings
 * @param {(done: number, total: number) => void} [onProgress]
 */
async function write(picture, model, { strength, window }, onProgress) {
  const { scale } = model.card;
  const [width, height] = [scale * picture.width, scale * picture.height];
  const color = isGray(picture) ? "gray" : "rgb";
  const kinds = /** @type {const} */ ({ gray: "gray+alpha", rgb: "rgba" });
  const kind = isOpaque(picture.data) ? color : kinds[color];
  const file = new PngWriter(width, height, kind);
  const options = { strength, window, onProgress };
  for await (const band of restoreBands(picture, model, options)) {
    await file.write(band.data);
  }
  return { png: await file.finish(), width, height };
}

/**
 * Whether the graphics card gives what the processor gives; if not, a sentence.
 *
 * @param {Card} card
 * @param {Picture} trial
 */
async function compare(card, trial) {
  try {
    const results = [];
    for (const provider of /** @type {Provider[]} */ (["wasm", "webgpu"])) {
      results.push(await restore(trial, await network(card, provider)));
    }
    const [expected, got] = results.map(({ data }) => data);
    const most = got.reduce((a, b, i) => Math.max(a, Math.abs(b - expected[i])), 0);
    if (most <= 1) return "";
    return `The graphics card's result is off by ${most} of 255: the processor is used.`;
  } catch (error) {
    return `The graphics card cannot run this model (${message(error)}): the processor is used.`;
  }
}

/**
 * The square in the middle of a picture.
 *
 * @param {Picture} picture
 * @param {number} side At most.
 * @returns {Picture}
 */
function middle(picture, side) {
  const [width, height] = [picture.width, picture.height].map((n) => Math.min(n, side));
  const left = (picture.width - width) >> 1;
  const top = (picture.height - height) >> 1;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const start = 4 * ((top + y) * picture.width + left);
    data.set(picture.data.subarray(start, start + 4 * width), 4 * y * width);
  }
  return { data, width, height };
}

/** @param {unknown} error */
function message(error) {
  if (error instanceof Refusal) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError || /bad_alloc|memory/i.test(text)) {
    return "There is not enough memory for this picture: close other tabs, or choose a smaller one.";
  }
  return text;
}

/** @param {{id: number, job: keyof Jobs, order: any}} call */
async function answer({ id, job, order }) {
  try {
    const result = await jobs[job](order, (done, total) =>
      self.postMessage({ id, progress: { done, total } }),
    );
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: message(error) });
  }
}

let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data));
};
