// @ts-check
// A level map, reduced for drawing heat.

import { sized } from "./paint.js";
import { MARK } from "./scale.js";

/** The box of a map, reduced: every cell keeps its hottest pixel, so nothing hot goes unseen. */
export class SmallMap {
  /**
   * @param {import("./levels.js").LevelMap} map
   * @param {import("./mask_file.js").Box} box
   * @param {number} factor map pixels a cell, each way
   */
  constructor(map, box, factor) {
    this.factor = factor;
    this.box = box;
    this.width = Math.ceil(box.width / factor);
    this.height = Math.ceil(box.height / factor);
    this.levels = new Uint16Array(this.width * this.height);
    for (let y = 0; y < box.height; y++) {
      /** @type {number} */
      const out = Math.floor(y / factor) * this.width;
      const from = (y + box.top) * map.width + box.left;
      for (let x = 0; x < box.width; x++) {
        const at = out + Math.floor(x / factor);
        if (map.levels[from + x] > this.levels[at]) this.levels[at] = map.levels[from + x];
      }
    }
  }

  /**
   * Every level in its color, and where there is a mask its edge.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {Uint32Array} colors by level
   * @param {import("./regions.js").Runs | null} runs the mask
   * @param {import("./paint.js").Scratch} scratch
   */
  draw(canvas, colors, runs, scratch) {
    const { width, height, levels } = this;
    const { image, pixels } = scratch.of(width, height);
    for (let i = 0; i < levels.length; i++) pixels[i] = colors[levels[i]];
    if (runs?.count) this._markEdge(pixels, runs);
    sized(canvas, width, height).putImageData(image, 0, 0);
  }

  /**
   * @param {Uint32Array} pixels
   * @param {import("./regions.js").Runs} runs
   */
  _markEdge(pixels, runs) {
    const { width, height, factor, box } = this;
    const inside = new Uint8Array(pixels.length);
    for (let i = 0; i < runs.count; i++) {
      const first = Math.floor((runs.rows[i] - box.top) / factor) * width;
      const from = Math.floor((runs.starts[i] - box.left) / factor);
      const to = Math.floor((runs.stops[i] - 1 - box.left) / factor);
      inside.fill(1, first + from, first + to + 1);
    }
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (!inside[i]) continue;
        const edge =
          x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
          !inside[i - 1] || !inside[i + 1] || !inside[i - width] || !inside[i + width];
        if (edge) pixels[i] = MARK;
      }
    }
  }
}
