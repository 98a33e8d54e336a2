// @ts-check
// What is fetched: every map and small image once, by its content-hashed URL; those looked at come first.

import { LevelMap } from "./levels.js";
import { fetchBytes, fetchTables } from "./tables.js";

/** @typedef {(url: string, map: LevelMap) => void} Arrived */
/** @typedef {import("./levels.js").MapSize} MapSize */
/** @typedef {{ url: string, size: MapSize, areas: number, urgent: boolean, done: Arrived[], active: boolean }} Wanted */

const MOST_IMAGES = 2000;

export class Library {
  /**
   * @param {number} limit bytes of maps to keep; beyond it the longest unused goes
   * @param {number} [atOnce] requests at a time
   */
  constructor(limit, atOnce = 6) {
    this.limit = limit;
    this.atOnce = atOnce;
    /** @type {Map<string, LevelMap>} by URL, the longest unused first */
    this.held = new Map();
    this.bytes = 0;
    /** @type {Map<string, Wanted>} by URL */
    this.waiting = new Map();
    this.active = 0;
    /** @type {Set<string>} URLs */
    this.failed = new Set();
    /** @type {Map<string, Promise<string>>} by URL, that of a copy in this page */
    this.images = new Map();
  }

  /**
   * An image as a URL of this page's own: fetched once, however often its tile comes and goes. Empty where it
   * cannot be had.
   *
   * @param {string} url
   */
  image(url) {
    const known = this.images.get(url);
    if (known) return known;
    const found = fetchBytes(url).then((answer) => (answer ? URL.createObjectURL(new Blob([answer])) : ""));
    this.images.set(url, found);
    found.then((made) => made || this.images.delete(url));
    if (this.images.size > MOST_IMAGES) this._forgetOldestImage();
    return found;
  }

  _forgetOldestImage() {
    for (const [url, gone] of this.images) {
      this.images.delete(url);
      gone.then((made) => URL.revokeObjectURL(made));
      return;
    }
  }

  /**
   * The map behind a URL if it is here.
   *
   * @param {string | null} url
   */
  get(url) {
    const found = url === null ? undefined : this.held.get(url);
    if (url !== null && found) {
      this.held.delete(url);
      this.held.set(url, found);
    }
    return found;
  }

  /**
   * Fetch a map unless it is here or asked for.
   *
   * @param {string | null} url
   * @param {MapSize} size
   * @param {number} areas
   * @param {boolean} urgent
   * @param {Arrived} done called once it is here
   */
  want(url, size, areas, urgent, done) {
    if (!url || this.failed.has(url)) return;
    const here = this.held.get(url);
    if (here) return void done(url, here); // another image's, with the very same map
    const asked = this.waiting.get(url);
    if (asked) {
      asked.urgent ||= urgent;
      asked.done.push(done);
    }
    // In the background only as much as can be kept, or fetching would push out what was fetched.
    else if (urgent || this.bytes + 2 * (size.width * size.height + areas) * (this.waiting.size + 1) < this.limit) {
      this.waiting.set(url, { url, size, areas, urgent, done: [done], active: false });
    }
    this._next();
  }

  _next() {
    while (this.active < this.atOnce) {
      const idle = [...this.waiting.values()].filter((one) => !one.active);
      const one = idle.find((asked) => asked.urgent) ?? idle[0];
      if (!one) return;
      one.active = true;
      this.active++;
      this._fetch(one).finally(() => {
        this.active--;
        this.waiting.delete(one.url);
        this._next();
      });
    }
  }

  /** @param {Wanted} wanted */
  async _fetch({ url, size, areas, done }) {
    const tables = await fetchTables(url, [[1, areas], [size.height, size.width]]);
    if (!tables) {
      this.failed.add(url);
      return;
    }
    const [scores, levels] = tables;
    const map = new LevelMap(scores, levels, size);
    this.held.set(url, map);
    this.bytes += map.levels.byteLength;
    for (const [oldest, gone] of this.held) {
      if (this.bytes <= this.limit || oldest === url) break;
      this.held.delete(oldest);
      this.bytes -= gone.levels.byteLength;
    }
    for (const one of done) one(url, map);
  }
}

/** Shared by all viewers of a page. */
export const library = new Library(256 * 2 ** 20);

/** @type {Map<string, Promise<Uint16Array | null>>} the last good parts' scores, for a viewer that is drawn anew */
const curves = new Map();

/**
 * The good parts' scores behind a URL, fetched once; null where they cannot be had.
 *
 * @param {string} url
 * @param {number} images
 * @param {number} areas scores an image
 */
export async function fetchCurves(url, images, areas) {
  let asked = curves.get(url);
  if (!asked) {
    asked = fetchTables(url, [[images, areas]]).then((tables) => (tables ? tables[0] : null));
    curves.clear();
    curves.set(url, asked);
  }
  const found = await asked;
  if (!found) curves.delete(url);
  return found;
}
