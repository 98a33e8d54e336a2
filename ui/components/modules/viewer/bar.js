// @ts-check
// The bar above the gallery: which images, and in which order.

import { dataOf, element, find } from "../dom.js";
import { ORDERS } from "./arrangement.js";
import { whole } from "./words.js";

/** @typedef {import("./arrangement.js").Filter} Filter */
/** @typedef {import("./message.js").Group} Group */

/** @type {Record<Group, string>} */
const GROUPS = {
  normal: "Good parts in the fit",
  kept: "Good parts, excluded from the fit",
  good: "Good parts, tested",
  defect: "Defects",
  unknown: "Not labelled",
};
/** @type {[Filter, string][]} */
const FILTERS = [
  ["all", "All"],
  ["reject", "Reject"],
  ["review", "Review"],
  ["accept", "Accept"],
  ["false_reject", "False rejects"],
  ["miss", "Missed defects"],
  ["changes", "Verdict changes"],
];
/** @type {Partial<Record<Filter, string>>} */
const TITLES = {
  changes: "Only images whose verdict would change against the threshold in use, nearest first",
  false_reject: "Good parts that are rejected (overkill)",
  miss: "Images labelled as defects that are accepted (escapes)",
};

export class Bar {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {import("./arrangement.js").Arrangement} arrangement
   * @param {(reselect: boolean) => void} changed other images are wanted, or only another order
   */
  constructor(root, store, arrangement, changed) {
    this.store = store;
    this.arrangement = arrangement;
    this.host = find(root, ".bar", HTMLElement);
    this.filters = find(root, ".filters", HTMLElement);
    this.groups = find(root, ".kinds", HTMLSelectElement);
    this.order = find(root, ".order", HTMLSelectElement);
    this.nothing = find(root, ".nothing", HTMLElement);
    this.order.replaceChildren(
      ...Object.entries(ORDERS).map(([value, text]) => element("option", { value }, text)),
    );
    this.order.value = arrangement.order;
    this._drawn = "";
    this._grouped = "";
    this.filters.addEventListener("click", (event) => {
      const { filter } = dataOf(event);
      if (!filter) return;
      arrangement.filter = /** @type {Filter} */ (filter);
      changed(true);
    });
    this.groups.addEventListener("change", () => {
      arrangement.group = /** @type {Group | "every"} */ (this.groups.value);
      changed(true);
    });
    this.order.addEventListener("change", () => {
      arrangement.order = /** @type {import("./arrangement.js").Order} */ (this.order.value);
      changed(false);
    });
  }

  /**
   * One frame.
   *
   * @param {import("./draft.js").Decision} decision
   */
  draw(decision) {
    const { store, arrangement } = this;
    /** @type {Record<Filter, number>} */
    const counts = { all: 0, reject: 0, review: 0, accept: 0, false_reject: 0, miss: 0, changes: 0 };
    /** @type {Set<Group>} */
    const groups = new Set();
    for (const item of store.items.values()) {
      const group = store.groupOf(item);
      groups.add(group);
      if (arrangement.group !== "every" && group !== arrangement.group) continue;
      counts.all++;
      counts[store.verdictOf(item, decision)]++;
      const error = store.errorOf(item, decision);
      if (error) counts[error]++;
      if (arrangement.isChange(item, decision)) counts.changes++;
    }
    this._drawFilters(counts, groups);
    this._drawGroups(groups);
    this.order.disabled = arrangement.filter === "changes";
    this.nothing.hidden = arrangement.list.length > 0;
    this.nothing.textContent = !store.items.size
      ? "No images yet: add test images above."
      : arrangement.filter === "changes"
        ? "No verdict changes against the threshold in use. Move the line, and the images that change sides appear here."
        : "None of the images is of this kind.";
  }

  /**
   * @param {Record<Filter, number>} counts
   * @param {Set<Group>} groups of which there are images
   */
  _drawFilters(counts, groups) {
    const { band, mode } = this.store.message;
    const { filter } = this.arrangement;
    const filters = FILTERS.filter(
      ([name]) =>
        (name !== "review" || band) &&
        (name !== "changes" || mode === "calibrate") &&
        (name !== "miss" || groups.has("defect")),
    );
    const key = JSON.stringify([counts, filter, filters.map(([name]) => name)]);
    if (key === this._drawn) return;
    this._drawn = key;
    // The buttons stay: one of them may have the focus.
    while (this.filters.children.length < filters.length) this.filters.append(element("button", { type: "button" }));
    while (this.filters.children.length > filters.length) this.filters.lastChild?.remove();
    [...this.filters.querySelectorAll("button")].forEach((button, i) => {
      const [name, text] = filters[i];
      button.dataset.filter = name;
      button.textContent = `${text} ${whole.format(counts[name])}`;
      button.title = TITLES[name] ?? "";
      button.classList.toggle("errors", (name === "false_reject" || name === "miss") && counts[name] > 0);
      button.setAttribute("aria-pressed", String(name === filter));
    });
  }

  /** @param {Set<Group>} groups */
  _drawGroups(groups) {
    const names = [...groups].sort().join();
    if (names === this._grouped) return;
    this._grouped = names;
    const { arrangement } = this;
    this.groups.hidden = groups.size < 2;
    this.groups.replaceChildren(
      element("option", { value: "every" }, "Every kind"),
      ...Object.entries(GROUPS)
        .filter(([group]) => groups.has(/** @type {Group} */ (group)))
        .map(([value, text]) => element("option", { value }, text)),
    );
    if (arrangement.group !== "every" && !groups.has(arrangement.group)) arrangement.group = "every";
    this.groups.value = arrangement.group;
  }
}
