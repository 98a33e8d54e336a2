// @ts-check
// Rectangles in pixels of the image: between two corners, moved, one corner pulled.

/** @typedef {import("./message.js").Mark} Mark */
/** @typedef {import("./message.js").Point} Point */
/** @typedef {{ width: number, height: number }} Size */

// Marks of each kind: a second area of background, or another end, takes the place of the first.
export const MOST = { place: 2, background: 1, end: 1 };
export const SMALLEST = 4; // pixels of the image; a shorter drag was a click

/**
 * The rectangle between two corners, in whole pixels.
 *
 * @param {Mark["kind"]} kind
 * @param {Point} one
 * @param {Point} other
 * @returns {Mark}
 */
export function between(kind, [x0, y0], [x1, y1]) {
  const [x, y] = [Math.round(Math.min(x0, x1)), Math.round(Math.min(y0, y1))];
  return { kind, x, y, width: Math.round(Math.max(x0, x1)) - x, height: Math.round(Math.max(y0, y1)) - y };
}

/**
 * The mark moved, and kept inside the image.
 *
 * @param {Mark} mark
 * @param {number} dx
 * @param {number} dy
 * @param {Size} size of the image
 * @returns {Mark}
 */
export function moved(mark, dx, dy, size) {
  const x = Math.min(size.width - mark.width, Math.max(0, Math.round(mark.x + dx)));
  const y = Math.min(size.height - mark.height, Math.max(0, Math.round(mark.y + dy)));
  return { ...mark, x, y };
}

/**
 * The corners, clockwise from the upper left; of a point, itself.
 *
 * @param {Mark} mark
 * @returns {Point[]}
 */
export function cornersOf({ x, y, width, height }) {
  if (!width && !height) return [[x, y]];
  return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
}

/**
 * The mark with one corner pulled to a place; the opposite corner stays.
 *
 * @param {Mark} mark
 * @param {number} corner
 * @param {Point} to
 * @returns {Mark}
 */
export function pulled(mark, corner, to) {
  return between(mark.kind, cornersOf(mark)[(corner + 2) % 4], to);
}

/**
 * Whether a rectangle is large enough to be meant.
 *
 * @param {Mark} mark
 */
export function isMeant({ kind, width, height }) {
  return kind === "end" || (width >= SMALLEST && height >= SMALLEST);
}
