// @ts-check
// The large images: one, two or four at a time, seen through one window, with a readout of what is pointed at.

import { dataOf, find } from "../dom.js";
import { ImageRow } from "./image_row.js";
import { mapPixelAt } from "./placing.js";
import { Sight } from "./sight.js";
import { multipleOf } from "./words.js";

/** @typedef {import("./levels.js").LevelMap} LevelMap */
/** @typedef {import("./panes.js").PaneKind} PaneKind */
/** @typedef {import("./store.js").Item} Item */

export class ImageRows {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {import("./draft.js").Draft} draft
   * @param {() => void} changed another number of images is wanted
   */
  constructor(root, store, draft, changed) {
    this.store = store;
    this.draft = draft;
    /** @type {ImageRow[]} */
    this.rows = [];
    /** @type {PaneKind | null} the pane that is shown alone */
    this.alone = null;
    this.host = find(root, ".rows", HTMLElement);
    this.readout = find(root, ".readout", HTMLElement);
    this.choices = find(root, ".at-once", HTMLElement);
    const whole = find(root, ".whole", HTMLButtonElement);
    this.sight = new Sight(() => {
      this.look();
      whole.textContent = this.sight.text;
    });
    whole.addEventListener("click", () => this.sight.reset());
    find(root, ".in", HTMLButtonElement).addEventListener("click", () => this.zoom(1.5));
    find(root, ".out", HTMLButtonElement).addEventListener("click", () => this.zoom(1 / 1.5));
    this.choices.addEventListener("click", (event) => {
      const { rows } = dataOf(event);
      if (!rows) return;
      this.setCount(Number(rows));
      changed();
    });
    this.setCount(1);
  }

  /** The row of the image that is chosen. */
  get first() {
    return this.rows[0];
  }

  /** @param {number} count */
  setCount(count) {
    while (this.rows.length > count) this.rows.pop()?.root.remove();
    while (this.rows.length < count) {
      const row = new ImageRow(this.sight, (found) => this._point(found));
      this.rows.push(row);
      this.host.append(row.root);
    }
    this.host.dataset.count = String(count);
    for (const button of this.choices.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.rows) === count));
    }
    this.solo(this.alone);
  }

  /**
   * Show these images, as many as there are rows.
   *
   * @param {Item[]} items
   * @param {(item: Item) => LevelMap | undefined} mapOf
   */
  show(items, mapOf) {
    this.rows.forEach((row, i) => {
      const item = items[i];
      row.root.hidden = !item;
      if (item) row.show(item, mapOf(item) ?? null, this.rows.length > 1);
    });
    this.look();
  }

  /**
   * An image's map has come.
   *
   * @param {Item} item
   * @param {LevelMap} map
   */
  arrived(item, map) {
    for (const row of this.rows) if (row.item === item) row.map = map;
  }

  /** The part of the images seen has changed, or their size on the screen. */
  look() {
    for (const row of this.rows) row.look();
  }

  /**
   * One frame.
   *
   * @param {import("./image_row.js").Drawing} drawing
   */
  draw(drawing) {
    for (const row of this.rows) {
      if (row.root.hidden) continue;
      row.redraw(drawing);
      // For who looks on: which image is drawn, and for which decision.
      row.root.dataset.drawn = row.map ? `${row.item?.id}:${drawing.level}:${drawing.minArea}` : "";
    }
  }

  /**
   * Show one pane alone, or all.
   *
   * @param {PaneKind | null} kind
   */
  solo(kind) {
    this.alone = kind;
    for (const row of this.rows) row.panes.solo(kind);
    this.look();
  }

  /**
   * Zoom about the middle.
   *
   * @param {number} factor
   */
  zoom(factor) {
    this.sight.zoomAt(factor, 0.5, 0.5);
  }

  /**
   * Move the window by steps of about a seventh of what is seen.
   *
   * @param {number} across
   * @param {number} down
   */
  pan(across, down) {
    const { sight } = this;
    const step = 0.15 / sight.zoom;
    sight.set(sight.zoom, sight.x + across * step, sight.y + down * step);
  }

  /** @param {import("./image_row.js").Pointed | null} found */
  _point(found) {
    for (const row of this.rows) row.cross(found);
    this.readout.textContent = found ? this._describe(found) : "";
  }

  /** @param {import("./image_row.js").Pointed} found */
  _describe({ x, y, item, map }) {
    const text = `x ${x}, y ${y}`;
    if (!map) return text;
    const at = mapPixelAt(item, map, x, y);
    if (!at) return `${text} · outside the frame`;
    const { quantizer } = this.store;
    const value = quantizer.toValue(map.levels[at.row * map.width + at.column]);
    return `${text} · ${multipleOf(value, quantizer.toValue(this.draft.now.level))} threshold (${value.toFixed(2)})`;
  }
}
