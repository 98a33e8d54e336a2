// @ts-check
// The arithmetic of the histogram: which levels it spans, how many scores fall in which bin, where a level lies.

import { MAX_LEVEL } from "./levels.js";

/** @typedef {import("./message.js").Group} Group */
/** @typedef {Record<Group, number[]>} ScoresByGroup levels by what they are of */

export const BINS = 60;

/**
 * What there is to count; the bars of a bin stand on each other, the last of these at the bottom.
 *
 * @type {[Group, string][]}
 */
export const GROUP_TITLES = [
  ["unknown", "Not labelled"],
  ["defect", "Defects"],
  ["good", "Good parts, tested"],
  ["kept", "Good parts, excluded from the fit"],
  ["normal", "Good parts, each judged without itself"],
];

/**
 * The levels at the edges: from below everything to above the good parts, and as far as 2.5 times their highest
 * score where tested images score that high. What lies beyond is counted in the outermost bins.
 *
 * @param {ScoresByGroup} scores
 * @param {number} level the threshold
 * @param {number | null} saved the threshold in use
 * @returns {[number, number]}
 */
export function spanOf(scores, level, saved) {
  // A part that was not found lies beyond every span.
  const held = [...scores.normal, ...scores.kept].filter((score) => score < MAX_LEVEL);
  const good = Math.max(1, ...held, saved ?? 0, level);
  const tests = Math.max(0, ...scores.good, ...scores.defect, ...scores.unknown);
  const least = Math.min(good, ...Object.values(scores).flat(), saved ?? good, level);
  return [
    Math.floor(0.85 * least),
    Math.min(MAX_LEVEL, Math.ceil(1.08 * Math.max(good, Math.min(tests, 2.5 * good)))),
  ];
}

/**
 * How many scores fall in which of the bins between two levels. Integers until the last division, which rounds no
 * score on the border of two bins into the wrong one.
 *
 * @param {number[]} scores
 * @param {number} low
 * @param {number} top
 */
export function binned(scores, low, top) {
  const bins = new Array(BINS).fill(0);
  for (const level of scores) {
    bins[Math.max(0, Math.min(BINS - 1, Math.floor((BINS * (level - low)) / (top - low))))]++;
  }
  return bins;
}

/** Where levels lie on an axis of so many pixels. */
export class Axis {
  /**
   * @param {number} low the level at the left edge
   * @param {number} top the level at the right edge
   * @param {number} left pixels before the left edge
   * @param {number} inner pixels from edge to edge
   */
  constructor(low, top, left, inner) {
    this.low = low;
    this.top = Math.max(low + 1, top);
    this.left = left;
    this.inner = inner;
  }

  /** Levels from edge to edge. */
  get span() {
    return this.top - this.low;
  }

  /**
   * The level at a place, which is a threshold: never the highest level, which nothing could exceed.
   *
   * @param {number} x
   */
  levelAt(x) {
    const share = Math.min(1, Math.max(0, (x - this.left) / this.inner));
    return Math.min(MAX_LEVEL - 1, Math.round(this.low + share * this.span));
  }

  /** @param {number} level */
  xOf(level) {
    return this.left + Math.min(1, Math.max(0, (level - this.low) / this.span)) * this.inner;
  }
}
