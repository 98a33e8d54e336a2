// @ts-check
// Shapes as data: points, paths, and when two drawings are the same.

/** @typedef {import("./message.js").Point} Point */
/** @typedef {import("./message.js").Shape} Shape */

/**
 * Path data of a line through points; a single point is drawn as a dot.
 *
 * @param {Point[]} points
 * @param {boolean} closed
 */
export function pathOf(points, closed) {
  const [first, ...rest] = points;
  const line = (rest.length ? rest : [first]).map(([x, y]) => `L${x} ${y}`).join("");
  return `M${first[0]} ${first[1]}${line}${closed ? "Z" : ""}`;
}

/**
 * Eighths of a pixel: fine enough for a hand, and exact in binary.
 *
 * @param {number} value
 */
export function tidy(value) {
  return Math.round(value * 8) / 8;
}

/**
 * @param {Point} one
 * @param {Point} other
 */
export function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

/**
 * A shape moved, or one of its corners put elsewhere.
 *
 * @param {Shape} shape
 * @param {Point} from
 * @param {Point} to
 * @param {number | null} corner
 * @returns {Shape}
 */
export function pulled(shape, from, to, corner) {
  const dx = to[0] - from[0];
  const dy = to[1] - from[1];
  const points = shape.points.map(
    /** @returns {Point} */ ([x, y], i) => {
      if (corner === null) return [tidy(x + dx), tidy(y + dy)];
      return i === corner ? to : [x, y];
    },
  );
  return { ...shape, points };
}

/**
 * Points over all shapes.
 *
 * @param {Shape[]} shapes
 */
export function totalPoints(shapes) {
  return shapes.reduce((sum, { points }) => sum + points.length, 0);
}

/**
 * Whether two lists of shapes are the same drawing.
 *
 * @param {Shape[]} one
 * @param {Shape[]} other
 */
export function alike(one, other) {
  const plain = (/** @type {Shape[]} */ shapes) =>
    JSON.stringify(shapes.map(({ kind, mode, points, radius }) => [kind, mode, points, radius]));
  return plain(one) === plain(other);
}
