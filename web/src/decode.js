/** Pictures as the browser reads them, as pixels. */

/** Rows that are read at a time: canvases have a largest area. */
const ROWS = 512;

/** What cannot be done, in a sentence for the person at the screen. */
export class Refusal extends Error {}

/**
 * The pixels of a picture, upright, in sRGB.
 *
 * @param {Blob} file
 * @returns {Promise<import("./restore.js").Picture>} RGBA, not premultiplied.
 * @throws {Refusal} The browser cannot read it.
 */
export async function decode(file) {
  const bitmap = await createImageBitmap(file, {
    imageOrientation: "from-image",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new Refusal(
      "This browser cannot read its pixels: it is a drawing, damaged, or too large.",
    );
  });
  try {
    const { width, height } = bitmap;
    const data = new Uint8ClampedArray(4 * width * height);
    readThroughCanvas(bitmap, data);
    if (!isOpaque(data)) await readUnmultiplied(bitmap, data);
    return { data, width, height };
  } finally {
    bitmap.close();
  }
}

/** @param {Uint8ClampedArray} data */
export function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return false;
  return true;
}

/**
 * @param {ImageBitmap} bitmap
 * @param {Uint8ClampedArray} data Takes the pixels.
 */
function readThroughCanvas(bitmap, data) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, Math.min(ROWS, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Refusal("This browser has no memory left for a picture.");
  context.globalCompositeOperation = "copy";
  for (let top = 0; top < height; top += ROWS) {
    context.drawImage(bitmap, 0, -top);
    const rows = context.getImageData(0, 0, width, Math.min(ROWS, height - top));
    data.set(rows.data, 4 * top * width);
  }
}

/**
 * A canvas keeps colors times their alpha, which rounds those of soft edges and loses
 * those of what is transparent. Where the browser has another way to the pixels, it is
 * taken.
 *
 * @param {ImageBitmap} bitmap
 * @param {Uint8ClampedArray} data As `readThroughCanvas` gives it; takes the pixels.
 */
async function readUnmultiplied(bitmap, data) {
  if (typeof VideoFrame === "undefined") return;
  const frame = new VideoFrame(bitmap, { timestamp: 0, alpha: "keep" });
  // Only in the frame's own order of samples they are not multiplied on the way.
  const isBlueFirst = frame.format === "BGRA";
  if (isBlueFirst || frame.format === "RGBA") await frame.copyTo(data);
  frame.close();
  if (!isBlueFirst) return;
  for (let i = 0; i < data.length; i += 4) {
    [data[i], data[i + 2]] = [data[i + 2], data[i]];
  }
}
