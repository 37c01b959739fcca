/** What a device has room for. */

import { WINDOW } from "./cover.js";
import { gigabytes, megapixels } from "./words.js";

/** Pixels that browsers show at most in one picture: 16384 times 16384. */
const MOST_PIXELS = 2 ** 28;
/** Pixels of a side that JPEG files, and the canvases of browsers, have at most. */
const LONGEST_SIDE = 65535;
/** Bytes of activations for a pixel of a window: xDnCNN, the largest network. */
const ACTIVATIONS = 830;
/** Where a browser does not tell how much memory there is, in GB. */
const UNKNOWN_MEMORY = 4;
/** The part of the memory that a page may take. */
const PART = 0.5;
const SMALL_WINDOW = 512;

/** In GB; Chromium tells a rounded figure, others none. */
const memory =
  /** @type {{deviceMemory?: number}} */ (navigator).deviceMemory ?? UNKNOWN_MEMORY;

/** Side of the windows that pictures are worked on in here. */
export const windowSide = memory < 8 ? SMALL_WINDOW : WINDOW;

/**
 * Why a picture cannot be restored here, in a sentence; "" if it can.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} scale
 */
export function refusal(width, height, scale) {
  const pixels = width * height * scale ** 2;
  const result = scale > 1 ? `Enlarged ${scale} times, it` : "It";
  const advice =
    scale > 1 ? "choose a smaller scale, or a smaller picture" : "choose a smaller one";
  if (pixels > MOST_PIXELS || Math.max(width, height) * scale > LONGEST_SIDE) {
    return (
      `${result} would have ${width * scale} × ${height * scale} pixels ` +
      `(${megapixels(pixels)}), more than a browser can show: ${advice}.`
    );
  }
  // The picture twice, as pixels and on the screen, and the result on the screen and
  // as a file.
  const bytes = 8 * width * height + 8 * pixels + ACTIVATIONS * windowSide ** 2;
  const most = PART * memory * 1e9;
  if (bytes > most) {
    return (
      `${result} would take ${gigabytes(bytes)} of memory, and a page can have ` +
      `about ${gigabytes(most)} on this device: ${advice}.`
    );
  }
  return "";
}
