// @ts-check
// Verdicts: what a score means at a threshold.

/** @typedef {import("./message.js").Verdict} Verdict */

/** @type {Record<Verdict, string>} */
export const VERDICT_WORDS = { accept: "Accept", review: "Review", reject: "Reject" };

/**
 * The verdict of a score (padim.decision.scorer and padim.model).
 *
 * @param {number} score a level
 * @param {number} level the threshold
 * @param {number} band levels to either side of the threshold that call for a second look; 0: none
 * @returns {Verdict}
 */
export function verdictOf(score, level, band) {
  if (band && Math.abs(score - level) <= band) return "review";
  return score > level ? "reject" : "accept";
}

/**
 * How many scores come to which verdict.
 *
 * @param {number[]} scores
 * @param {number} level
 * @param {number} band
 */
export function countVerdicts(scores, level, band) {
  const counts = { accept: 0, review: 0, reject: 0 };
  for (const score of scores) counts[verdictOf(score, level, band)]++;
  return counts;
}
