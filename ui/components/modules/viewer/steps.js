// @ts-check
// What can be undone and done again: one row of steps, of every kind, in the order they were done.

/** @typedef {import("./draft.js").Decision} Decision */
/** @typedef {import("./message.js").Label | boolean | null} LabelValue */

/**
 * A change of the decision, or of the label (or the mark "kept") of the images with one content.
 *
 * @typedef {{ kind: "decision", before: Decision, after: Decision }
 *   | { kind: "label", sha256: string, field: "label" | "kept", before: LabelValue, after: LabelValue }} Step
 */

const MOST_STEPS = 500;

export class Steps {
  constructor() {
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
  }

  get backward() {
    return this.done.length;
  }

  get forward() {
    return this.undone.length;
  }

  /**
   * Another step was done: what was undone before it cannot be done again.
   *
   * @param {Step} step
   */
  add(step) {
    this.done.push(step);
    if (this.done.length > MOST_STEPS) this.done.shift();
    this.undone = [];
  }

  /**
   * Forget the steps that are about something no longer there.
   *
   * @param {(step: Step) => boolean} gone
   */
  drop(gone) {
    this.done = this.done.filter((step) => !gone(step));
    this.undone = this.undone.filter((step) => !gone(step));
  }

  /**
   * The step to undo; those that no longer stand are dropped on the way.
   *
   * @param {(step: Step) => boolean} stands
   */
  back(stands) {
    return this._move(this.done, this.undone, stands);
  }

  /**
   * The step to do again.
   *
   * @param {(step: Step) => boolean} stands
   */
  forth(stands) {
    return this._move(this.undone, this.done, stands);
  }

  /**
   * @param {Step[]} from
   * @param {Step[]} to
   * @param {(step: Step) => boolean} stands
   */
  _move(from, to, stands) {
    for (let step = from.pop(); step; step = from.pop()) {
      if (!stands(step)) continue;
      to.push(step);
      return step;
    }
    return null;
  }
}
