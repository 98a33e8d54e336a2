// @ts-check
// The table of how many images lie on either side of the threshold, by what they are.

import { element, find } from "../dom.js";
import { GROUP_TITLES } from "./bins.js";
import { whole } from "./words.js";

/**
 * The class of a cell; a count of errors looks like one.
 *
 * @param {boolean} wrong whether such a verdict is an error
 * @param {number} n
 * @param {string} name
 */
const error = (wrong, n, name) => (wrong && n ? `${name} error` : name);

export class CountsTable {
  /** @param {HTMLTableElement} table */
  constructor(table) {
    this.head = find(table, "thead", HTMLTableSectionElement);
    this.body = find(table, "tbody", HTMLTableSectionElement);
    this._drawn = "";
  }

  /**
   * @param {Record<import("./message.js").Group, Record<import("./message.js").Verdict, number>>} counts by group
   * @param {boolean} band whether there may be images in review, neither accepted nor rejected
   */
  draw(counts, band) {
    const rows = [...GROUP_TITLES].reverse().flatMap(([group, title]) => {
      const { accept, review, reject } = counts[group];
      const n = accept + review + reject;
      return n ? [{ group, title, accept, review, reject, n }] : [];
    });
    const key = JSON.stringify(rows);
    if (key === this._drawn) return;
    this._drawn = key;
    const head = [
      element("span", { class: "unseen" }, "Images"),
      "Accepted",
      ...(band ? ["In review"] : []),
      "Rejected",
      "Share rejected, counted",
      ...(band ? ["Rejected or in review, counted"] : []),
    ];
    const share = (/** @type {number} */ some, /** @type {number} */ of) => `${((100 * some) / of).toFixed(1)} %`;
    this.head.replaceChildren(element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text))));
    this.body.replaceChildren(
      ...rows.map(({ group, title, accept, review, reject, n }) =>
        element("tr", { "data-kind": group },
          element("th", { scope: "row" }, element("i", { class: `swatch ${group}` }), title),
          element("td", { class: error(group === "defect", accept, "below") }, whole.format(accept)),
          ...(band ? [element("td", { class: "review" }, whole.format(review))] : []),
          element("td", { class: error(group !== "defect" && group !== "unknown", reject, "above") }, whole.format(reject)),
          element("td", { class: "share-above" }, share(reject, n)),
          ...(band ? [element("td", { class: "share-not-accepted" }, share(reject + review, n))] : []))),
    );
  }
}
