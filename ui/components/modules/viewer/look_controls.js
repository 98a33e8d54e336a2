// @ts-check
// How images are drawn: the strength and colors of the heat, and which layers are shown.

import { element, find } from "../dom.js";
import { paletteOf, Scale } from "./scale.js";

/** @typedef {"contour" | "heatmap" | "mask"} Layer */
/** @typedef {import("./message.js").Look} Look */

export class LookControls {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {(look: Look) => void} chosen called with the look once the user has chosen it
   * @param {() => void} draw in the next frame
   */
  constructor(root, store, chosen, draw) {
    this.store = store;
    this.draw = draw;
    /** @type {Look} */
    this.look = { ...store.message.look };
    this.layers = { contour: true, heatmap: true, mask: false };
    this._scale = new Scale();
    this._palette = { name: "", colors: new Uint8Array(0) };
    const opacity = find(root, ".opacity-slide", HTMLInputElement);
    opacity.value = String(this.look.opacity);
    opacity.addEventListener("input", () => {
      this.look.opacity = opacity.valueAsNumber;
      draw();
    });
    opacity.addEventListener("change", () => chosen(this.look));
    const colormap = find(root, ".colormap", HTMLSelectElement);
    colormap.replaceChildren(...Object.keys(store.message.palettes).map((name) => element("option", {}, name)));
    colormap.value = this.look.colormap;
    colormap.addEventListener("change", () => {
      this.look.colormap = colormap.value;
      draw();
      chosen(this.look);
    });
    /** @param {Layer} layer */
    const box = (layer) => {
      const found = find(root, `[data-layer="${layer}"]`, HTMLInputElement);
      found.addEventListener("change", () => this.toggle(layer, found.checked));
      return found;
    };
    this.boxes = { contour: box("contour"), heatmap: box("heatmap"), mask: box("mask") };
  }

  /**
   * @param {Layer} layer
   * @param {boolean} [on]
   */
  toggle(layer, on = !this.layers[layer]) {
    this.layers[layer] = on;
    this.boxes[layer].checked = on;
    this.draw();
  }

  /**
   * The colors of levels at a threshold; the same object each time.
   *
   * @param {number} level
   */
  scaleAt(level) {
    const { opacity, colormap } = this.look;
    if (this._palette.name !== colormap) {
      this._palette = { name: colormap, colors: paletteOf(this.store.message.palettes[colormap]) };
    }
    this._scale.set(level, this._palette.colors, colormap, opacity);
    return this._scale;
  }
}
