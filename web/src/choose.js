/** Which released model fits a picture: the rules of `xunit_keras/choosing.py`. */

/** @typedef {import("./runtime.js").Card} Card */

/**
 * Where a network for one noise level is used, in parts of that level: beside a blind
 * one for the same channels, and where there is none.
 */
const BESIDE_BLIND = [0.9, 1.1];
const ALONE = [0.6, 1.35];

/**
 * Chooses the model that fits a picture.
 *
 * @param {Card[]} cards Of the task; see `byScale` for those that enlarge.
 * @param {1 | 3} channels Of the picture, 1 if it is gray.
 * @param {() => number} noise Tells the noise of the picture, in levels of 0..255.
 * @returns {{card: Card, reason: string}}
 * @throws {Error} No model fits.
 */
export function choose(cards, channels, noise) {
  const reasons = [];
  if (cards.some((card) => card.sigma.length)) {
    const [fitting, reason] = byNoise(cards, noise(), channels);
    cards = fitting;
    reasons.push(reason);
  }
  const own = cards.filter((card) => card.channels === channels);
  const card = (own.length ? own : cards).reduce((a, b) => (b.psnr > a.psnr ? b : a));
  reasons.push(way(card, channels));
  return { card, reason: reasons.join(", ") };
}

/**
 * The cards that enlarge by the factor asked for, or else the least there is.
 *
 * @param {Card[]} cards
 * @param {number} scale
 */
export function byScale(cards, scale) {
  const scales = cards.map((card) => card.scale);
  const chosen = scales.includes(scale) ? scale : Math.min(...scales);
  return cards.filter((card) => card.scale === chosen);
}

/**
 * @param {Card[]} cards
 * @param {number} noise
 * @param {1 | 3} channels
 * @returns {[Card[], string]}
 */
function byNoise(cards, noise, channels) {
  const found = `noise of sigma ${noise.toFixed(0)} found`;
  // R, G and B together are restored better than one by one.
  for (const group of [cards.filter((card) => card.channels === channels), cards]) {
    const blind = group.filter(
      ({ sigma }) => sigma.length === 2 && sigma[0] <= noise && noise <= sigma[1],
    );
    const [low, high] = blind.length ? BESIDE_BLIND : ALONE;
    const near = group.filter(
      ({ sigma }) =>
        sigma.length === 1 && low * sigma[0] <= noise && noise <= high * sigma[0],
    );
    const fitting = near.length ? near : blind;
    if (fitting.length) {
      const { sigma } = fitting.reduce((a, b) =>
        Math.abs(b.sigma[0] - noise) < Math.abs(a.sigma[0] - noise) ? b : a,
      );
      const range = sigma.join(" to ");
      return [
        fitting.filter((card) => card.sigma.join(" to ") === range),
        `${found}, trained for ${range}`,
      ];
    }
  }
  const most = Math.max(...cards.map((card) => card.sigma.at(-1) ?? 0));
  if (noise > most) {
    return [
      cards.filter((card) => card.sigma.at(-1) === most),
      `${found}, trained for ${most}, the most there is`,
    ];
  }
  throw new Error(`No released model removes noise of sigma ${noise.toFixed(0)}.`);
}

/**
 * How a network restores a picture with so many channels.
 *
 * @param {Card} card
 * @param {1 | 3} channels
 */
function way(card, channels) {
  if (card.channels === channels) {
    return channels === 3 ? "for color pictures" : "for gray pictures";
  }
  if (channels === 1) return "which takes the gray picture as color";
  return card.scale > 1 ? "on the luminance" : "on red, green and blue one by one";
}
