// @ts-check
// Numbers in words: the same sentences as padim/text.py and padim/decision/promise.py write.

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
 * A share in percent: "17 %", or "0.4 %" below one; half up, and up for a bound (padim.text.percent).
 *
 * @param {number} share
 * @param {boolean} [up]
 */
export function percent(share, up = false) {
  const round = up ? Math.ceil : Math.round;
  const tidy = (/** @type {number} */ x) => Number(x.toFixed(10));
  if (share * 100 >= 0.995 || share <= 0) return `${round(tidy(share * 100))} %`;
  return `${(Math.max(1, round(tidy(share * 1000))) / 10).toFixed(1)} %`;
}

/** @param {Pick<import("./calibration.js").Rate, "expected" | "upper">} rate */
const shares = ({ expected, upper }) => `${percent(expected)}, at most ${percent(upper, true)} with 95 % confidence`;

/**
 * The sentence that a threshold promises (padim.decision.promise.promise).
 *
 * @param {import("./calibration.js").Rate} rate
 */
export function promised(rate) {
  const { above, n } = rate;
  return (
    `Expected false rejects (overkill) ${shares(rate)}, from ${counted(n, "part")}; ` +
    `in this sample ${whole.format(above)} of ${whole.format(n)}.`
  );
}

/**
 * The sentence that a threshold with a guard band promises (padim.decision.promise.promise_by_verdict).
 *
 * @param {import("./calibration.js").Rate} rejected the share of good parts above the band
 * @param {import("./calibration.js").Rate} notAccepted the share above its lower end
 * @param {{ rejectAbove: number, reviewAbove: number }} limits in map units
 */
export function promisedByVerdict(rejected, notAccepted, { rejectAbove, reviewAbove }) {
  return (
    `Expected false rejects (overkill, above ${rejectAbove.toFixed(2)}) ${shares(rejected)}, from ` +
    `${counted(rejected.n, "part")}; in this sample ${whole.format(rejected.above)} of ${whole.format(rejected.n)}. ` +
    `${labor(notAccepted.above - rejected.above, rejected.n)}; rejected or in review (above ` +
    `${reviewAbove.toFixed(2)}) ${percent(notAccepted.expected)}, at most ${percent(notAccepted.upper, true)}.`
  );
}

/**
 * The review as labor (padim.decision.promise.labor).
 *
 * @param {number} review good parts in review
 * @param {number} n good parts
 */
export function labor(review, n) {
  return (
    `Review: about ${inHundred((review + 1) / (n + 1))} good parts go to a person, ` +
    `in this sample ${whole.format(review)} of ${whole.format(n)}`
  );
}

/**
 * An area of the map in pixels of the image, and in mm² where their size is known (Resolution.region_text).
 *
 * @param {number} area map pixels
 * @param {number} perPixel original pixels that a map pixel shows
 * @param {number | null} mm side of an original pixel
 */
export function areaInImage(area, perPixel, mm) {
  const short = (/** @type {number} */ n) => (n < 100 ? String(Number(n.toPrecision(2))) : whole.format(Math.round(n)));
  const pixels = area * perPixel;
  return `${short(pixels)} px² of the image${mm ? `, ${short(pixels * mm * mm)} mm²` : ""}`;
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
