// @ts-check
// Which images are listed, and in which order.

/** @typedef {import("./draft.js").Decision} Decision */
/** @typedef {import("./message.js").Group} Group */
/** @typedef {import("./message.js").Verdict} Verdict */
/** @typedef {import("./store.js").Item} Item */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {"all" | "changes" | "false_reject" | "miss" | Verdict} Filter */
/** @typedef {"near" | "worst" | "best" | "name" | "given"} Order */

/** @type {Record<Order, string>} */
export const ORDERS = {
  near: "Nearest the threshold",
  worst: "Worst first",
  best: "Best first",
  name: "Name",
  given: "As they came",
};

const natural = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

export class Arrangement {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    /** @type {Filter} */
    this.filter = "all";
    /** @type {Group | "every"} */
    this.group = "every";
    /** @type {Order} */
    this.order = store.message.mode === "calibrate" ? "near" : "given";
    /** @type {Item[]} all of them, in order */
    this.ordered = [];
    /** @type {Item[]} those listed */
    this.list = [];
  }

  /**
   * Put all images in order; while the threshold moves, the order stays.
   *
   * @param {Decision} decision
   */
  sort({ level, minArea }) {
    const { store } = this;
    const { saved, arranged } = store.message;
    const every = [...store.items.values()];
    const changes = this.filter === "changes" && saved !== null;
    const order = changes ? "near" : arranged ? "given" : this.order;
    if (order === "name") every.sort((a, b) => natural.compare(a.name, b.name));
    else {
      const score = (/** @type {Item} */ item) => store.jointOf(item, minArea);
      /** @type {Record<Exclude<Order, "name">, (item: Item) => number>} */
      const by = {
        near: changes
          ? (item) => Math.abs(store.jointOf(item, saved.min_area) - saved.level)
          : (item) => Math.abs(score(item) - level),
        worst: (item) => -score(item),
        best: score,
        given: (item) => item.arrival,
      };
      const keyed = every.map((item) => ({ item, key: by[order](item) }));
      keyed.sort((a, b) => a.key - b.key || a.item.arrival - b.item.arrival);
      every.splice(0, every.length, ...keyed.map(({ item }) => item));
    }
    this.ordered = every;
  }

  /**
   * List those that are wanted at this threshold.
   *
   * @param {Decision} decision
   * @returns {boolean} whether the list is another one now
   */
  choose(decision) {
    const wanted = this.ordered.filter((item) => this._wants(item, decision));
    if (wanted.length === this.list.length && wanted.every((item, i) => item === this.list[i])) return false;
    this.list = wanted;
    return true;
  }

  /**
   * @param {Item} item
   * @param {Decision} decision
   */
  _wants(item, decision) {
    if (this.group !== "every" && this.store.groupOf(item) !== this.group) return false;
    if (this.filter === "all") return true;
    if (this.filter === "changes") return this.isChange(item, decision);
    if (this.filter === "false_reject" || this.filter === "miss") {
      return this.store.errorOf(item, decision) === this.filter;
    }
    return this.store.verdictOf(item, decision) === this.filter;
  }

  /**
   * Whether an image belongs on the list of changes: its verdict changes, and it is neither labelled nor kept.
   *
   * @param {Item} item
   * @param {Decision} decision
   */
  isChange(item, decision) {
    return item.label === null && !item.kept && this.store.flips(item, decision);
  }
}
