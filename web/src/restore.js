/**
 * Restores images with the released networks: the same arithmetic as
 * `xunit_keras.restore`, in the browser.
 *
 * @example
 * import { openModel, restore } from "./xunit/restore.js";
 *
 * const model = await openModel("xdncnn-color-blind");
 * const restored = await restore(imageData, model, { strength: 0.8 });
 */

import { fillTransparent } from "./alpha.js";
import { enlarge } from "./bicubic.js";
import { toRGB, toYCbCr } from "./color.js";
import { cover, WINDOW } from "./cover.js";

export { listModels, openModel } from "./runtime.js";

/** @typedef {import("./runtime.js").Card} Card */
/** @typedef {import("./runtime.js").Model} Model */
/** @typedef {import("./cover.js").Tile} Tile */

/**
 * RGBA in 8 bits, not premultiplied: an `ImageData`, or what looks like one.
 *
 * @typedef {object} Picture
 * @property {Uint8ClampedArray} data
 * @property {number} width
 * @property {number} height
 */

/**
 * @typedef {object} Options
 * @property {number} [strength] How much of the change is applied, 0 to 1.
 * @property {number} [window] Side of the windows that an image is worked on in, in
 *   pixels of the result. Smaller ones need less memory and more time, and give the
 *   same result.
 * @property {(done: number, total: number) => void} [onProgress] Called with how many
 *   windows are done, and how many there are in all.
 * @property {AbortSignal} [signal] Ends the work between two windows.
 */

/**
 * Some rows of a result, `(height, width)` RGBA.
 *
 * @typedef {Picture & {top: number}} Band
 */

/**
 * Restores an image.
 *
 * @param {Picture} image An image whose pixels are all gray is restored as a gray one.
 *   Colors under transparent pixels do not bleed into soft edges.
 * @param {Model} model See `openModel`.
 * @param {Options} [options]
 * @returns {Promise<ImageData>} `scale` times as large.
 */
export async function restore(image, model, options = {}) {
  const { scale } = model.card;
  const result = new ImageData(scale * image.width, scale * image.height);
  for await (const band of restoreBands(image, model, options)) {
    result.data.set(band.data, 4 * band.top * result.width);
  }
  return result;
}

/**
 * As `restore`, a band of rows after the other, so that the whole is never there.
 *
 * @param {Picture} image
 * @param {Model} model
 * @param {Options} [options]
 * @returns {AsyncGenerator<Band, void, void>}
 */
export async function* restoreBands(image, model, options = {}) {
  const { strength = 1, window = WINDOW, onProgress = () => {}, signal } = options;
  if (!(strength >= 0 && strength <= 1)) {
    throw new RangeError(`\`strength\` must be 0 to 1. Received: ${strength}`);
  }
  const { width, height } = image;
  const { scale } = model.card;
  const channels = isGray(image) ? 1 : 3;
  const alpha = transparency(image);
  const data = fillTransparent(image.data, width, height);
  const work = blended(forChannels(model, channels), model, channels, strength);
  const { rows, columns } = cover(model.card, height, width, window);
  let done = 0;
  onProgress(done, rows.length * columns.length);
  for (const row of rows) {
    const [top, bottom] = [scale * row.from, scale * row.to];
    const [wide, tall] = [scale * width, bottom - top];
    const pixels = new Uint8ClampedArray(4 * wide * tall);
    const band = { top, width: wide, height: tall, data: pixels };
    pasteAlpha(band, alpha, image, scale);
    for (const column of columns) {
      signal?.throwIfAborted();
      const samples = cropped(data, width, row, column, channels);
      const restored = await work(
        samples,
        row.stop - row.start,
        column.stop - column.start,
      );
      paste(restored, band, row, column, channels, model.card);
      onProgress(++done, rows.length * columns.length);
    }
    yield band;
  }
}

/**
 * Whether red, green and blue are the same everywhere.
 *
 * @param {Picture} image
 */
export function isGray({ data }) {
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}

/**
 * How often a network runs for a window of an image with so many channels.
 *
 * @param {Card} card
 * @param {number} channels
 */
export function runs(card, channels) {
  return card.channels === 1 && channels === 3 && card.scale === 1 ? 3 : 1;
}

/** @typedef {Model["run"]} Run */

/**
 * A network as a function on windows with `channels` channels.
 *
 * @param {Model} model
 * @param {1 | 3} channels
 * @returns {Run}
 */
