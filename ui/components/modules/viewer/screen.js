// @ts-check
// All that is on the screen: which parts of it are shown, and one frame of it.

import { find } from "../dom.js";
import { Bar } from "./bar.js";
import { DecisionPanel } from "./decision_panel.js";
import { FullScreen } from "./full_screen.js";
import { Gallery } from "./gallery.js";
import { Headline } from "./headline.js";
import { LookControls } from "./look_controls.js";
import { Maps } from "./maps.js";
import { Scratch } from "./paint.js";
import { Runs } from "./regions.js";
import { ResultTable } from "./results.js";
import { ImageRows } from "./rows.js";
import { ERROR_WORDS, VERDICT_WORDS } from "./verdicts.js";
import { IN_FIT, multipleOf } from "./words.js";

/** @typedef {import("./store.js").Item} Item */

/**
 * What the user can do, beside what the decision panel and the headline offer.
 *
 * @typedef {object} ScreenActions
 * @property {(id: string) => void} select
 * @property {(reselect: boolean) => void} rearranged other images are wanted, or only another order
 * @property {(look: import("./message.js").Look) => void} look
 * @property {() => void} recount another number of large images is wanted
 * @property {() => void} draw in the next frame
 */

export class Screen {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {import("./draft.js").Draft} draft
   * @param {import("./arrangement.js").Arrangement} arrangement
   * @param {ScreenActions & import("./decision_panel.js").DecisionActions
   *   & import("./headline.js").HeadlineActions} actions
   */
  constructor(root, store, draft, arrangement, actions) {
    this.store = store;
    this.draft = draft;
    this.arrangement = arrangement;
    this.actions = actions;
    this.host = find(root, ".viewer", HTMLElement);
    this.detail = find(root, ".detail", HTMLElement);
    this.calibration = [".decision", ".gauge", ".outcome"].map((part) => find(root, part, HTMLElement));
    this.panel = new DecisionPanel(root, store, draft, actions);
    this.controls = new LookControls(root, store, actions.look, actions.draw);
    this.headline = new Headline(root, store, actions);
    this.labelKeys = find(root, ".keys-of-labels", HTMLElement);
    this.rows = new ImageRows(root, store, draft, actions.recount);
    this.fullScreen = new FullScreen(root, this.rows, () => this._resize());
    this.bar = new Bar(root, store, arrangement, actions.rearranged);
    const opened = (/** @type {Item} */ item) => actions.select(item.id);
    this.gallery = new Gallery(find(root, ".gallery", HTMLElement), opened, () => this.wantMaps());
    this.results = new ResultTable(find(root, ".results-host", HTMLElement), opened);
    this.maps = new Maps(store, (item, map) => this._mapArrived(item, map));
    /** Whether the list alone is shown. */
    this.listing = false;
    this._runs = new Runs();
    this._scratch = new Scratch();
    this._resized = new ResizeObserver(() => this._resize());
    this._resized.observe(this.host);
  }

  dispose() {
    this._resized.disconnect();
    this.gallery.dispose();
    this.maps.dispose();
  }

  _resize() {
    this.panel.scoresChanged(true);
    this.gallery.layOut();
    this.results.layOut();
    this.rows.look();
    this.actions.draw();
  }

  /** Show the parts that belong to the page that the viewer is on. */
  layOut() {
    const { mode, arranged, table, labeling } = this.store.message;
    const calibrates = mode === "calibrate";
    this.host.dataset.mode = mode;
    for (const part of this.calibration) part.hidden = !calibrates;
    this.headline.labels.hidden = !labeling;
    this.headline.keep.hidden = !calibrates;
    this.labelKeys.hidden = !labeling;
    this.bar.host.hidden = arranged;
    this.headline.files.hidden = !arranged;
    this.results.host.hidden = !table;
  }

  /**
   * Show the list alone, or all.
   *
   * @param {boolean} only
   */
  listOnly(only) {
    if (this.listing === only) return;
    this.listing = only;
    if (this.store.message.arranged) this.gallery.host.hidden = only;
    if (only) return;
    this.gallery.layOut();
    this.wantMaps();
  }

  /** @param {Item[]} items */
  setItems(items) {
    this.gallery.setItems(items);
    this.results.setItems(items);
  }

  /**
   * Mark the image that is shown large.
   *
   * @param {string | null} id
   * @param {boolean} follow whether to scroll it into sight
   */
  setActive(id, follow) {
    this.gallery.setActive(id, follow);
    this.results.setActive(id, follow);
  }

  /**
   * Show an image large, and as many of those that follow it as there are rows.
   *
   * @param {Item | undefined} first
   */
  showRows(first) {
    this.detail.hidden = !this.store.items.size || this.listing;
    if (!first || this.listing) return;
    const { list } = this.arrangement;
    const at = list.indexOf(first);
    const following = at < 0 ? [] : [...list.slice(at + 1), ...list.slice(0, at)];
    const shown = [first, ...following].slice(0, this.rows.rows.length);
    this.rows.show(shown, (item) => this.maps.of(item, true));
  }

  /** Maps in sight first, then the others. */
  wantMaps() {
    if (this.listing) return;
    for (const tile of this.gallery.tiles.values()) this.maps.want(tile.item, true);
    this.actions.draw();
    this.maps.wantRest();
  }

  /**
   * @param {Item} item
   * @param {import("./levels.js").LevelMap} map
   */
  _mapArrived(item, map) {
    this.rows.arrived(item, map);
    // Python's score is for the smallest region it knows of; the map has them all.
    if (this.draft.now.minArea !== this.store.message.decision.min_area) this.panel.scoresChanged(false);
    this.actions.draw();
  }

  /**
   * One frame: everything that depends on the threshold.
   *
   * @param {Item | undefined} item the image shown large
   */
  draw(item) {
    const { store, draft, arrangement, controls } = this;
    const { level, minArea } = draft.now;
    const drawing = {
      level,
      minArea,
      scale: controls.scaleAt(level),
      runs: this._runs,
      scratch: this._scratch,
      layers: controls.layers,
      region: store.region,
    };
    this.rows.draw(drawing);
    const describe = (/** @type {Item} */ one) => this._describe(one);
    this.gallery.redraw(drawing, (one) => this.maps.of(one), describe);
    if (item) this.headline.draw(item, draft.now, arrangement.list, this.rows.first);
    if (store.message.table) this.results.redraw(describe);
    if (!store.message.arranged) {
      this.bar.draw(draft.now);
      this.gallery.host.hidden = arrangement.list.length === 0;
    }
    this.host.dataset.left = String(store.left);
  }

  /**
   * The texts of an image's tile and of its line in the list.
   *
   * @param {Item} item
   */
  _describe(item) {
    const { store, draft } = this;
    const verdict = store.verdictOf(item, draft.now);
    const error = store.errorOf(item, draft.now);
    const words = error ? ERROR_WORDS[error] : VERDICT_WORDS[verdict];
    const value = store.quantizer.toValue(store.jointOf(item, draft.now.minArea));
    const times = item.lost ? "not found" : multipleOf(value, store.quantizer.toValue(draft.now.level));
    const note = [words, times, ...(item.in_fit ? [IN_FIT] : [])].join(" · ");
    const checks = store.checksOf(item, draft.now.level).join("; ");
    return { verdict, words, times, note, checks, error, label: item.kept ? "kept" : item.label };
  }
}
