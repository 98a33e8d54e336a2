// @ts-check
// The list of inspections as this browser sees it: what Python sent, less what was decided here and is on its way.

/** @typedef {import("./message.js").Action} Action */
/** @typedef {import("./message.js").Item} Item */
/** @typedef {import("./message.js").Message} Message */

/** How many decisions the pace is taken from. */
const PACE_OVER = 10;

export class Queue {
  /**
   * @param {(actions: Action[]) => void} send
   * @param {() => number} now milliseconds
   */
  constructor(send, now = Date.now) {
    this._send = send;
    this._now = now;
    this._serial = 0;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Action[]} that Python has not dealt with yet */
    this.outbox = [];
    /** @type {Map<number, number>} serial number of the decision, by inspection */
    this.decided = new Map();
    /** @type {{ id: number, decided: boolean }[]} decisions and comments made here, the latest last */
    this.past = [];
    /** @type {number[]} when */
    this.times = [];
    /** @type {number | null} */
    this.current = null;
    this.total = 0;
    this.list = "";
    this._returned = 0;
    this._asked = 0;
  }

  /** What is still to be decided, in order. */
  get open() {
    return this.items.filter((item) => !this.decided.has(item.id));
  }

  /** @returns {Item | null} the one that is shown */
  get shown() {
    const open = this.open;
    return open.find((item) => item.id === this.current) ?? open[0] ?? null;
  }

  /** How many are left, without those that are on their way. */
  get left() {
    return Math.max(0, this.total - this.items.filter((item) => this.decided.has(item.id)).length);
  }

  /** @returns {number | null} decisions a minute, over the latest ones; null for the first */
  get pace() {
    const times = this.times.slice(-PACE_OVER);
    const took = times.length < 2 ? 0 : times[times.length - 1] - times[0];
    return took > 0 ? ((times.length - 1) * 60_000) / took : null;
  }

  /**
   * Take over what Python sent.
   *
   * @param {Message} message
   */
  update(message) {
    if (message.list !== this.list) {
      this.list = message.list;
      this.current = null;
    }
    this._serial = Math.max(this._serial, message.handled);
    this.outbox = this.outbox.filter((one) => one.serial > message.handled);
    for (const [id, serial] of this.decided) if (serial <= message.handled) this.decided.delete(id);
    const before = this.open.map((item) => item.id);
    const place = before.indexOf(this.current ?? -1);
    this.items = message.items;
    this.total = message.total;
    const back = message.returned;
    if (back && back.serial > this._returned) {
      this._returned = back.serial;
      this.current = back.id;
    } else if (this.current !== null && !this.open.some((item) => item.id === this.current)) {
      // It is gone, decided by somebody else: on to the one that followed it.
      const following = before.slice(place + 1).find((id) => this.open.some((item) => item.id === id));
      this.current = following ?? null;
    }
    // A server that was started again has forgotten what it was told: say it again.
    if (this.outbox.length && message.handled < this.outbox[0].serial && message.handled === 0) this._report();
  }

  /**
   * @param {import("./message.js").Decision} decision
   * @param {string} type of defect
   * @returns {Item | null} what was decided
   */
  decide(decision, type = "") {
    const item = this.shown;
    if (!item) return null;
    const open = this.open;
    const place = open.indexOf(item);
    const serial = this._act({ kind: "decide", id: item.id, decision, type });
    this.decided.set(item.id, serial);
    this.past.push({ id: item.id, decided: true });
    this.times.push(this._now());
    this.current = (open[place + 1] ?? open[place - 1])?.id ?? null;
    return item;
  }

  /**
   * The types of defects that can be chosen: the known ones, and those named here that are still on their way.
   *
   * @param {string[]} known
   */
  types(known) {
    const named = this.outbox.map((one) => one.type ?? "").filter((type) => type && !known.includes(type));
    return [...known, ...new Set(named)];
  }

  /** @param {string} text */
  comment(text) {
    if (!this.shown || !text.trim()) return;
    this.past.push({ id: this.shown.id, decided: false });
    this._act({ kind: "comment", id: this.shown.id, text });
  }

  /** Take back the latest step of this person, here or in another browser. */
  undo() {
    const step = this.past.pop();
    const id = step?.id ?? null;
    this._act({ kind: "undo", id });
    if (id === null || !step?.decided) return;
    this.times.pop();
    if (this.decided.delete(id)) this.current = id;
  }

  /**
   * Show another one, without deciding.
   *
   * @param {number} steps
   */
  go(steps) {
    const open = this.open;
    if (!this.shown) return;
    const place = open.indexOf(this.shown) + steps;
    this.current = open[Math.min(Math.max(place, 0), open.length - 1)].id;
    if (place >= open.length - 2 && this.items.length < this.total && this._asked !== this.items.length) {
      this._asked = this.items.length;
      this._act({ kind: "more", id: null });
    }
  }

  /**
   * @param {Omit<Action, "serial" | "uid">} action
   * @returns {number} its serial number: by the clock, so that a page opened anew counts on
   */
  _act(action) {
    this._serial = Math.max(this._serial + 1, this._now());
    this.outbox.push({ ...action, serial: this._serial, uid: uid() });
    this._report();
    return this._serial;
  }

  _report() {
    // All that Python has not dealt with: one action must not overtake another.
    this._send([...this.outbox]);
  }
}

function uid() {
  // Not randomUUID, which browsers lack on pages without HTTPS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
