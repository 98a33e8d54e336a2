// @ts-check
// The mask of a level map, and its regions: the same pixels as padim/decision/regions.py finds.

/** @typedef {import("./levels.js").LevelMap} LevelMap */

/**
 * @param {Int32Array} old
 * @param {number} capacity
 */
function grown(old, capacity) {
  const made = new Int32Array(capacity);
  made.set(old);
  return made;
}

/** Horizontal runs of pixels, growing as needed; one such list is reused for all maps. */
export class Runs {
  constructor() {
    this.count = 0;
    this.regions = 0;
    this.rows = new Int32Array(4096);
    this.starts = new Int32Array(4096);
    this.stops = new Int32Array(4096);
    this._parents = new Int32Array(4096);
    this._areas = new Int32Array(4096);
  }

  /** @param {number} capacity */
  _reserve(capacity) {
    this.rows = grown(this.rows, capacity);
    this.starts = grown(this.starts, capacity);
    this.stops = grown(this.stops, capacity);
    this._parents = grown(this._parents, capacity);
    this._areas = grown(this._areas, capacity);
  }

  /**
   * @param {number} row
   * @param {number} start first pixel
   * @param {number} stop pixel after the last one
   */
  push(row, start, stop) {
    const n = this.count;
    if (n === this.rows.length) this._reserve(2 * n);
    this.rows[n] = row;
    this.starts[n] = start;
    this.stops[n] = stop;
    this._parents[n] = n;
    this._areas[n] = stop - start;
    this.count = n + 1;
  }

  /** @param {number} run */
  _root(run) {
    const parents = this._parents;
    while (parents[run] !== run) {
      parents[run] = parents[parents[run]];
      run = parents[run];
    }
    return run;
  }

  /**
   * Note that two runs belong to one region.
   *
   * @param {number} one
   * @param {number} other
   */
  join(one, other) {
    const a = this._root(one);
    const b = this._root(other);
    if (a === b) return;
    this._parents[b] = a;
    this._areas[a] += this._areas[b];
  }

  /**
   * Drop the runs of regions smaller than minArea; count the regions that stay.
   *
   * @param {number} minArea
   */
  keep(minArea) {
    let kept = 0;
    this.regions = 0;
    for (let run = 0; run < this.count; run++) {
      const root = this._root(run);
      if (this._areas[root] < minArea) continue;
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
 * The mask of a map (padim.decision.regions.map_mask): pixels strictly above the threshold, in 8-connected
 * regions of at least minArea pixels, as runs in reading order.
 *
 * @param {LevelMap} map
 * @param {number} threshold
 * @param {number} minArea
 * @param {Runs} runs is overwritten
 */
export function findMask(map, threshold, minArea, runs) {
  const { levels, width, height, rowMax } = map;
  runs.count = 0;
  let aboveBegin = 0;
  let aboveEnd = 0;
  for (let row = 0; row < height; row++) {
    const begin = runs.count;
    if (rowMax[row] > threshold) {
      const first = row * width;
      const end = first + width;
      let i = first;
      for (;;) {
        while (i < end && levels[i] <= threshold) i++;
        if (i === end) break;
        const start = i;
        while (i < end && levels[i] > threshold) i++;
        runs.push(row, start - first, i - first);
      }
      // Runs of neighboring rows touch, by a corner too, unless a whole pixel lies between them.
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
