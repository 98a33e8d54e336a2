// @ts-check
// The elements of an image's four panes: original, heatmap, mask and overlay.

import { element, svgElement } from "../dom.js";
import { onScreen, sharesOf } from "./placing.js";

/** @typedef {"original" | "heatmap" | "mask" | "overlay"} PaneKind */

/** @type {[PaneKind, string][]} */
export const PANES = [
  ["original", "Original"],
  ["heatmap", "Heatmap"],
  ["mask", "Mask"],
  ["overlay", "Overlay"],
];

/** One pane: canvases on top of each other in a frame, with its caption. */
export class Pane {
  /**
   * @param {PaneKind} kind
   * @param {string} title
   * @param {HTMLCanvasElement[]} layers bottom first
   * @param {HTMLImageElement | null} full the image as it came, above the lowest layer
   */
  constructor(kind, title, layers, full = null) {
    this.kind = kind;
    this.title = title;
    this.stage = element("div", { class: "stage" }, ...layers);
    if (full) layers[0].after(full);
    this.cross = element("div", { class: "cross" });
    this.frame = element("div", { class: "frame", tabindex: 0, role: "img" }, this.stage, this.cross);
    this.caption = element("figcaption", {}, title, enlarge(kind, title));
    this.figure = element("figure", { class: `pane ${kind}` }, this.frame, this.caption);
  }

  get hidden() {
    return this.figure.hidden;
  }
}

/**
 * The button that shows a pane alone on the whole screen.
 *
 * @param {PaneKind} kind
 * @param {string} title
 */
function enlarge(kind, title) {
  const sign = svgElement("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  sign.append(svgElement("path", { d: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" }));
  const name = `${title}, full screen`;
  const attributes = { type: "button", class: "enlarge", "data-enlarge": kind, "aria-label": name };
  return element("button", { ...attributes, title: `${title} alone, full screen; Escape leads back` }, sign);
}

/** @param {string} name */
const canvas = (name) => element("canvas", { class: name });
const fullImage = () => element("img", { class: "full", alt: "" });

/** The four panes of one image, and their canvases by what is drawn on them. */
export class Panes {
  constructor() {
    this.originals = [canvas("original"), canvas("original")];
    this.fulls = [fullImage(), fullImage()];
    this.heatmap = canvas("heat");
    this.mask = canvas("mask");
    this.heatOver = canvas("heat");
    this.maskOver = canvas("mask");
    this.contour = canvas("contour");
    /** The color scale's bar. */
    this.bar = element("i", { class: "bar-of-colors" });
    const layers = {
      original: [this.originals[0]],
      heatmap: [this.heatmap],
      mask: [this.mask],
      overlay: [this.originals[1], this.heatOver, this.maskOver],
    };
    const full = { original: this.fulls[0], heatmap: null, mask: null, overlay: this.fulls[1] };
    const [original, heatmap, mask, overlay] = PANES.map(
      ([kind, title]) => new Pane(kind, title, layers[kind], full[kind]),
    );
    this.of = { original, heatmap, mask, overlay };
    this.all = [original, heatmap, mask, overlay];
    overlay.cross.before(this.contour);
    heatmap.caption.append(this._legend());
    this.grid = element("div", { class: "panes" }, ...this.all.map((pane) => pane.figure));
  }

  /** The color scale: the same for every image, with the threshold in its middle. */
  _legend() {
    const title = "The threshold is always the middle of the scale, for every image alike.";
    return element("span", { class: "legend", title }, "0", this.bar, "2 × threshold");
  }

  /**
   * Lay the maps' canvases where the part lies; over the whole image where it is not located.
   *
   * @param {import("./placing.js").Placed} image
   */
  place(image) {
    const located = image.placement !== null;
    this.grid.classList.toggle("placed", located);
    const frame = this.all.find((pane) => !pane.hidden)?.frame;
    const matrix = located && frame ? onScreen(sharesOf(image), frame.clientWidth, frame.clientHeight) : null;
    for (const map of [this.heatmap, this.mask, this.heatOver, this.maskOver]) {
      // The canvas itself has a pixel for every map pixel, or heat for every few of them.
      map.style.width = matrix ? `${image.box.width}px` : "";
      map.style.height = matrix ? `${image.box.height}px` : "";
      map.style.transform = matrix ? `matrix(${matrix.join(",")})` : "";
    }
  }

  /**
   * Show one pane alone, or all.
   *
   * @param {PaneKind | null} kind
   */
  solo(kind) {
    for (const pane of this.all) pane.figure.hidden = kind !== null && pane.kind !== kind;
    this.grid.classList.toggle("one", kind !== null);
  }
}
