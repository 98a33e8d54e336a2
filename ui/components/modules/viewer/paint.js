// @ts-check
// From runs to pixels and outlines on a canvas.

import { contextOf } from "../dom.js";

/** @typedef {import("./mask_file.js").Box} Box */
/** @typedef {import("./regions.js").Runs} Runs */

/** Scratch images, one of every size asked for: all drawing goes through them one after another. */
export class Scratch {
  constructor() {
    /** @type {Map<string, { image: ImageData, pixels: Uint32Array }>} */
    this._bySize = new Map();
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  of(width, height) {
    const key = `${width}x${height}`;
    let found = this._bySize.get(key);
    if (!found) {
      const image = new ImageData(width, height);
      found = { image, pixels: new Uint32Array(image.data.buffer) };
      this._bySize.set(key, found);
    }
    return found;
  }
}

/** @type {WeakMap<HTMLCanvasElement, CanvasRenderingContext2D>} */
const contexts = new WeakMap();

/**
 * The canvas's context, its bitmap of that size; setting a size clears it, so only when it differs.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  let context = contexts.get(canvas);
  if (!context) contexts.set(canvas, (context = contextOf(canvas)));
  return context;
}

/**
 * Draw a mask: its pixels in one color, the others in another.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Runs} runs
 * @param {import("./levels.js").MapSize} size of the map
 * @param {Box} box the part of the map to draw
 * @param {number} on
 * @param {number} off
 * @param {Scratch} scratch
 */
export function paintMask(canvas, runs, { width, height }, box, on, off, scratch) {
  const { image, pixels } = scratch.of(width, height);
  pixels.fill(off);
  const { rows, starts, stops } = runs;
  for (let i = 0; i < runs.count; i++) {
    const first = rows[i] * width;
    pixels.fill(on, first + starts[i], first + stops[i]);
  }
  sized(canvas, box.width, box.height).putImageData(image, -box.left, -box.top);
}

/**
 * The outline of a mask along its pixels' edges, in map pixels counted from the box's corner.
 *
 * @param {Runs} runs
 * @param {Box} box
 */
export function outline(runs, box) {
  const path = new Path2D();
  const { rows, starts, stops, count } = runs;
  const level = (/** @type {number} */ y, /** @type {number} */ from, /** @type {number} */ to) => {
    path.moveTo(from - box.left, y - box.top);
    path.lineTo(to - box.left, y - box.top);
  };
  let above = 0; // first run of the row above the one looked at
  let begin = 0;
  while (begin < count) {
    const row = rows[begin];
    let end = begin;
    while (end < count && rows[end] === row) {
      for (const x of [starts[end], stops[end]]) {
        path.moveTo(x - box.left, row - box.top);
        path.lineTo(x - box.left, row + 1 - box.top);
      }
      end++;
    }
    const adjacent = begin > above && rows[above] === row - 1;
    const aboveRange = adjacent ? { from: above, to: begin } : { from: begin, to: begin };
    differing(starts, stops, { from: begin, to: end }, aboveRange, (from, to) => level(row, from, to));
    // Nothing below: the whole row ends here.
    if (end === count || rows[end] !== row + 1) {
      for (let i = begin; i < end; i++) level(row + 1, starts[i], stops[i]);
    }
    above = begin;
    begin = end;
  }
  return path;
}

/**
 * The border of a whole map, in map pixels.
 *
 * @param {Box} box
 */
export function frameOf({ width, height }) {
  const path = new Path2D();
  path.rect(0, 0, width, height);
  return path;
}

/**
 * Call emit for the stretches that lie in just one of two ranges of runs.
 *
 * @param {Int32Array} starts
 * @param {Int32Array} stops
 * @param {{ from: number, to: number }} one
 * @param {{ from: number, to: number }} other
 * @param {(from: number, to: number) => void} emit
 */
export function differing(starts, stops, { from: a, to: b }, { from: c, to: d }, emit) {
  let x = 0;
  let inOne = false;
  let inOther = false;
  while (a < b || c < d) {
    const one = a < b ? (inOne ? stops[a] : starts[a]) : Infinity;
    const other = c < d ? (inOther ? stops[c] : starts[c]) : Infinity;
    const at = Math.min(one, other);
    if (inOne !== inOther && at > x) emit(x, at);
    if (one === at) {
      if (inOne) a++;
      inOne = !inOne;
    }
    if (other === at) {
      if (inOther) c++;
      inOther = !inOther;
    }
    x = at;
  }
}
