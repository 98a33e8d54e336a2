// @ts-check
// Levels: the integers that decide. The same arithmetic as padim/decision/anomaly_map.py.

/** @typedef {{ width: number, height: number }} MapSize in map pixels */

export const MAX_LEVEL = 65535;

/** A model's fixed scale between map units and levels (padim.decision.anomaly_map.Quantizer). */
export class Quantizer {
  /** @param {{ offset: number, step: number }} scale */
  constructor({ offset, step }) {
    this.offset = offset;
    this.step = step;
  }

  /** @param {number} level */
  toValue(level) {
    return this.offset + this.step * level;
  }

  /**
   * The nearest level. Rounded half to even, as IEEE 754 and NumPy do: Math.round would send 2.5 to 3.
   *
   * @param {number} value
   */
  toLevel(value) {
    const exact = (value - this.offset) / this.step;
    const below = Math.floor(exact);
    const rest = exact - below;
    const nearest = rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
    return Math.min(MAX_LEVEL, Math.max(0, nearest));
  }
}

/** A level map, with what makes looking through it quick. */
export class LevelMap {
  /**
   * @param {Uint16Array} scores the image score for every smallest region of 1, 2, ... pixels
   * @param {Uint16Array} levels height x width levels, row by row
   * @param {MapSize} size
   */
  constructor(scores, levels, { width, height }) {
    this.scores = scores;
    this.levels = levels;
    this.width = width;
    this.height = height;
    /** The highest level of every row. */
    this.rowMax = new Uint16Array(height);
    for (let row = 0; row < height; row++) {
      let most = 0;
      for (let i = row * width, stop = i + width; i < stop; i++) if (levels[i] > most) most = levels[i];
      this.rowMax[row] = most;
    }
  }

  /**
   * The largest level that a region of minArea pixels reaches; rejected exactly when above the threshold.
   *
   * @param {number} minArea
   */
  score(minArea) {
    return this.scores[Math.min(minArea, this.scores.length) - 1];
  }
}
