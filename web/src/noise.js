/**
 * The noise of a picture: what `skimage.restoration.estimate_sigma` finds, by which
 * `xunit_keras/choosing.py` chooses.
 */

/** High pass of the Daubechies wavelet with two vanishing moments, in float32. */
const HIGH = Float32Array.of(
  -0.48296291314453416,
  0.8365163037378079,
  -0.2241438680420134,
  -0.12940952255126037,
);
/** The third quartile of the normal distribution. */
const QUARTILE = 0.6744897501960817;
/** Below, there are hardly any differences to measure noise by. */
const LEAST_SIDE = 5;

/**
 * The standard deviation of a picture's noise, in levels of 0..255.
 *
 * Source: the median of the finest wavelet coefficients, D. L. Donoho, I. M. Johnstone,
 * Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994.
 *
 * @param {{data: Uint8ClampedArray, width: number, height: number}} image RGBA.
 * @param {number} channels 1 for gray, of which the first channel is taken, or 3.
 * @returns {number}
 */
export function estimateNoise(image, channels) {
  if (Math.min(image.width, image.height) < LEAST_SIDE) return 0;
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += median(details(image, c)) / QUARTILE;
  return (255 * sum) / channels;
}

/**
 * The finest diagonal wavelet coefficients of a channel without their signs; those that
 * are exactly 0, as in areas that someone filled, are left out.
 *
 * @param {{data: Uint8ClampedArray, width: number, height: number}} image
 * @param {number} channel
 */
function details({ data, width, height }, channel) {
  const { fround } = Math; // What is exactly 0 depends on how sums are rounded.
  const [rows, columns] = [height, width].map((n) => (n + HIGH.length - 1) >> 1);
  const found = new Float32Array(rows * columns);
  const samples = Float32Array.from({ length: 256 }, (_, level) => level / 255);
  const line = new Float32Array(width);
  let count = 0;
  for (let k = 0; k < rows; k++) {
    line.fill(0);
    for (let j = 0; j < HIGH.length; j++) {
      const row = 4 * width * mirrored(2 * k + 1 - j, height) + channel;
      for (let x = 0; x < width; x++) {
        line[x] = fround(line[x] + fround(HIGH[j] * samples[data[row + 4 * x]]));
      }
    }
    for (let x = 0; x < columns; x++) {
      let sum = fround(0);
      for (let j = 0; j < HIGH.length; j++) {
        sum = fround(sum + fround(HIGH[j] * line[mirrored(2 * x + 1 - j, width)]));
      }
      if (sum !== 0) found[count++] = Math.abs(sum);
    }
  }
  return found.subarray(0, count);
}

/** @param {number} at @param {number} length */
function mirrored(at, length) {
  if (at < 0) return -1 - at;
  return at < length ? at : 2 * length - 1 - at;
}

/**
 * The median; 0 of nothing.
 *
 * @param {Float32Array} values Are put into another order.
 */
function median(values) {
  if (!values.length) return 0;
  const middle = values.length >> 1;
  const upper = select(values, middle);
  if (values.length % 2) return upper;
  let lower = values[0];
  for (let i = 1; i < middle; i++) lower = Math.max(lower, values[i]);
  return (lower + upper) / 2;
}

/**
 * The value that would stand at a place if they were sorted; those before it are not
 * larger. Source: C. A. R. Hoare, Algorithm 65: Find, CACM 4(7), 1961.
 *
 * @param {Float32Array} values
 * @param {number} place
 */
function select(values, place) {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const pivot = values[(low + high) >> 1];
    let [i, j] = [low, high];
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i <= j) {
        [values[i], values[j]] = [values[j], values[i]];
        i++;
        j--;
      }
    }
    if (place <= j) high = j;
    else if (place >= i) low = i;
    else break;
  }
  return values[place];
}
