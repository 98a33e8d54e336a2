// @ts-check
// One pane alone, or all, with nothing else on the whole screen; the keys go on working there.

import { find } from "../dom.js";

/** @typedef {import("./panes.js").PaneKind} PaneKind */

export class FullScreen {
  /**
   * @param {ShadowRoot} root
   * @param {import("./rows.js").ImageRows} rows
   * @param {() => void} changed the images have another size
   */
  constructor(root, rows, changed) {
    this.root = root;
    this.rows = rows;
    this.detail = find(root, ".detail", HTMLElement);
    /** @type {PaneKind | null} the pane that was shown alone before */
    this._before = null;
    this.detail.classList.toggle("no-full-screen", !document.fullscreenEnabled);
    rows.host.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("[data-enlarge]") : null;
      if (button instanceof HTMLElement) this.toggle(/** @type {PaneKind} */ (button.dataset.enlarge));
    });
    this._listener = () => {
      if (!this.on) rows.solo(this._before);
      changed();
    };
    this.detail.addEventListener("fullscreenchange", this._listener);
  }

  /** Whether the images fill the screen. */
  get on() {
    return this.root.fullscreenElement === this.detail;
  }

  /**
   * Fill the screen, or no longer.
   *
   * @param {PaneKind | null} [kind] the pane to show alone; by default the one that is, or all
   */
  async toggle(kind = this.rows.alone) {
    if (this.on) return document.exitFullscreen();
    this._before = this.rows.alone;
    this.rows.solo(kind);
    try {
      await this.detail.requestFullscreen();
    } catch {
      this.rows.solo(this._before); // the browser does not allow it here
    }
  }
}
