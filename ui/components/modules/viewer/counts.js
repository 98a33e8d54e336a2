// @ts-check
// The table of how many images lie on either side of the threshold, by what they are.

import { element, find } from "../dom.js";
import { GROUP_TITLES } from "./bins.js";
import { countVerdicts } from "./verdicts.js";
import { whole } from "./words.js";

export class CountsTable {
  /** @param {HTMLTableElement} table */
  constructor(table) {
    this.head = find(table, "thead", HTMLTableSectionElement);
    this.body = find(table, "tbody", HTMLTableSectionElement);
    this._drawn = "";
  }

  /**
   * @param {import("./bins.js").ScoresByGroup} scores
   * @param {number} level the threshold
   * @param {number} band scores in it are in review, and neither accepted nor rejected
   */
  draw(scores, level, band) {
    const rows = [...GROUP_TITLES]
      .reverse()
      .filter(([group]) => scores[group].length)
      .map(([group, title]) => ({ group, title, ...countVerdicts(scores[group], level, band), n: scores[group].length }));
    const key = JSON.stringify(rows);
    if (key === this._drawn) return;
    this._drawn = key;
    const head = [
      "",
      "Accepted",
      ...(band ? ["In review"] : []),
      "Rejected",
      "Share rejected, counted",
      ...(band ? ["Rejected or in review, counted"] : []),
    ];
    const share = (/** @type {number} */ some, /** @type {number} */ of) => `${((100 * some) / of).toFixed(1)} %`;
    this.head.replaceChildren(element("tr", {}, ...head.map((text) => element("th", {}, text))));
    this.body.replaceChildren(
      ...rows.map(({ group, title, accept, review, reject, n }) =>
        element("tr", { "data-kind": group },
          element("th", {}, element("i", { class: `swatch ${group}` }), title),
          element("td", { class: "below" }, whole.format(accept)),
          ...(band ? [element("td", { class: "review" }, whole.format(review))] : []),
          element("td", { class: "above" }, whole.format(reject)),
          element("td", { class: "share-above" }, share(reject, n)),
          ...(band ? [element("td", { class: "share-not-accepted" }, share(reject + review, n))] : []))),
    );
  }
}
