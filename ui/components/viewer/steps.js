// What can be undone and done again: one row of steps, of every kind, in the order they were done.

const MOST_STEPS = 500;

class Steps {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  get backward() {
    return this.done.length;
  }

  get forward() {
    return this.undone.length;
  }

  /** Another step was done: what was undone before it cannot be done again. */
  add(step) {
    this.done.push(step);
    if (this.done.length > MOST_STEPS) this.done.shift();
    this.undone = [];
  }

  /** Forget the steps that are about something no longer there. */
  drop(gone) {
    this.done = this.done.filter((step) => !gone(step));
    this.undone = this.undone.filter((step) => !gone(step));
  }

  /** The step to undo; those that no longer stand are dropped on the way. */
  back(stands) {
    return this._move(this.done, this.undone, stands);
  }

  /** The step to do again. */
  forth(stands) {
    return this._move(this.undone, this.done, stands);
  }

  _move(from, to, stands) {
    while (from.length) {
      const step = from.pop();
      if (!stands(step)) continue;
      to.push(step);
      return step;
    }
    return null;
  }
}
