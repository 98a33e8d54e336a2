// @ts-check
// One image large: original, heatmap, mask and overlay, zoomed and moved together.

import { element } from "../dom.js";
import { drawContour } from "./contour.js";
import { library } from "./library.js";
import { frameOf, outline, paintMask, sized } from "./paint.js";
import { Panes } from "./panes.js";
import { sharesOf } from "./placing.js";
import { findMask } from "./regions.js";
import { BLACK, MARK, WHITE } from "./scale.js";
import { listenForSight, shownRatio } from "./sight.js";
import { SmallMap } from "./small_map.js";

/** @typedef {import("./levels.js").LevelMap} LevelMap */
/** @typedef {import("./store.js").Item} Item */

/**
 * What everything is drawn for.
 *
 * @typedef {object} Drawing
 * @property {number} level the threshold
 * @property {number} minArea
 * @property {import("./scale.js").Scale} scale
 * @property {import("./regions.js").Runs} runs
 * @property {import("./paint.js").Scratch} scratch
 * @property {{ contour: boolean, heatmap: boolean, mask: boolean }} layers which of them are shown
 * @property {LevelMap | null} region of interest, as a map of ones and zeros; null: everywhere
 */

/**
 * What lies under the pointer: a pixel of the image, and its place in the panes.
 *
 * @typedef {{ x: number, y: number, u: number, v: number, item: Item, map: LevelMap | null }} Pointed
 */

const HEAT_SIDE = 256; // maps with a longer side have their heat drawn at half their size

export class ImageRow {
  /**
   * @param {import("./sight.js").Sight} sight shared by all rows
   * @param {(found: Pointed | null) => void} pointed called with what lies under the pointer
   */
  constructor(sight, pointed) {
    this.sight = sight;
    this.pointed = pointed;
    /** @type {Item | null} */
    this.item = null;
    /** @type {LevelMap | null} */
    this.map = null;
    /** Regions of the mask that was last drawn. */
    this.regions = 0;
    this.name = element("span", { class: "row-name" });
    this.panes = new Panes();
    this.grid = this.panes.grid;
    for (const pane of this.panes.all) listenForSight(pane.frame, this.grid, sight, (at) => this._point(at));
    this.root = element("div", { class: "row" }, this.name, this.grid);
    /** @type {Path2D | null} outline of the mask */
    this.path = null;
    /** @type {Path2D | null | undefined} outline of the region of interest; undefined: not yet known */
    this.border = undefined;
    /** @type {LevelMap | null} what the outline is of */
    this.region = null;
    /** @type {[number, number]} pixels of the overlay's frame */
    this.seen = [0, 0];
    /** @type {string | null} */
    this._fullUrl = null;
    this._gradient = "";
    /** @type {{ map: LevelMap, small: SmallMap } | null} */
    this._heat = null;
  }

  /** @param {{ u: number, v: number } | null} at a place in the pane */
  _point(at) {
    const { item, sight, map } = this;
    if (!at) return this.pointed(null);
    if (!item) return;
    const { u, v } = at;
    const x = Math.min(item.width - 1, Math.floor((sight.x + u / sight.zoom) * item.width));
    const y = Math.min(item.height - 1, Math.floor((sight.y + v / sight.zoom) * item.height));
    this.pointed({ x, y, u, v, item, map });
  }

  /**
   * A cross at the same place in every pane; null takes it away.
   *
   * @param {{ u: number, v: number } | null} at
   */
  cross(at) {
    this.grid.classList.toggle("pointed", at !== null);
    if (!at) return;
    this.grid.style.setProperty("--u", String(at.u));
    this.grid.style.setProperty("--v", String(at.v));
  }

  /**
   * Show an image; its map may come later.
   *
   * @param {Item} item
   * @param {LevelMap | null} map
   * @param {boolean} titled whether its name stands above it
   */
  show(item, map, titled) {
    const other = this.item !== item;
    const full = item.full !== this._fullUrl || other;
    this.item = item;
    if (other) this.border = undefined; // another image may lie elsewhere in the map
    this.map = map;
    this.name.textContent = titled ? item.name : "";
    this.grid.style.setProperty("--ratio", String(shownRatio(item)));
    this.grid.classList.toggle("wide", item.width > 2.2 * item.height);
    for (const { frame, title } of this.panes.all) frame.setAttribute("aria-label", `${title} of ${item.name}`);
    if (other) this._drawImage(item);
    if (full) this._loadFull(item);
  }

