// @ts-check
// All images as small multiples. Only tiles within sight exist.

import { element } from "../dom.js";
import { library } from "./library.js";
import { sized } from "./paint.js";
import { drawPlaced } from "./placed_tile.js";
import { findMask } from "./regions.js";
import { shownRatio } from "./sight.js";
import { SmallMap } from "./small_map.js";

/** @typedef {import("./levels.js").LevelMap} LevelMap */
/** @typedef {import("./store.js").Item} Item */
/** @typedef {{ verdict: string, note: string, label: string | null, error: string | null }} TileText written on a tile */

/**
 * @typedef {object} Tile
 * @property {HTMLElement} root
 * @property {HTMLCanvasElement} heat
 * @property {HTMLElement} note
 * @property {Item} item
 * @property {boolean} seen whether it is in the window
 * @property {TileText | null} text written on it now
 */

const TILE = { image: 132, caption: 42, gap: 10 };
const PITCH = TILE.image + TILE.caption + TILE.gap;
const SMALL_SIDE = 128;

export class Gallery {
  /**
   * @param {HTMLElement} host scrolls
   * @param {(item: Item) => void} opened a tile was chosen
   * @param {() => void} scrolled other tiles are in sight
   */
  constructor(host, opened, scrolled) {
    this.host = host;
    this.opened = opened;
    this.scrolled = scrolled;
    this.inner = element("div", { class: "inner", role: "list" });
    host.replaceChildren(this.inner);
    this.columns = 1;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, Tile>} by the image's id */
    this.tiles = new Map();
    /** @type {WeakMap<Element, Tile>} */
    this._byRoot = new WeakMap();
    /** Where the map of a located part is drawn before it is turned. */
    this._flat = document.createElement("canvas");
    /** @type {WeakMap<LevelMap, SmallMap>} */
    this._small = new WeakMap();
    /** @type {string | null} */
    this.active = null;
    host.addEventListener("scroll", () => this.layOut(), { passive: true });
    // What lies outside the window is not drawn until it comes into sight.
    this._watch = new IntersectionObserver((changes) => {
      for (const change of changes) {
        const tile = this._byRoot.get(change.target);
        if (tile) tile.seen = change.isIntersecting;
      }
      this.scrolled();
    });
  }

  dispose() {
    this._watch.disconnect();
  }

  /** @param {Item[]} items */
  setItems(items) {
    this.items = items;
    this.layOut();
  }

  /**
   * @param {string | null} id
   * @param {boolean} follow whether to scroll it into sight
   */
  setActive(id, follow) {
    this.active = id;
    for (const [other, tile] of this.tiles) mark(tile.root, other === id);
    const at = this.items.findIndex((item) => item.id === id);
    if (!follow || at < 0) return;
    const top = Math.floor(at / this.columns) * PITCH;
    const { scrollTop, clientHeight } = this.host;
    if (top < scrollTop) this.host.scrollTop = top;
    else if (top + PITCH > scrollTop + clientHeight) this.host.scrollTop = top + PITCH - clientHeight;
  }

  /** Make the tiles in sight, drop the others. */
  layOut() {
    const width = this.host.clientWidth;
    if (!width) return;
    this.columns = Math.max(1, Math.floor((width + TILE.gap) / (TILE.image + TILE.gap)));
    const wide = (width - (this.columns - 1) * TILE.gap) / this.columns;
    const rows = Math.ceil(this.items.length / this.columns);
    this.inner.style.height = `${Math.max(0, rows * PITCH - TILE.gap)}px`;
    const first = Math.max(0, Math.floor(this.host.scrollTop / PITCH) - 1) * this.columns;
    const last = (Math.ceil((this.host.scrollTop + this.host.clientHeight) / PITCH) + 1) * this.columns;
    const seen = this.items.slice(first, last);
    this._drop(new Set(seen.map((item) => item.id)));
    seen.forEach((item, i) => {
      const { root } = this.tiles.get(item.id) ?? this._tile(item);
      const at = first + i;
      const left = (at % this.columns) * (wide + TILE.gap);
      const top = Math.floor(at / this.columns) * PITCH;
      root.style.transform = `translate(${left}px, ${top}px)`;
      root.style.width = `${wide}px`;
      root.setAttribute("aria-posinset", String(at + 1));
      root.setAttribute("aria-setsize", String(this.items.length));
    });
    this.scrolled();
  }

  /** @param {Set<string>} wanted ids of the images whose tiles stay */
  _drop(wanted) {
    for (const [id, tile] of this.tiles) {
      if (wanted.has(id)) continue;
      // The keys work where the focus is: it must not get lost with its tile.
      if (tile.root.matches(":focus-within")) this.host.focus({ preventScroll: true });
      this._watch.unobserve(tile.root);
      tile.root.remove();
      this.tiles.delete(id);
    }
  }

  /** @param {Item} item */
  _tile(item) {
    const image = element("img", { alt: "", draggable: "false", decoding: "async", "data-source": item.image });
    if (item.image) library.image(item.image).then((source) => source && (image.src = source));
    const heat = element("canvas", { class: "heat" });
    const note = element("span", { class: "note" });
    const name = element("b", { title: item.name }, item.name);
    const small = element("span", { class: "image" }, image, heat);
    small.style.setProperty("--ratio", String(shownRatio(item)));
    const button = element("button", { type: "button", tabindex: -1 }, small, name, note);
    button.addEventListener("click", () => this.opened(item));
    const root = element("div", { class: "tile", role: "listitem" }, button);
    /** @type {Tile} */
    const tile = { root, heat, note, item, seen: false, text: null };
    mark(root, item.id === this.active);
    this.tiles.set(item.id, tile);
    this._byRoot.set(root, tile);
    this._watch.observe(root);
    this.inner.append(root);
    return tile;
  }

  /**
   * Draw the tiles in sight for a threshold: all that happens while dragging.
   *
   * @param {import("./image_row.js").Drawing} drawing
   * @param {(item: Item) => LevelMap | undefined} mapOf
   * @param {(item: Item) => TileText} describe
   */
  redraw({ level, minArea, scale, runs, scratch, layers }, mapOf, describe) {
    for (const tile of this.tiles.values()) {
      write(tile, describe(tile.item));
      if (!tile.seen) continue;
      const map = mapOf(tile.item);
      if (!map) {
        sized(tile.heat, 1, 1).clearRect(0, 0, 1, 1); // no heat rather than a former model's
        continue;
      }
      const marked = layers.contour && map.score(minArea) > level;
      if (marked) findMask(map, level, minArea, runs);
      const colors = layers.heatmap ? scale.heat : scale.none;
      const small = this._smallMap(map, tile.item);
      const { placement } = tile.item;
      small.draw(placement ? this._flat : tile.heat, colors, marked ? runs : null, scratch);
      if (placement) drawPlaced(tile.heat, this._flat, small.factor, tile.item);
    }
  }

  /**
   * @param {LevelMap} map
   * @param {Item} item
   */
  _smallMap(map, { box }) {
    let small = this._small.get(map);
    if (!small) {
      const factor = Math.max(1, Math.ceil(Math.max(box.width, box.height) / SMALL_SIDE));
      this._small.set(map, (small = new SmallMap(map, box, factor)));
    }
    return small;
  }
}

/**
 * Write on a tile, where its text has changed.
 *
 * @param {Tile} tile
 * @param {TileText} text
 */
function write(tile, text) {
  const { verdict, note, label, error } = text;
  const now = tile.text;
  if (now && now.verdict === verdict && now.note === note && now.label === label) return;
  tile.root.dataset.verdict = verdict;
  tile.note.textContent = note;
  tile.root.dataset.label = label ?? "";
  tile.root.dataset.error = error ?? "";
  tile.text = text;
}

/**
 * Mark an element as the one that is shown large, or no longer.
 *
 * @param {HTMLElement} root
 * @param {boolean} active
 */
export function mark(root, active) {
  root.classList.toggle("active", active);
  if (active) root.setAttribute("aria-current", "true");
  else root.removeAttribute("aria-current");
}
