/** Figures as people read them. */

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}

/** @param {number} pixels */
export function megapixels(pixels) {
  const millions = pixels / 1e6;
  if (millions < 0.1) return `${pixels.toLocaleString("en")} pixels`;
  return `${millions.toFixed(millions < 10 ? 1 : 0)} megapixels`;
}

/** @param {number} bytes */
export function gigabytes(bytes) {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
