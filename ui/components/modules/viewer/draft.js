// @ts-check
// The decision on the screen: how the threshold is set, and the smallest region that counts.

/** @typedef {import("./message.js").SentDecision} SentDecision */

/**
 * @typedef {object} Decision
 * @property {import("./message.js").Basis} basis
 * @property {number} permille the percentile in tenths of a percent
 * @property {number} level the threshold
 * @property {number} minArea the smallest region that counts
 */

/**
 * @param {SentDecision} sent
 * @returns {Decision}
 */
export function decisionOf({ basis, permille, level, min_area: minArea }) {
  return { basis, permille, level, minArea };
}

/**
 * @param {Decision} one
 * @param {Decision} other
 */
function same(one, other) {
  return (
    one.basis === other.basis &&
    one.permille === other.permille &&
    one.level === other.level &&
    one.minArea === other.minArea
  );
}

export class Draft {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** @type {Readonly<Decision>} what everything is drawn for */
    this.now = decisionOf(store.message.decision);
    /** @type {Readonly<Decision>} what Python knows, or is on its way to it */
    this.reported = this.now;
    /** Whether the user is dragging or typing. */
    this.moving = false;
  }

  /**
   * The user changes the decision.
   *
   * @param {Partial<Decision>} changes
   */
  change(changes) {
    this._set({ ...this.now, ...changes });
    this.moving = true;
  }

  /**
   * The user has let go.
   *
   * @returns {{ before: Decision, after: Decision } | null} the change to report, if there is one
   */
  commit() {
    this.moving = false;
    if (same(this.now, this.reported)) return null;
    const change = { before: this.reported, after: this.now };
    this.reported = this.now;
    return change;
  }

  /** The user lets go without having decided: what was, stays. */
  giveUp() {
    this.moving = false;
    this.now = this.reported;
  }

  /**
   * A decision that was undone or done again.
   *
   * @param {Decision} decision
   */
  replay(decision) {
    this._set(decision);
    this.reported = this.now;
  }

  /**
   * Take over the decision that Python has.
   *
   * @param {SentDecision} sent
   * @returns {{ before: Decision, after: Decision } | null} the step, where it is not what was reported
   */
  takeOver(sent) {
    const before = this.now;
    const after = decisionOf(sent);
    const news = !same(after, this.reported) && !same(after, before);
    this.now = this.reported = after;
    return news ? { before, after } : null;
  }

  /** The good parts' scores may have changed, and with them the level of a percentile. */
  follow() {
    this._set(this.now);
  }

  /** @param {Decision} decision */
  _set(decision) {
    this.now = { ...decision, level: this.store.levelOf(decision) };
  }
}