function forChannels({ card, run }, channels) {
  if (channels === card.channels) return run;
  if (card.channels === 3) {
    return async (gray, height, width) => {
      const restored = await run(interleaved([gray, gray, gray]), height, width);
      return Float32Array.from(
        { length: restored.length / 3 },
        (_, i) => (restored[3 * i] + restored[3 * i + 1] + restored[3 * i + 2]) / 3,
      );
    };
  }
  if (card.scale === 1) {
    return async (rgb, height, width) => {
      const planes = [];
      for (let c = 0; c < 3; c++) {
        const plane = new Float32Array(height * width);
        for (let i = 0; i < plane.length; i++) plane[i] = rgb[3 * i + c];
        planes.push(await run(plane, height, width));
      }
      return interleaved(planes);
    };
  }
  return async (rgb, height, width) => {
    const { y, chroma } = toYCbCr(rgb);
    const large = await run(y, height, width);
    return toRGB(large, enlarge(chroma, height, width, 2, card.scale));
  };
}

/**
 * A part of the change: between the image as it came and the restored one.
 *
 * @param {Run} work
 * @param {Model} model
 * @param {1 | 3} channels
 * @param {number} strength
 * @returns {Run}
 */
function blended(work, { card: { scale } }, channels, strength) {
  if (strength === 1) return work;
  return async (samples, height, width) => {
    const before =
      scale === 1 ? samples.slice() : enlarge(samples, height, width, channels, scale);
    const after = await work(samples, height, width);
    for (let i = 0; i < before.length; i++) {
      before[i] += strength * (after[i] - before[i]);
    }
    return before;
  };
}

/**
 * Planes as one image, channel by channel in turn.
 *
 * @param {Float32Array[]} planes
 */
function interleaved(planes) {
  const samples = new Float32Array(planes.length * planes[0].length);
  planes.forEach((plane, c) => {
    for (let i = 0; i < plane.length; i++) samples[planes.length * i + c] = plane[i];
  });
  return samples;
}

/**
 * A window of an image, in [0, 1].
 *
 * @param {Uint8ClampedArray} data RGBA.
 * @param {number} width
 * @param {Tile} row
 * @param {Tile} column
 * @param {1 | 3} channels
 */
function cropped(data, width, row, column, channels) {
  const [tall, wide] = [row.stop - row.start, column.stop - column.start];
  const samples = new Float32Array(tall * wide * channels);
  let k = 0;
  for (let y = row.start; y < row.stop; y++) {
    let i = 4 * (y * width + column.start);
    for (let x = 0; x < wide; x++, i += 4) {
      for (let c = 0; c < channels; c++) samples[k++] = data[i + c] / 255;
    }
  }
  return samples;
}

/**
 * Puts what is kept of a window's result into a band.
 *
 * @param {Float32Array} restored
 * @param {Band} band
 * @param {Tile} row
 * @param {Tile} column
 * @param {1 | 3} channels
 * @param {Card} card
 */
function paste(restored, band, row, column, channels, { name, scale }) {
  const wide = scale * (column.stop - column.start);
  const green = channels === 3 ? 1 : 0;
  for (let y = 0; y < band.height; y++) {
    const line = (scale * (row.from - row.start) + y) * wide;
    for (let x = scale * column.from; x < scale * column.to; x++) {
      const k = channels * (line + x - scale * column.start);
      const i = 4 * (y * band.width + x);
      const sum = restored[k] + restored[k + green] + restored[k + 2 * green];
      if (Number.isNaN(sum)) throw new Error(`The model ${name} fails on this image.`);
      band.data[i] = level(restored[k]);
      band.data[i + 1] = level(restored[k + green]);
      band.data[i + 2] = level(restored[k + 2 * green]);
    }
  }
}

/**
 * The transparency of an image in [0, 1]; null if it has none.
 *
 * @param {Picture} image
 */
function transparency({ data }) {
  let i = 3;
  while (i < data.length && data[i] === 255) i += 4;
  if (i >= data.length) return null;
  return Float32Array.from(
    { length: data.length / 4 },
    (_, i) => data[4 * i + 3] / 255,
  );
}

/**
 * Makes rows of the result visible as far as the image is, enlarged bicubically.
 *
 * @param {Band} band
 * @param {Float32Array | null} alpha
 * @param {Picture} image
 * @param {number} scale
 */
function pasteAlpha({ data, top, height }, alpha, image, scale) {
  if (!alpha) {
    for (let i = 3; i < data.length; i += 4) data[i] = 255;
    return;
  }
  const rows =
    scale === 1
      ? alpha.subarray(top * image.width, (top + height) * image.width)
      : enlarge(alpha, image.height, image.width, 1, scale, top, top + height);
  for (let i = 0; i < rows.length; i++) data[4 * i + 3] = level(rows[i]);
}

/**
 * A sample as 8 bits: clipped, halves up.
 *
 * @param {number} sample
 */
function level(sample) {
  return Math.floor(Math.min(Math.max(sample, 0), 1) * 255 + 0.5);
}
