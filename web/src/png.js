/**
 * PNG files, written a band of rows after the other: a canvas would premultiply the
 * colors of soft edges, and has no room for what is very large.
 */

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const PAETH = 4;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** The kinds of pixels: the number in the header, and which samples of RGBA they have. */
const KINDS = {
  gray: { type: 0, samples: [0] },
  rgb: { type: 2, samples: [0, 1, 2] },
  "gray+alpha": { type: 4, samples: [0, 3] },
  rgba: { type: 6, samples: [0, 1, 2, 3] },
};

/** Writes one file. */
export class PngWriter {
  #samples;
  #above;
  #width;
  #compression = new CompressionStream("deflate");
  #rows = this.#compression.writable.getWriter();
  /** @type {BlobPart[]} */
  #parts;
  #compressed;

  /**
   * @param {number} width
   * @param {number} height
   * @param {keyof typeof KINDS} kind
   */
  constructor(width, height, kind) {
    const { type, samples } = KINDS[kind];
    this.#width = width;
    this.#samples = samples;
    this.#above = new Uint8Array(width * samples.length);
    const header = new DataView(new ArrayBuffer(13));
    header.setUint32(0, width);
    header.setUint32(4, height);
    header.setUint8(8, 8);
    header.setUint8(9, type);
    this.#parts = [
      SIGNATURE,
      ...chunk("IHDR", new Uint8Array(header.buffer)),
      ...chunk("sRGB", Uint8Array.of(0)),
    ];
    this.#compressed = this.#collect();
  }

  /**
   * Takes the next rows.
   *
   * @param {Uint8ClampedArray} pixels RGBA, not premultiplied.
   */
  async write(pixels) {
    const step = this.#samples.length;
    const length = this.#width * step;
    const rows = pixels.length / (4 * this.#width);
    const filtered = new Uint8Array(rows * (length + 1));
    let above = this.#above;
    for (let y = 0, k = 0; y < rows; y++) {
      const row = new Uint8Array(length);
      for (let i = 0, at = 4 * y * this.#width; i < length; at += 4) {
        for (const sample of this.#samples) row[i++] = pixels[at + sample];
      }
      filtered[k++] = PAETH;
      for (let i = 0; i < step; i++) filtered[k++] = row[i] - above[i];
      for (let i = step; i < length; i++) {
        filtered[k++] = row[i] - paeth(row[i - step], above[i], above[i - step]);
      }
      above = row;
    }
    this.#above = above;
    await this.#rows.write(filtered);
  }

  /** The file, once all rows are written. */
  async finish() {
    await this.#rows.close();
    await this.#compressed;
    const end = chunk("IEND", new Uint8Array(0));
    return new Blob([...this.#parts, ...end], { type: "image/png" });
  }

  async #collect() {
    const reader = this.#compression.readable.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      this.#parts.push(...chunk("IDAT", next.value));
    }
  }
}

/**
 * Source: the PNG specification, filter type 4.
 *
 * @param {number} left
 * @param {number} above
 * @param {number} corner
 */
function paeth(left, above, corner) {
  const a = Math.abs(above - corner);
  const b = Math.abs(left - corner);
  const c = Math.abs(left + above - 2 * corner);
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/**
 * @param {string} name
 * @param {Uint8Array<ArrayBuffer>} content
 */
function chunk(name, content) {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) head.setUint8(4 + i, name.charCodeAt(i));
  let crc = 0xffffffff;
  for (const part of [new Uint8Array(head.buffer, 4), content]) {
    for (const byte of part) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  }
  const tail = new DataView(new ArrayBuffer(4));
  tail.setUint32(0, ~crc);
  return [head.buffer, content, tail.buffer];
}
