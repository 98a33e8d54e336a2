// @ts-check
// The marks, with what can be undone. Every state has a serial number, and Python answers which one it knows: an
// answer from before the latest change must not undo it.

/** @typedef {import("./message.js").Mark} Mark */
/** @typedef {import("./message.js").Message} Message */

const MOST_STEPS = 100;

export class Sketch {
  constructor() {
    /** @type {string | null} id of the image */
    this.id = null;
    /** @type {Mark[]} */
    this.marks = [];
    /** Which mark is selected; -1: none. */
    this.selected = -1;
    /** @type {Mark[][]} */
    this.past = [];
    /** @type {Mark[][]} */
    this.future = [];
    this.serial = 0;
    this.answered = 0;
  }

  /** Whether Python's answers are about the marks here. */
  get isAnswered() {
    return this.answered === this.serial;
  }

  /** @returns {Mark | null} */
  get chosen() {
    return this.marks[this.selected] ?? null;
  }

  /**
   * Take over what Python sent.
   *
   * @param {Pick<Message, "id" | "handled" | "marks">} message
   * @param {boolean} busy whether a mark is being drawn or dragged
   * @returns {boolean} whether the image is another one
   */
  takeOver({ id, handled, marks }, busy) {
    const fresh = id !== this.id || handled < this.answered;
    if (fresh) {
      Object.assign(this, { id, marks, past: [], future: [], selected: -1, serial: handled });
    } else if (handled >= this.serial && !busy) {
      if (JSON.stringify(marks) !== JSON.stringify(this.marks)) {
        this._remember(); // proposed by Python: can be undone as any change
        this.marks = marks;
        this.selected = -1;
      }
      this.serial = handled;
    }
    this.answered = handled;
    return fresh;
  }

  /**
   * Put other marks in the place of these: one step to undo.
   *
   * @param {Mark[]} marks
   * @param {number} [selected]
   */
  change(marks, selected = -1) {
    this._remember();
    this._put(marks, selected);
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
   * @param {Mark[][]} from
   * @param {Mark[][]} to
   */
  _step(from, to) {
    const marks = from.pop();
    if (!marks) return false;
    to.push(this.marks);
    this._put(marks, -1);
    return true;
  }

  _remember() {
    this.past.push(this.marks);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
  }

  /**
   * @param {Mark[]} marks
   * @param {number} selected
   */
  _put(marks, selected) {
    this.marks = marks;
    this.selected = selected;
    this.serial += 1;
  }
}
