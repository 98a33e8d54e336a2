// @ts-check
// The viewer as a whole: takes over what Python sends, and keeps the image that is shown.

import { Arrangement } from "./arrangement.js";
import { Draft } from "./draft.js";
import { Edits } from "./edits.js";
import { Follower } from "./follower.js";
import { Frames } from "./frames.js";
import { listenToKeys } from "./keys.js";
import { downloadMask } from "./mask_file.js";
import { Outbox } from "./outbox.js";
import { Screen } from "./screen.js";
import { Store } from "./store.js";
import { Wanted } from "./wanted.js";

/** @typedef {import("./message.js").Message} Message */

export class Viewer {
  /**
   * @param {ShadowRoot} root
   * @param {import("./message.js").Reporter} reporter
   * @param {Message} message
   */
  constructor(root, reporter, message) {
    this.outbox = new Outbox(reporter);
    this.store = new Store(message);
    this.draft = new Draft(this.store);
    this.arrangement = new Arrangement(this.store);
    this.follower = new Follower();
    this.frames = new Frames(() => this._draw());
    /** @type {string | null} id of the image shown large */
    this.selected = message.selected;
    this.wanted = new Wanted(message.wanted);
    /** @type {Message | null} what Python sent before */
    this._former = null;
    const draw = () => this.frames.request();
    const select = (/** @type {string} */ id) => this.select(id);
    this.edits = new Edits(this.store, this.draft, this.outbox, {
      draw,
      select,
      refresh: () => this.refresh(),
      arrange: () => this._arrange(),
      announce: (text) => this.screen.panel.announce(text),
    });
    this.screen = new Screen(root, this.store, this.draft, this.arrangement, {
      draw,
      select,
      change: (changes, done) => this.edits.change(changes, done),
      commit: () => this.edits.commit(),
      giveUp: () => this.edits.giveUp(),
      undo: () => this.edits.undo(),
      redo: () => this.edits.redo(),
      label: (label) => this.label(label),
      go: (by) => this.go(by),
      look: (look) => this.outbox.look(look),
      downloadMask: () => this.downloadMask(),
      rearranged: (reselect) => this._rearranged(reselect),
      recount: () => {
        this._showRows();
        draw();
      },
    });
    this._endKeys = listenToKeys(this);
    this.update(message);
  }

  dispose() {
    this._endKeys();
    this.screen.dispose();
    this.outbox.dispose();
    this.follower.dispose();
    this.frames.dispose();
  }

  /** The element that the viewer fills. */
  get host() {
    return this.screen.host;
  }

  /** Whether the threshold can be moved here. */
  get calibrates() {
    return this.store.message.mode === "calibrate";
  }

  // -- what Python sends ----------------------------------------------------------------------------------

  /**
   * Take over what Python sent; what the user is at just now stays.
   *
   * @param {Message} message
   */
  update(message) {
    const former = this._former;
    const { store, outbox } = this;
    this._former = message;
    if (outbox.acknowledge(message.handled)) this.edits.steps.drop(() => true);
    store.take(message, outbox.labels);
    if (former) {
      this.edits.takeOver(message, former);
      if (former.areas !== message.areas) this.screen.panel.offerAreas();
      if (outbox.isAnswered("selected") && store.items.has(message.selected ?? "")) this.selected = message.selected;
    }
    this._fetch(former, message);
    this.screen.layOut();
    // While the first images come in, the worst changes all the time: until one is chosen, the list will do.
    this.screen.listOnly(message.listing && !outbox.sent.selected);
    this.refresh();
    this.wanted.follow(message, (id) => this.select(id));
  }

  /**
   * Fetch what belongs to all images.
   *
   * @param {Message | null} former
   * @param {Message} message
   */
  _fetch(former, message) {
    const refresh = (/** @type {boolean} */ current) => current && this.refresh();
    const anew = !former || JSON.stringify(former.held) !== JSON.stringify(message.held);
    if (anew || (message.held.url && !this.store.imageCurves)) this.store.takeHeld(anew).then(refresh);
    if (!former || former.roi !== message.roi) this.store.takeRegion().then(refresh);
  }

  // -- the image shown ------------------------------------------------------------------------------------

  get _item() {
    return this.selected === null ? undefined : this.store.items.get(this.selected);
  }

  /**
   * Show an image large.
   *
   * @param {string} id
   */
  select(id) {
    this.selected = id;
    this.screen.setActive(id, true);
    this._reportSelected(id);
    this.screen.listOnly(false);
    this._showRows();
    this.frames.request();
  }

  /**
   * On to another image of the list.
   *
   * @param {number} by
   */
  go(by) {
    const { list } = this.arrangement;
    const at = list.findIndex((item) => item.id === this.selected);
    this.goTo(at < 0 ? 0 : at + by);
  }

  /**
   * To an image of the list by its place; the first or the last one beyond its ends.
   *
   * @param {number} at
   */
  goTo(at) {
    const { list } = this.arrangement;
    if (list.length) this.select(list[Math.min(list.length - 1, Math.max(0, at))].id);
  }

  /**
   * Label the image shown, or take the label away; on to the next where it leaves the list by that.
   *
   * @param {"good" | "defect" | "kept"} label
   */
  label(label) {
    const item = this._item;
    if (!this.store.message.labeling || !item || (label === "good" && item.held >= 0)) return;
    const { list } = this.arrangement;
    const at = list.indexOf(item);
    const following = list[at + 1] ?? list[at - 1];
    this.edits.label(item, label);
    if (at >= 0 && following && !this.arrangement.list.includes(item)) this.select(following.id);
  }

  /** @param {string} id */
  _reportSelected(id) {
    this._follow();
    const item = this.store.items.get(id);
    // Of a good part there is nothing larger to fetch.
    this.outbox.select(id, !(this.calibrates && item && item.held >= 0 && item.map));
  }

  _follow() {
    this.follower.show(this.store.message.follower, this.selected);
  }

  /** Let the user save the mask of the image shown. */
  async downloadMask() {
    const item = this._item;
    const map = item && this.screen.maps.of(item, true);
    if (!map) return;
    const { level, minArea } = this.draft.now;
    await downloadMask(map, item, level, minArea, item.mask_name ?? "mask.png");
  }

  // -- what is shown --------------------------------------------------------------------------------------

  /** All of it anew: after new data, another filter, a label. */
  refresh() {
    this.draft.follow();
    this.screen.panel.scoresChanged(true);
    this._arrange();
    this._showRows();
    this.screen.wantMaps();
  }

  /** @param {boolean} reselect whether one of the images that are listed now is to be shown */
  _rearranged(reselect) {
    this._arrange();
    if (reselect && !this.arrangement.list.some((item) => item.id === this.selected)) this.goTo(0);
    this.frames.request();
  }

  _arrange() {
    this.arrangement.sort(this.draft.now);
    this._choose();
  }

  /** List the images that are wanted at this threshold; show another one where the one shown is gone. */
  _choose() {
    const { arrangement } = this;
    const other = arrangement.choose(this.draft.now);
    const gone = !this._item;
    if (gone) {
      this.selected = (arrangement.list[0] ?? arrangement.ordered[0])?.id ?? null;
      if (this.selected !== null && this.calibrates) this._reportSelected(this.selected);
    }
    if (!other && !gone) return;
    this.screen.setItems(arrangement.list);
    this._showRows();
  }

  _showRows() {
    this.screen.setActive(this.selected, false);
    this._follow();
    this.screen.showRows(this._item);
  }

  /** One frame. */
  _draw() {
    if (this.calibrates) this.screen.panel.draw(this.edits.steps);
    this._choose();
    this.screen.draw(this._item);
  }
}
