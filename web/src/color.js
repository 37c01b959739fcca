/**
 * Luminance and chrominance by the coefficients of ITU-R BT.601: the same arithmetic as
 * `xunit_keras/imaging/color.py`.
 */

const [RED, GREEN, BLUE] = [0.299, 0.587, 0.114];

/** Y in 16..235, Cb and Cr in 16..240, of R, G, B in 0..1, all over 255. */
const MATRIX = [
  [219 * RED, 219 * GREEN, 219 * BLUE],
  [-RED, -GREEN, 1 - BLUE].map((weight) => (112 * weight) / (1 - BLUE)),
  [1 - RED, -GREEN, -BLUE].map((weight) => (112 * weight) / (1 - RED)),
].map((row) => row.map((weight) => weight / 255));
const OFFSET = [16 / 255, 128 / 255, 128 / 255];
const INVERSE = inverse(MATRIX);

/**
 * Separates luminance and chrominance.
 *
 * @param {Float32Array} rgb Samples in [0, 1], R, G, B in turn.
 * @returns {{y: Float32Array, chroma: Float32Array}} Y; Cb and Cr in turn.
 */
export function toYCbCr(rgb) {
  const count = rgb.length / 3;
  const y = new Float32Array(count);
  const chroma = new Float32Array(2 * count);
  const [[yr, yg, yb], [br, bg, bb], [rr, rg, rb]] = MATRIX;
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]];
    y[i] = yr * r + yg * g + yb * b + OFFSET[0];
    chroma[2 * i] = br * r + bg * g + bb * b + OFFSET[1];
    chroma[2 * i + 1] = rr * r + rg * g + rb * b + OFFSET[2];
  }
  return { y, chroma };
}

/**
 * The inverse of `toYCbCr`, not clipped.
 *
 * @param {Float32Array} y
 * @param {Float32Array} chroma Cb and Cr in turn.
 * @returns {Float32Array} R, G, B in turn.
 */
export function toRGB(y, chroma) {
  const rgb = new Float32Array(3 * y.length);
  const [[ra, rb, rc], [ga, gb, gc], [ba, bb, bc]] = INVERSE;
  for (let i = 0; i < y.length; i++) {
    const light = y[i] - OFFSET[0];
    const blue = chroma[2 * i] - OFFSET[1];
    const red = chroma[2 * i + 1] - OFFSET[2];
    rgb[3 * i] = ra * light + rb * blue + rc * red;
    rgb[3 * i + 1] = ga * light + gb * blue + gc * red;
    rgb[3 * i + 2] = ba * light + bb * blue + bc * red;
  }
  return rgb;
}

/** @param {number[][]} matrix 3x3. */
function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / determinant));
}
