/**
 * Colors under transparent pixels: the same arithmetic as
 * `xunit_keras/imaging/alpha.py`, which says why.
 */

/** Of 255: with this alpha, a color counts as much as its surroundings. */
const DOUBTFUL = 8;

/**
 * A level of the pyramid: colors times weights, and as the fourth channel the weights.
 *
 * @typedef {{width: number, height: number, data: Float32Array}} Level
 */

/**
 * Fills the colors that nobody sees with those of the opaque pixels nearby, so that they
 * do not bleed into the soft edges of what is visible.
 *
 * @param {Uint8ClampedArray} pixels RGBA, not premultiplied.
 * @param {number} width
 * @param {number} height
 * @returns {Uint8ClampedArray} RGBA with the same alpha; `pixels` itself where all or
 *   none of it is visible.
 */
export function fillTransparent(pixels, width, height) {
  let least = 255;
  let most = 0;
  for (let i = 3; i < pixels.length; i += 4) {
    least = Math.min(least, pixels[i]);
    most = Math.max(most, pixels[i]);
  }
  if (least === 255 || most === 0) return pixels;
  const half = spread(halvedPixels(pixels, width, height));
  const near = new Float32Array(3);
  const filled = pixels.slice();
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const alpha = pixels[i + 3];
      if (alpha === 255) continue;
      interpolate(half, x, y, near);
      const own = alpha ** 2 / (alpha ** 2 + DOUBTFUL ** 2);
      for (let c = 0; c < 3; c++) {
        filled[i + c] = Math.floor(own * pixels[i + c] + (1 - own) * near[c] + 0.5);
      }
    }
  }
  return filled;
}

/**
 * The first level: half the size of the image.
 *
 * @param {Uint8ClampedArray} pixels
 * @param {number} width
 * @param {number} height
 * @returns {Level}
 */
function halvedPixels(pixels, width, height) {
  return halve(width, height, (i, data, k) => {
    const weight = pixels[i + 3] / 255;
    for (let c = 0; c < 3; c++) data[k + c] += pixels[i + c] * weight;
    data[k + 3] += weight;
  });
}

/** @param {Level} level @returns {Level} */
function halved({ width, height, data }) {
  return halve(width, height, (i, sums, k) => {
    for (let c = 0; c < 4; c++) sums[k + c] += data[i + c];
  });
}

/**
 * The sums of 2x2 pixels, weights above 1 brought down to 1.
 *
 * @param {number} width
 * @param {number} height
 * @param {(index: number, sums: Float32Array, at: number) => void} add Adds a pixel.
 * @returns {Level}
 */
function halve(width, height, add) {
  const [columns, rows] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const data = new Float32Array(4 * columns * rows);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      add(4 * (y * width + x), data, 4 * ((y >> 1) * columns + (x >> 1)));
    }
  }
  for (let k = 0; k < data.length; k += 4) {
    const weight = Math.max(data[k + 3], 1);
    for (let c = 0; c < 4; c++) data[k + c] /= weight;
  }
  return { width: columns, height: rows, data };
}

/**
 * A color for each pixel: its own as far as its weight goes, or one from around.
 *
 * @param {Level} level Is written over.
 * @returns {Level} Of its colors; the fourth channel means nothing any more.
 */
function spread(level) {
  const { width, height, data } = level;
  if (width === 1 && height === 1) {
    for (let c = 0; c < 3; c++) data[c] /= data[3];
    return level;
  }
  const half = spread(halved(level));
  const near = new Float32Array(3);
  for (let y = 0, k = 0; y < height; y++) {
    for (let x = 0; x < width; x++, k += 4) {
      const missing = 1 - data[k + 3];
      if (missing === 0) continue;
      interpolate(half, x, y, near);
      for (let c = 0; c < 3; c++) data[k + c] += missing * near[c];
    }
  }
  return level;
}

/**
 * A pixel of twice the size, interpolated linearly.
 *
 * @param {Level} half
 * @param {number} x
 * @param {number} y
 * @param {Float32Array} color Takes the result.
 */
function interpolate({ width, height, data }, x, y, color) {
  const [left, top] = [x >> 1, y >> 1];
  const beside = clamp(left + (x & 1 ? 1 : -1), width);
  const over = clamp(top + (y & 1 ? 1 : -1), height);
  const [a, b] = [4 * (top * width + left), 4 * (top * width + beside)];
  const [d, e] = [4 * (over * width + left), 4 * (over * width + beside)];
  for (let c = 0; c < 3; c++) {
    color[c] =
      0.75 * (0.75 * data[a + c] + 0.25 * data[d + c]) +
      0.25 * (0.75 * data[b + c] + 0.25 * data[e + c]);
  }
}

/** @param {number} at @param {number} length */
function clamp(at, length) {
  return Math.min(Math.max(at, 0), length - 1);
}