  /** @param {Item} item */
  async _drawImage(item) {
    for (const canvas of this.panes.originals) sized(canvas, 1, 1).clearRect(0, 0, 1, 1);
    if (!item.image) return;
    const image = new Image();
    try {
      image.src = await library.image(item.image);
      await image.decode();
    } catch {
      return; // the maps can be looked at all the same
    }
    if (this.item !== item) return;
    for (const canvas of this.panes.originals) {
      sized(canvas, image.naturalWidth, image.naturalHeight).drawImage(image, 0, 0);
    }
    this.root.dataset.image = item.id;
  }

  /** @param {Item} item */
  _loadFull(item) {
    this._fullUrl = item.full;
    for (const full of this.panes.fulls) {
      full.hidden = true;
      if (!item.full) {
        full.removeAttribute("src");
        continue;
      }
      full.onload = () => (full.hidden = false);
      full.src = new URL(item.full, document.baseURI).href;
    }
  }

  /**
   * Draw heat, mask and outline for a threshold: all that happens while dragging.
   *
   * @param {Drawing} drawing
   */
  redraw({ level, minArea, scale, runs, scratch, layers, region }) {
    const { map, item, panes } = this;
    if (this._gradient !== scale.gradient) panes.bar.style.background = this._gradient = scale.gradient;
    for (const pane of [panes.of.heatmap, panes.of.mask, panes.of.overlay]) {
      pane.figure.classList.toggle("waiting", !map || Boolean(item?.lost)); // not found: nothing was scored
    }
    if (!map || !item) {
      this.path = null;
      this._strokeContour();
      return;
    }
    const { box } = item;
    if (this.region !== region || this.border === undefined) {
      this.region = region;
      this.border = region ? outline(findMask(region, 0, 1, runs), box) : item.placement ? frameOf(box) : null;
    }
    findMask(map, level, minArea, runs);
    this.regions = runs.regions;
    panes.heatOver.hidden = !layers.heatmap;
    panes.maskOver.hidden = !layers.mask;
    const heat = this._heatOf(map, item);
    if (!panes.of.heatmap.hidden) heat.draw(panes.heatmap, scale.solid, null, scratch);
    if (!panes.of.mask.hidden) paintMask(panes.mask, runs, map, box, WHITE, BLACK, scratch);
    if (panes.of.overlay.hidden) return;
    if (layers.heatmap) heat.draw(panes.heatOver, scale.heat, null, scratch);
    if (layers.mask) paintMask(panes.maskOver, runs, map, box, MARK, 0, scratch);
    this.path = layers.contour ? outline(runs, box) : null;
    this._strokeContour();
  }

  /**
   * Heat is smooth: of large maps it is drawn at half their size, which looks the same. The mask never is.
   *
   * @param {LevelMap} map
   * @param {Item} item
   */
  _heatOf(map, item) {
    if (this._heat?.map !== map) {
      this._heat = { map, small: new SmallMap(map, item.box, Math.max(map.width, map.height) > HEAT_SIDE ? 2 : 1) };
    }
    return this._heat.small;
  }

  /** The part of the image seen has changed, or its size on the screen. */
  look() {
    const { panes, grid, item } = this;
    // Read once here: asked for in every frame, the browser would lay out the page in the middle of drawing.
    const { frame } = panes.of.overlay;
    this.seen = [frame.clientWidth, frame.clientHeight];
    if (item) this.panes.place(item);
    const { zoom, x, y } = this.sight;
    grid.style.setProperty("--zoom", String(zoom));
    grid.style.setProperty("--x", String(x));
    grid.style.setProperty("--y", String(y));
    grid.classList.toggle("zoomed", zoom > 1);
    const shown = panes.fulls[0].hidden ? panes.originals[0].width : item?.width;
    const width = panes.of.original.frame.clientWidth || frame.clientWidth;
    // Hard pixels only where they are enlarged: shrunk by leaving pixels out, small regions would vanish.
    grid.classList.toggle("hard-mask", item !== null && width * zoom >= columnsAcross(item));
    grid.classList.toggle("hard", Boolean(shown) && (width * zoom) / Number(shown) > 3);
    this._strokeContour();
  }

  _strokeContour() {
    if (this.panes.of.overlay.hidden || !this.item) return;
    const view = { seen: this.seen, sight: this.sight, shares: sharesOf(this.item) };
    drawContour(this.panes.contour, view, this.border ?? null, this.path);
  }
}

/**
 * How many map pixels lie side by side across an image.
 *
 * @param {Item} item
 */
function columnsAcross(item) {
  const [a, b] = sharesOf(item);
  return 1 / Math.hypot(a, b);
}
