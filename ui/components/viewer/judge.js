// What decides, in integers: the same arithmetic as padim/decision/anomaly_map.py and padim/decision/calibration.py on the same levels.
// Nothing here touches the page.

const MAX_LEVEL = 65535;

/** A model's fixed scale between map units and levels (padim.decision.anomaly_map.Quantizer). */
class Quantizer {
  constructor({ offset, step }) {
    this.offset = offset;
    this.step = step;
  }

  toValue(level) {
    return this.offset + this.step * level;
  }

  /** Rounded half to even, as IEEE 754 and NumPy do: Math.round would send 2.5 to 3. */
  toLevel(value) {
    const exact = (value - this.offset) / this.step;
    const below = Math.floor(exact);
    const rest = exact - below;
    const nearest = rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
    return Math.min(MAX_LEVEL, Math.max(0, nearest));
  }
}

/** A judged map with what makes looking through it quick. */
class JudgedMap {
  /**
   * @param {Uint16Array} scores the image score for every smallest region of 1, 2, ... pixels
   * @param {Uint16Array} levels size x size levels, row by row
   * @param {number} size side of the square map
   */
  constructor(scores, levels, size) {
    this.scores = scores;
    this.levels = levels;
    this.size = size;
    this.rowMax = new Uint16Array(size);
    for (let row = 0; row < size; row++) {
      let most = 0;
      for (let i = row * size, stop = i + size; i < stop; i++) if (levels[i] > most) most = levels[i];
      this.rowMax[row] = most;
    }
  }

  /** The largest level that a region of minArea pixels reaches; rejected exactly when above the threshold. */
  score(minArea) {
    return this.scores[Math.min(minArea, this.scores.length) - 1];
  }
}

/** Horizontal runs of pixels, growing as needed; one such list is reused for all maps. */
class Runs {
  constructor() {
    this.count = 0;
    this.regions = 0;
    this._reserve(4096);
  }

  _reserve(capacity) {
    for (const name of ["rows", "starts", "stops", "parents", "areas"]) {
      const grown = new Int32Array(capacity);
      if (this[name]) grown.set(this[name]);
      this[name] = grown;
    }
  }

  push(row, start, stop) {
    const n = this.count;
    if (n === this.rows.length) this._reserve(2 * n);
    this.rows[n] = row;
    this.starts[n] = start;
    this.stops[n] = stop;
    this.parents[n] = n;
    this.areas[n] = stop - start;
    this.count = n + 1;
  }

  root(run) {
    const parents = this.parents;
    while (parents[run] !== run) {
      parents[run] = parents[parents[run]];
      run = parents[run];
    }
    return run;
  }

  join(one, other) {
    const a = this.root(one);
    const b = this.root(other);
    if (a === b) return;
    this.parents[b] = a;
    this.areas[a] += this.areas[b];
  }

  /** Drop the runs of regions smaller than minArea; count the regions that stay. */
  keep(minArea) {
    let kept = 0;
    this.regions = 0;
    for (let run = 0; run < this.count; run++) {
      const root = this.root(run);
      if (this.areas[root] < minArea) continue;
      if (root === run) this.regions++;
      // Written behind the reading position: rows, starts and stops are needed no more, roots still are.
      this.rows[kept] = this.rows[run];
      this.starts[kept] = this.starts[run];
      this.stops[kept] = this.stops[run];
      kept++;
    }
    this.count = kept;
  }
}

/**
 * The mask of a map (padim.decision.regions.map_mask): pixels strictly above the threshold, in 8-connected regions of at
 * least minArea pixels, as runs in reading order.
 */
function findMask(map, threshold, minArea, runs) {
  const { levels, size, rowMax } = map;
  runs.count = 0;
  let aboveBegin = 0;
  let aboveEnd = 0;
  for (let row = 0; row < size; row++) {
    const begin = runs.count;
    if (rowMax[row] > threshold) {
      const first = row * size;
      const end = first + size;
      let i = first;
      for (;;) {
        while (i < end && levels[i] <= threshold) i++;
        if (i === end) break;
        const start = i;
        while (i < end && levels[i] > threshold) i++;
        runs.push(row, start - first, i - first);
      }
      // Runs of neighbouring rows touch, by a corner too, unless a whole pixel lies between them.
      const { starts, stops } = runs;
      for (let run = begin, above = aboveBegin; run < runs.count; run++) {
        while (above < aboveEnd && stops[above] < starts[run]) above++;
        for (let other = above; other < aboveEnd && starts[other] <= stops[run]; other++) runs.join(other, run);
      }
    }
    aboveBegin = begin;
    aboveEnd = runs.count;
  }
  runs.keep(minArea);
  return runs;
}

/** Which of n sorted scores a percentile is, counted from 1 (padim.decision.calibration.rank). */
function rank(permille, n) {
  return Math.floor((permille * (n + 1) + 999) / 1000);
}

/** The smallest number of parts that supports a percentile. */
function partsNeeded(permille) {
  return Math.ceil(permille / (1000 - permille));
}

/** How many of ascending scores lie strictly above a level. */
function countAbove(sorted, level) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > level) high = middle;
    else low = middle + 1;
  }
  return sorted.length - low;
}

/** The good parts' held-out scores, for every smallest region. */
class HeldOut {
  /**
   * @param {Uint16Array} curves n x areas scores: of every part, for smallest regions of 1, 2, ... pixels
   * @param {number} n parts
   * @param {number[]} upper the 95 % bound of the false-reject rate with 0, 1, ... n parts above
   */
  constructor(curves, n, upper) {
    this.curves = curves;
    this.n = n;
    this.areas = n ? curves.length / n : 0;
    this.upper = upper;
    this._area = 0;
    this._sorted = new Uint16Array(0);
  }

  sorted(minArea) {
    if (minArea !== this._area) {
      const at = Math.min(minArea, this.areas) - 1;
      this._sorted = Uint16Array.from({ length: this.n }, (_, i) => this.curves[i * this.areas + at]).sort();
      this._area = minArea;
    }
    return this._sorted;
  }

  /** The score of one part. */
  score(part, minArea) {
    return this.curves[part * this.areas + Math.min(minArea, this.areas) - 1];
  }

  /** Threshold at a percentile (padim.decision.calibration.image_threshold). */
  threshold(permille, minArea) {
    const sorted = this.sorted(minArea);
    return sorted[Math.min(rank(permille, this.n), this.n) - 1];
  }

  /** What a threshold promises (padim.decision.calibration.false_reject_rate). */
  falseRejects(level, minArea) {
    const above = countAbove(this.sorted(minArea), level);
    return { above, n: this.n, expected: (above + 1) / (this.n + 1), upper: this.upper[above] };
  }

  /** The highest percentile, in tenths, that a threshold with so many parts above stands for. */
  permille(above) {
    return Math.min(999, Math.max(1, Math.floor((1000 * (this.n - above)) / (this.n + 1))));
  }
}
