/**
 * Windows that overlap by what a network sees, so that tiles equal the whole: the same
 * arithmetic as `xunit_keras/runtime/tiles.py`.
 */

/** Pixels to each side that a bicubic sample looks at, where an image is enlarged. */
export const REACH = 2;

/** Side, in output pixels, of a square that has as many as windows may. */
export const WINDOW = 768;

/**
 * What a network makes of sizes and positions.
 *
 * @typedef {object} Field
 * @property {number} scale Output pixels for one input pixel, along each axis.
 * @property {number} radius Input pixels to each side that an output pixel depends on.
 * @property {number} stride Windows start at, and differ from the whole by, multiples.
 */

/**
 * Part of one axis of an image, in input pixels.
 *
 * @typedef {object} Tile
 * @property {number} start Of the window, which is what the network sees.
 * @property {number} stop Of the window.
 * @property {number} from Of what is kept of its result.
 * @property {number} to Of what is kept.
 */

/**
 * Covers an image with windows of one shape that overlap by the receptive field: of
 * those with at most as many pixels as a square of `window` output pixels, the ones that
 * have the fewest in all.
 *
 * @param {Field} field Of the network.
 * @param {number} height
 * @param {number} width
 * @param {number} [window]
 * @returns {{rows: Tile[], columns: Tile[]}}
 */
export function cover(field, height, width, window = WINDOW) {
  const side = Math.floor(window / field.scale);
  const both = 2 * halo(field);
  const least = Math.max(Math.floor(side / 4), both, 1); // Narrow tiles are mostly halo.
  /** @type {{rows: Tile[], columns: Tile[], beyond: number, work: number}} */
  let best = { rows: [], columns: [], beyond: Infinity, work: Infinity };
  const most = Math.floor(Math.max(height - both, 0) / least) + 1;
  for (let count = 1; count <= most; count++) {
    const rows = cut(height, Math.max(Math.ceil((height - both) / count), 1), field);
    const room = Math.floor(side ** 2 / length(rows)) - both;
    const columns = cut(width, Math.max(room, least), field);
    const pixels = length(rows) * length(columns);
    const beyond = Math.max(pixels - side ** 2, 0);
    const work = pixels * rows.length * columns.length;
    if (beyond < best.beyond || (beyond === best.beyond && work < best.work)) {
      best = { rows, columns, beyond, work };
    }
  }
  return best;
}

/**
 * Covers an axis with windows of one length that keep `tile` pixels or fewer. They end
 * where the image ends, so that the padding in the network's layers falls where it does
 * for the whole image, and share the work evenly.
 *
 * @param {number} length
 * @param {number} tile
 * @param {Field} field
 * @returns {Tile[]}
 */
function cut(length, tile, field) {
  const edge = halo(field);
  const { stride } = field;
  const whole = [{ start: 0, stop: length, from: 0, to: length }];
  if (length <= tile + 2 * edge) return whole;
  const count = Math.ceil((length - 2 * edge) / tile);
  const step = Math.ceil(Math.ceil((length - 2 * edge) / count) / stride) * stride;
  let window = step + 2 * edge;
  window += modulo(length - window, stride);
  if (window >= length) return whole;
  /** @type {Tile[]} */
  const tiles = [];
  let from = 0;
  for (let start = 0; start < length - window; start += step) {
    const stop = start + window;
    tiles.push({ start, stop, from, to: stop - edge });
    from = stop - edge;
  }
  tiles.push({ start: length - window, stop: length, from, to: length });
  return tiles;
}

/**
 * Pixels that a window has to see to each side of what is kept of it.
 *
 * @param {Field} field
 */
function halo({ scale, radius }) {
  // Chroma is enlarged bicubically beside the network.
  return scale > 1 ? Math.max(radius, REACH) : radius;
}

/** That of the windows. @param {Tile[]} tiles */
function length([{ start, stop }]) {
  return stop - start;
}

/** @param {number} a @param {number} b */
function modulo(a, b) {
  return ((a % b) + b) % b;
}
