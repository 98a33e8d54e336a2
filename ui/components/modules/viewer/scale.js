// @ts-check
// Colors of levels. They lie on the scale that the threshold fixes (padim.output.render).

import { MAX_LEVEL } from "./levels.js";

/** @type {[number, number, number]} padim.output.render.CONTOUR_COLOR */
const CONTOUR = [0, 229, 255];
export const CONTOUR_STYLE = `rgb(${CONTOUR})`;
export const HALO = "rgba(16, 20, 24, 0.85)";

/**
 * A pixel as canvases have it in memory.
 *
 * @param {number} r
 * @param {number} g
 * @param {number} b
 * @param {number} [a]
 */
const pixel = (r, g, b, a = 255) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
export const BLACK = pixel(0, 0, 0);
export const WHITE = pixel(255, 255, 255);
export const MARK = pixel(...CONTOUR);

/** Colors of levels for one threshold: opaque, and as heat whose weight rises to the opacity at the threshold. */
export class Scale {
  constructor() {
    this.solid = new Uint32Array(MAX_LEVEL + 1);
    this.heat = new Uint32Array(MAX_LEVEL + 1);
    this.none = new Uint32Array(MAX_LEVEL + 1);
    this.gradient = "";
    this._key = "";
    this._name = "";
  }

  /**
   * @param {number} threshold
   * @param {Uint8Array} colors 256 x 3, bottom first
   * @param {string} name of the colors
   * @param {number} opacity
   */
  set(threshold, colors, name, opacity) {
    const key = `${name}:${threshold}:${opacity}`;
    if (key === this._key) return;
    this._key = key;
    if (name !== this._name) {
      this._name = name;
      const stops = Array.from({ length: 18 }, (_, i) => `rgb(${colors.subarray(3 * 15 * i, 3 * 15 * i + 3)})`);
      this.gradient = `linear-gradient(to right, ${stops})`;
    }
    const solid = new Uint32Array(256);
    const heat = new Uint32Array(256);
    for (let step = 0; step < 256; step++) {
      const [r, g, b] = colors.subarray(3 * step, 3 * step + 3);
      solid[step] = pixel(r, g, b);
      heat[step] = pixel(r, g, b, Math.round(255 * opacity * Math.min(1, step / 128) ** 3));
    }
    // Step s begins at the smallest level with (255 * level + T) // (2 * T) >= s.
    const begin = (/** @type {number} */ step) =>
      Math.min(MAX_LEVEL + 1, Math.ceil(((2 * step - 1) * threshold) / 255));
    for (let step = 1; step < 256; step++) {
      const from = threshold === 0 ? 1 : begin(step);
      const to = step === 255 ? MAX_LEVEL + 1 : threshold === 0 ? 1 : begin(step + 1);
      this.solid.fill(solid[step], from, to);
      this.heat.fill(heat[step], from, to);
    }
    const cold = threshold === 0 ? 1 : begin(1);
    this.solid.fill(solid[0], 0, cold);
    this.heat.fill(heat[0], 0, cold);
  }
}

/**
 * The 256 x 3 bytes of a palette.
 *
 * @param {string} text in base 64
 */
export function paletteOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
