// @ts-check
// Levels: the integers that decide. The same arithmetic as padim/decision/anomaly_map.py.

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
   * @param {Uint16Array} levels size x size levels, row by row
   * @param {number} size side of the square map
   */
  constructor(scores, levels, size) {
    this.scores = scores;
    this.levels = levels;
    this.size = size;
    /** The highest level of every row. */
    this.rowMax = new Uint16Array(size);
    for (let row = 0; row < size; row++) {
      let most = 0;
      for (let i = row * size, stop = i + size; i < stop; i++) if (levels[i] > most) most = levels[i];
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
