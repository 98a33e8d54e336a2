// @ts-check
// What the user did, on its way to Python. Everything is counted, and Python answers how far it has got: an answer
// from before the latest action must not undo it.

/** @typedef {import("./message.js").Kind} Kind */
/** @typedef {import("./message.js").LabelReport} LabelReport */
/** @typedef {import("./message.js").Reporter} Reporter */

/** @type {Kind[]} */
const KINDS = ["decision", "selected", "labels"];
const SELECT_AFTER = 200; // milliseconds

/** @returns {Record<Kind, number>} */
const nothing = () => ({ decision: 0, selected: 0, labels: 0 });

export class Outbox {
  /** @param {Reporter} reporter */
  constructor(reporter) {
    this.reporter = reporter;
    /** The latest count of each kind. */
    this.sent = nothing();
    /** How far Python has got. */
    this.answered = nothing();
    /** @type {LabelReport[]} that Python has not answered yet */
    this.labels = [];
    this._clock = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
  }

  dispose() {
    clearTimeout(this._timer);
  }

  /**
   * Take over how far Python has got.
   *
   * @param {Record<Kind, number>} handled
   * @returns {boolean} whether Python has forgotten what was reported, as after a restart: what it has now counts
   */
  acknowledge(handled) {
    const forgotten = KINDS.some((kind) => handled[kind] < this.answered[kind]);
    if (forgotten) {
      this.sent = nothing();
      this.labels = [];
    }
    this.answered = { ...handled };
    this._clock = Math.max(this._clock, ...Object.values(handled)); // a page opened anew counts on
    this.labels = this.labels.filter((one) => one.count > handled.labels);
    return forgotten;
  }

  /**
   * Whether Python knows all that was reported of this kind, so that what it answers is the latest.
   *
   * @param {Kind} kind
   */
  isAnswered(kind) {
    return this.answered[kind] >= this.sent[kind];
  }

  /**
   * Count what is about to be reported. By the clock, so that a page opened anew goes on counting.
   *
   * @param {Kind} kind
   */
  _count(kind) {
    this._clock = Math.max(this._clock + 1, Date.now());
    return (this.sent[kind] = this._clock);
  }

  /**
   * @param {import("./draft.js").Decision} decision
   * @param {import("./levels.js").Quantizer} quantizer the scale that its level is of: on another one it would be
   *   another threshold
   */
  decide({ basis, permille, level, minArea }, { offset, step }) {
    const count = this._count("decision");
    this.reporter.decision({ basis, permille, level, min_area: minArea, scale: [offset, step], count });
  }

  /**
   * Another image is shown. Of a quick succession only the last one is reported.
   *
   * @param {string} id
   * @param {boolean} report whether Python has anything to send for it
   */
  select(id, report) {
    const count = this._count("selected");
    clearTimeout(this._timer);
    if (report) this._timer = setTimeout(() => this.reporter.selected({ id, count }), SELECT_AFTER);
  }

  /**
   * An image was labelled. All labels that Python has not answered yet are sent: one must not overtake another.
   *
   * @param {Omit<LabelReport, "count">} label
   */
  label(label) {
    this.labels.push({ ...label, count: this._count("labels") });
    this.reporter.labels([...this.labels]);
  }

  /** @param {import("./message.js").Look} look */
  look(look) {
    this.reporter.look({ ...look });
  }
}
