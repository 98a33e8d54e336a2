// @ts-check
// Verdicts: what a score means at a threshold.

/** @typedef {import("./message.js").Verdict} Verdict */

/** @type {Record<Verdict, string>} */
export const VERDICT_WORDS = { accept: "Accept", review: "Review", reject: "Reject" };

/** The two errors of an inspection, as they are named in place of a verdict. */
export const ERROR_WORDS = { false_reject: "False reject", miss: "Missed defect" };

const MAX_LEVEL = 65535;

/**
 * The levels that divide the scores into accepted, in review and rejected.
 *
 * @typedef {object} VerdictLimits
 * @property {number} acceptUpTo the highest level that is accepted; -1: none
 * @property {number} rejectAbove the highest level that is not rejected
 */

/**
 * The limits of the verdicts (padim.decision.guard_band.verdict_limits).
 *
 * @param {number} level the threshold
 * @param {number} band levels to either side of the threshold that call for a second look; 0: none
 * @returns {VerdictLimits}
 */
export function limitsOf(level, band) {
  if (!band) return { acceptUpTo: level, rejectAbove: level };
  return { acceptUpTo: Math.max(0, level - band) - 1, rejectAbove: Math.min(MAX_LEVEL, level + band) };
}

/**
 * The verdict of a score and a displacement (padim.decision.guard_band.VerdictLimits).
 *
 * @param {number} score a level
 * @param {number} level the threshold
 * @param {number} band levels to either side of the threshold that call for a second look; 0: none
 * @param {number} [displaced] the displacement as a level, which has no band
 * @returns {Verdict}
 */
export function verdictOf(score, level, band, displaced = 0) {
  const { acceptUpTo, rejectAbove } = limitsOf(level, band);
  if (score > rejectAbove || displaced > level) return "reject";
  return score > acceptUpTo ? "review" : "accept";
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
