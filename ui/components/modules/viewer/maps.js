// @ts-check
// The images' level maps: those in sight first, then the others, so that all verdicts follow the smallest region.

import { library } from "./library.js";

/** @typedef {import("./levels.js").LevelMap} LevelMap */
/** @typedef {import("./store.js").Item} Item */

const REST_AFTER = 400; // milliseconds: the rest of the page comes before what is not yet to be seen

export class Maps {
  /**
   * @param {import("./store.js").Store} store
   * @param {(item: Item, map: LevelMap) => void} arrived
   */
  constructor(store, arrived) {
    this.store = store;
    this.arrived = arrived;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._rest = undefined;
  }

  dispose() {
    clearTimeout(this._rest);
  }

  /**
   * An image's map if it is here.
   *
   * @param {Item} item
   * @param {boolean} [urgent] ask for it where it is not
   */
  of(item, urgent = false) {
    const map = library.get(item.map);
    if (map) item.curve ??= map.scores.slice();
    else if (urgent) this.want(item, true);
    return map;
  }

  /**
   * Ask for an image's map.
   *
   * @param {Item} item
   * @param {boolean} urgent
   */
  want(item, urgent) {
    const { map_size: size, areas } = this.store.message;
    library.want(item.map, size, areas, urgent, (url, map) => {
      if (item.map !== url) return;
      item.curve = map.scores.slice();
      this.arrived(item, map);
    });
  }

  /** Ask for all maps, in a while. */
  wantRest() {
    this._rest ??= setTimeout(() => {
      this._rest = undefined;
      for (const item of this.store.items.values()) if (!item.curve) this.want(item, false);
    }, REST_AFTER);
  }
}
