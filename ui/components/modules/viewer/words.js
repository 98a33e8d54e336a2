// @ts-check
// Numbers in words: the same sentences as padim/text.py and padim/decision/calibration.py write.

/** What is said beside a test image that the model was fitted on. */
export const IN_FIT = "was in the fit";

/** Whole numbers as they are written: 1,234. */
export const whole = new Intl.NumberFormat("en-US");

/**
 * A number and its noun.
 *
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export function counted(n, one, many = `${one}s`) {
  return `${whole.format(n)} ${n === 1 ? one : many}`;
}

/**
 * A share as a count: "5 in 100", or "4 in 1,000" below one in a hundred; half up, and up for a bound.
 *
 * @param {number} share
 * @param {boolean} [up]
 */
export function inHundred(share, up = false) {
  const round = up ? Math.ceil : Math.round;
  const tidy = (/** @type {number} */ x) => Number(x.toFixed(10));
  if (share * 100 >= 0.995 || share <= 0) return `${round(tidy(share * 100))} in 100`;
  return `${Math.max(1, round(tidy(share * 1000)))} in 1,000`;
}

/**
 * The sentence that a threshold promises.
 *
 * @param {Pick<import("./calibration.js").Rate, "expected" | "upper" | "n">} rate
 */
export function promised({ expected, upper, n }) {
  return (
    `About ${inHundred(expected)} good parts rejected; at most ${inHundred(upper, true)} with 95 % ` +
    `confidence; judged from ${counted(n, "part")}.`
  );
}

/**
 * The sentence that a threshold with a guard band promises (padim.decision.verdicts.VerdictRates).
 *
 * @param {import("./calibration.js").Rate} rejected the share of good parts above the band
 * @param {import("./calibration.js").Rate} notAccepted the share above its lower end
 * @param {{ rejectAbove: number, reviewAbove: number }} limits in map units
 */
export function promisedByVerdict(rejected, notAccepted, { rejectAbove, reviewAbove }) {
  return (
    `About ${inHundred(rejected.expected)} good parts rejected (above ${rejectAbove.toFixed(2)}), at most ` +
    `${inHundred(rejected.upper, true)} with 95 % confidence; about ${inHundred(notAccepted.expected)} rejected or in ` +
    `review (above ${reviewAbove.toFixed(2)}), at most ${inHundred(notAccepted.upper, true)}; judged from ` +
    `${counted(rejected.n, "part")}.`
  );
}

/**
 * How the expected shares follow from the counted ones: one more of one more part.
 *
 * @param {import("./calibration.js").Rate} rejected
 * @param {import("./calibration.js").Rate | null} notAccepted null: without a guard band
 */
export function howExpected(rejected, notAccepted) {
  /** @param {import("./calibration.js").Rate} rate */
  const sum = ({ above, n }) => `(${whole.format(above)} + 1) of (${whole.format(n)} + 1)`;
  return (
    `The shares in the table are counted. What to expect allows for the next part: ${sum(rejected)} good parts rejected` +
    (notAccepted ? `, ${sum(notAccepted)} rejected or in review.` : ".")
  );
}

/**
 * A score over the threshold to two decimals, never rounded across it.
 *
 * @param {number} score
 * @param {number} threshold
 */
export function multipleOf(score, threshold) {
  if (threshold <= 0) return "–";
  const exact = score / threshold;
  const cut = (exact > 1 ? Math.ceil(exact * 100) : Math.floor(exact * 100)) / 100;
  return `${cut.toFixed(2)} ×`;
}
