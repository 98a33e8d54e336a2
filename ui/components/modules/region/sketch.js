// @ts-check
// The shapes that are drawn, with what can be undone. Every drawing has a serial number, and Python answers which
// one it knows: an answer from before the latest drawing must not undo it.

import { alike } from "./shapes.js";

/** @typedef {import("./message.js").Shape} Shape */

const MOST_STEPS = 200;

export class Sketch {
  constructor() {
    /** @type {string | null} id of the model */
    this.model = null;
    /** Size of the map that the shapes are drawn on, in map pixels. */
    this.width = 0;
    this.height = 0;
    /** @type {Shape[]} */
    this.shapes = [];
    /** Which shape is selected; -1: none. */
    this.selected = -1;
    /** @type {Shape[][]} */
    this.past = [];
    /** @type {Shape[][]} */
    this.future = [];
    /** Serial number of the shapes here. */
    this.serial = 0;
    /** Serial number of the shapes that Python last made a mask of. */
    this.answered = 0;
  }

  /** Whether Python's mask is that of the shapes here. */
  get isAnswered() {
    return this.answered === this.serial;
  }

  /** @returns {Shape | null} */
  get chosen() {
    return this.shapes[this.selected] ?? null;
  }

  /**
   * Take over what Python sent.
   *
   * @param {Pick<import("./message.js").Message, "model" | "width" | "height" | "handled" | "shapes">} message
   * @param {boolean} busy whether a shape is being dragged
   * @returns {"model" | "restart" | "replaced" | "same"} what it means: another model; Python has forgotten the
   *   drawings; it has put other shapes in their place; nothing
   */
  takeOver({ model, width, height, handled, shapes }, busy) {
    const news = this._newsIn({ model, width, height, handled, shapes }, busy);
    if (news === "model" || news === "restart") {
      Object.assign(this, { model, width, height, shapes, past: [], future: [], selected: -1, serial: handled });
    } else if (news === "replaced") {
      // Which can be undone as any change.
      this._remember();
      this.shapes = shapes;
      this.selected = -1;
    }
    if (handled >= this.serial && !busy) this.serial = handled;
    this.answered = handled;
    return news;
  }

  /**
   * @param {Pick<import("./message.js").Message, "model" | "width" | "height" | "handled" | "shapes">} message
   * @param {boolean} busy
   * @returns {"model" | "restart" | "replaced" | "same"}
   */
  _newsIn({ model, width, height, handled, shapes }, busy) {
    if (model !== this.model || width !== this.width || height !== this.height) return "model";
    if (handled < this.answered) return "restart";
    if (handled >= this.serial && !busy && !alike(shapes, this.shapes)) return "replaced";
    return "same";
  }

  /**
   * Put other shapes in the place of these: one step to undo.
   *
   * @param {Shape[]} shapes
   * @param {number} [selected]
   */
  change(shapes, selected = -1) {
    this._remember();
    this._put(shapes, selected);
  }

  /** @returns {boolean} whether there was something to undo */
  undo() {
    return this._step(this.past, this.future);
  }

  /** @returns {boolean} whether there was something to do again */
  redo() {
    return this._step(this.future, this.past);
  }

  /**
   * @param {Shape[][]} from
   * @param {Shape[][]} to
   */
  _step(from, to) {
    const shapes = from.pop();
    if (!shapes) return false;
    to.push(this.shapes);
    this._put(shapes, -1);
    return true;
  }

  _remember() {
    this.past.push(this.shapes);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
  }

  /**
   * @param {Shape[]} shapes
   * @param {number} selected
   */
  _put(shapes, selected) {
    this.shapes = shapes;
    this.selected = selected;
    this.serial += 1;
  }
}
