// @ts-check
// Fields for numbers that are typed: what is typed shows at once, and counts once it is confirmed.

/**
 * @typedef {object} FieldActions
 * @property {(value: number, done: boolean) => void} take a number was typed; done once it is confirmed
 * @property {() => void} giveUp what was typed is no number in range
 * @property {() => boolean} isMoving whether something typed has not been confirmed
 * @property {() => void} draw
 */

export class NumberField {
  /**
   * @param {HTMLInputElement} input
   * @param {FieldActions} actions
   */
  constructor(input, actions) {
    this.input = input;
    this.actions = actions;
    this._typing = false;
    input.addEventListener("input", () => {
      this._typing = true;
      this._read(false);
    });
    input.addEventListener("change", () => {
      this._read(true);
      this._end();
    });
    input.addEventListener("blur", () => {
      // Typed, and put back as it was: the browser then sends no "change".
      if (this._typing && actions.isMoving()) actions.giveUp();
      this._end();
    });
  }

  /** @param {boolean} done */
  _read(done) {
    const value = this.input.valueAsNumber;
    // What is no number, or out of range, decides nothing; nor does what was typed on the way to it.
    if (Number.isFinite(value) && value >= 0) this.actions.take(value, done);
    else if (done) this.actions.giveUp();
  }

  _end() {
    this._typing = false;
    this.actions.draw();
  }

  /**
   * Show a value, unless another one is being typed.
   *
   * @param {string} text
   * @param {boolean} [disabled]
   */
  fill(text, disabled = false) {
    this.input.disabled = disabled;
    if (!this._typing && this.input.value !== text) this.input.value = text;
  }
}
