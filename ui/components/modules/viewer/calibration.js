// @ts-check
// Thresholds and what they promise: the same arithmetic as padim/decision/calibration.py.

import { BEYOND, jointLevel } from "./joint.js";
import { MAX_LEVEL } from "./levels.js";
import { verdictOf } from "./verdicts.js";

/**
 * What a threshold promises.
 *
 * @typedef {object} Rate
 * @property {number} above how many of the good parts score above the threshold
 * @property {number} n how many good parts there are
 * @property {number} expected the expected false-reject rate
 * @property {number} upper its upper 95 % bound
 */

/**
 * Which of n sorted scores a percentile is, counted from 1 (padim.decision.calibration.rank).
 *
 * @param {number} permille the percentile in tenths of a percent
 * @param {number} n
 */
export function rank(permille, n) {
  return Math.floor((permille * (n + 1) + 999) / 1000);
}

/**
 * The smallest number of parts that supports a percentile (padim.decision.calibration.parts_needed).
 *
 * @param {number} permille
 * @param {number} [odd] parts that must not determine the threshold, as those that were not found
 */
export function partsNeeded(permille, odd = 0) {
  return Math.ceil((1000 * odd + permille) / (1000 - permille));
}

/**
 * How many of ascending scores lie strictly above a level.
 *
 * @param {Uint16Array} sorted
 * @param {number} level
 */
export function countAbove(sorted, level) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > level) high = middle;
    else low = middle + 1;
  }
  return sorted.length - low;
}

/** The good parts' held-out scores, for every smallest region, with their displacements where these are judged. */
export class HeldOut {
  /**
   * @param {Uint16Array} curves n x areas scores: of every part, for smallest regions of 1, 2, ... pixels
   * @param {number} n parts
   * @param {number[]} upper the 95 % bound of the false-reject rate with 0, 1, ... parts above
   * @param {number[]} [displaced] displacements by part, as levels
   * @param {boolean[]} [unsure] by part, whether it was not found and that calls for review
   */
  constructor(curves, n, upper, displaced = [], unsure = []) {
    this.curves = curves;
    this.n = n;
    this.areas = n ? curves.length / n : 0;
    this.upper = upper;
    this.displaced = displaced;
    this.unsure = unsure;
    this._area = 0;
    this._sorted = new Uint16Array(0);
  }

  /** No good parts: nothing can be promised. */
  static none() {
    return new HeldOut(new Uint16Array(0), 0, []);
  }

  /**
   * The scores of parts that may show in several images each: a part's score is its images' highest.
   *
   * @param {Uint16Array} images by image, its scores for smallest regions of 1, 2, ... pixels
   * @param {{ part: number[], parts: number, upper: number[], displaced?: number[], unsure?: boolean[] }} held
   * @param {number} areas scores an image
   */
  static ofImages(images, { part: parts, parts: n, upper, displaced, unsure }, areas) {
    const curves = new Uint16Array(n * areas);
    parts.forEach((part, i) => {
      for (let a = 0; a < areas; a++) {
        curves[part * areas + a] = Math.max(curves[part * areas + a], images[i * areas + a]);
      }
    });
    return new HeldOut(curves, n, upper, displaced, unsure);
  }

  /**
   * The joint levels of all parts, ascending.
   *
   * @param {number} minArea
   */
  sorted(minArea) {
    if (minArea !== this._area) {
      this._sorted = Uint16Array.from({ length: this.n }, (_, part) => this.joint(part, minArea)).sort();
      this._area = minArea;
    }
    return this._sorted;
  }

  /**
   * The score of one part.
   *
   * @param {number} part
   * @param {number} minArea
   */
  score(part, minArea) {
    return this.curves[part * this.areas + Math.min(minArea, this.areas) - 1];
  }

  /**
   * The joint level of one part, by which the threshold is chosen.
   *
   * @param {number} part
   * @param {number} minArea
   */
  joint(part, minArea) {
    return jointLevel(this.score(part, minArea), this.displaced[part] ?? 0);
  }

  /**
   * The verdict of one part.
   *
   * @param {number} part
   * @param {number} minArea
   * @param {number} level the threshold
   * @param {number} band levels to either side of the threshold that call for a second look; 0: none
   */
  verdict(part, minArea, level, band) {
    const verdict = verdictOf(this.score(part, minArea), level, band, this.displaced[part]);
    return verdict === "accept" && this.unsure[part] ? "review" : verdict;
  }

  /** Whether parts that were not found call for review. */
  get reviewsLost() {
    return this.unsure.some(Boolean);
  }

  /**
   * The shares of good parts by verdict (padim.decision.verdicts.verdict_rates).
   *
   * @param {number} minArea
   * @param {number} level the threshold
   * @param {number} band as above
   * @returns {{ rejected: Rate, notAccepted: Rate }}
   */
  rates(minArea, level, band) {
    let [reject, review] = [0, 0];
    for (let part = 0; part < this.n; part++) {
      const verdict = this.verdict(part, minArea, level, band);
      if (verdict === "reject") reject++;
      else if (verdict === "review") review++;
    }
    return { rejected: this._rate(reject), notAccepted: this._rate(reject + review) };
  }

  /**
   * @param {number} above
   * @returns {Rate}
   */
  _rate(above) {
    return { above, n: this.n, expected: (above + 1) / (this.n + 1), upper: this.upper[above] };
  }

  /**
   * Threshold at a percentile (padim.decision.part_scores.PartScores.threshold).
   *
   * @param {number} permille
   * @param {number} minArea
   */
  threshold(permille, minArea) {
    const sorted = this.sorted(minArea);
    const level = sorted[Math.min(rank(permille, this.n), this.n) - 1];
    if (!this.lost || level < MAX_LEVEL) return level;
    // A part that was not found is above every threshold: the highest of the others stands in.
    const within = this.n - countAbove(sorted, MAX_LEVEL - 1);
    return sorted[(within || this.n) - 1];
  }

  /** The number of parts that were not found, where that is rejected. */
  get lost() {
    return this.displaced.filter((level) => level >= BEYOND).length;
  }

  /**
   * Whether there are parts enough for a percentile, not counting parts that were not found.
   *
   * @param {number} permille
   * @param {number} minArea
   */
  supports(permille, minArea) {
    const place = rank(permille, this.n);
    return place <= this.n && !(this.lost && this.sorted(minArea)[place - 1] >= MAX_LEVEL);
  }

  /**
   * What a level promises, counting joint levels above it (padim.decision.calibration.false_reject_rate).
   *
   * @param {number} level
   * @param {number} minArea
   * @returns {Rate}
   */
  falseRejects(level, minArea) {
    return this._rate(countAbove(this.sorted(minArea), level));
  }

  /**
   * The highest percentile, in tenths, that a threshold with so many parts above stands for.
   *
   * @param {number} above
   */
  permille(above) {
    return Math.min(999, Math.max(1, Math.floor((1000 * (this.n - above)) / (this.n + 1))));
  }
}
