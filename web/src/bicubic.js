/**
 * MATLAB's bicubic enlargement: the same arithmetic as `xunit_keras/imaging/resize.py`.
 */

import { REACH } from "./cover.js";

/** Pixels along an axis that one of the result is made of. */
const TAPS = 2 * REACH;

/**
 * Enlarges rows of an image bicubically; borders are mirrored.
 *
 * @param {ArrayLike<number>} image `(height, width, channels)`.
 * @param {number} height
 * @param {number} width
 * @param {number} channels
 * @param {number} scale
 * @param {number} [from] First row of the result.
 * @param {number} [to] Row after the last.
 * @returns {Float32Array} `(to - from, scale * width, channels)`, not clipped.
 */
export function enlarge(
  image,
  height,
  width,
  channels,
  scale,
  from = 0,
  to = scale * height,
) {
  const down = taps(height, scale);
  const across = taps(width, scale);
  const line = new Float32Array(width * channels);
  const result = new Float32Array((to - from) * scale * width * channels);
  let k = 0;
  for (let y = from; y < to; y++) {
    line.fill(0);
    for (let t = TAPS * y; t < TAPS * (y + 1); t++) {
      const [row, weight] = [down.at[t] * line.length, down.weight[t]];
      for (let i = 0; i < line.length; i++) line[i] += weight * image[row + i];
    }
    for (let x = 0; x < scale * width; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let t = TAPS * x; t < TAPS * (x + 1); t++) {
          sum += across.weight[t] * line[across.at[t] * channels + c];
        }
        result[k++] = sum;
      }
    }
  }
  return result;
}

/**
 * The `TAPS` pixels that each pixel of the enlarged axis is made of, and their weights.
 *
 * @param {number} length
 * @param {number} scale
 */
function taps(length, scale) {
  const at = new Int32Array(TAPS * scale * length);
  const weight = new Float32Array(at.length);
  for (let phase = 0; phase < scale; phase++) {
    const center = (phase + 0.5) / scale - 0.5;
    const first = Math.floor(center) - REACH + 1;
    const weights = Array.from({ length: TAPS }, (_, t) => cubic(center - first - t));
    const sum = weights.reduce((a, b) => a + b);
    for (let pixel = 0; pixel < length; pixel++) {
      const start = TAPS * (scale * pixel + phase);
      weights.forEach((one, t) => {
        at[start + t] = mirrored(pixel + first + t, length);
        weight[start + t] = one / sum;
      });
    }
  }
  return { at, weight };
}

/**
 * ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...: mirrored with the edge repeated.
 *
 * @param {number} at
 * @param {number} length
 */
function mirrored(at, length) {
  const period = 2 * length;
  const inside = ((at % period) + period) % period;
  return inside < length ? inside : period - 1 - inside;
}

/**
 * Keys' cubic convolution kernel with a = -0.5.
 *
 * @param {number} x
 */
function cubic(x) {
  x = Math.abs(x);
  if (x <= 1) return 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
  return x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
}
