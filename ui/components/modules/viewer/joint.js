// @ts-check
// Displacements and their limits: the same arithmetic in whole numbers as padim/decision/joint.py.

/** @typedef {import("./message.js").SentStatistic} SentStatistic */
/** @typedef {Record<string, number>} Sizes sizes of displacements by name, in whole steps */

const MAX_LEVEL = 65535;

/** The displacement of a part that is not found, if that is rejected: above every limit. */
export const BEYOND = Number.MAX_SAFE_INTEGER;

/**
 * A displacement as a level of the map (JointScale.displaced).
 *
 * @param {Sizes} sizes
 * @param {SentStatistic[]} statistics
 */
export function displacedLevel(sizes, statistics) {
  let most = 0n;
  for (const { name, top, bottom } of statistics) {
    if (!(name in sizes)) continue;
    const level = (BigInt(sizes[name]) * BigInt(top)) / BigInt(bottom);
    if (level > most) most = level;
  }
  return most < BigInt(BEYOND) ? Number(most) : BEYOND;
}

/**
 * The largest size of a displacement that is not rejected at a threshold (JointScale.limits).
 *
 * @param {number} level the threshold
 * @param {SentStatistic} statistic
 */
export function limitAt(level, { top, bottom }) {
  return Number((BigInt(level + 1) * BigInt(bottom) - 1n) / BigInt(top));
}

/**
 * What decides: the larger of score and displacement, on the scale of the levels (Prediction.joint_level).
 *
 * @param {number} score
 * @param {number} displaced
 */
export function jointLevel(score, displaced) {
  return Math.min(Math.max(score, displaced), MAX_LEVEL);
}

/**
 * A size in steps as people read it (Statistic.amount).
 *
 * @param {number} size
 * @param {SentStatistic} statistic
 */
export function amountOf(size, { name, step }) {
  return name === "scale" ? 100 * Math.expm1(Math.min((size * step) / 100, 5)) : size * step;
}

/** @type {Record<string, string>} */
const VERBS = { shift: "shifted by", turn: "turned by", scale: "different in size by" };

/**
 * The displacements above their limits, each as a phrase; none where the part was not found.
 *
 * @param {Sizes} sizes
 * @param {number} level the threshold
 * @param {SentStatistic[]} statistics
 */
export function displacements(sizes, level, statistics) {
  const found = [];
  for (const statistic of statistics) {
    const limit = limitAt(level, statistic);
    const size = sizes[statistic.name] ?? 0;
    if (size <= limit) continue;
    const unit = statistic.unit === "°" ? "°" : ` ${statistic.unit}`;
    const [value, most] = [size, limit].map((steps) => Number(amountOf(steps, statistic).toPrecision(3)));
    found.push(`${VERBS[statistic.name]} ${value}${unit}, above the limit of ${most}${unit}`);
  }
  return found;
}
