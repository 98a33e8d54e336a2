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
   * @param {number} band what is to be reviewed counts on neither side
   */
  draw(scores, level, band) {
    const rows = [...GROUP_TITLES]
      .reverse()
      .filter(([group]) => scores[group].length)
      .map(([group, title]) => ({ group, title, ...countVerdicts(scores[group], level, band), n: scores[group].length }));
    const key = JSON.stringify(rows);
    if (key === this._drawn) return;
    this._drawn = key;
    const head = ["", "Pass", "Rejected", ...(band ? ["To review"] : []), "Share rejected, counted"];
    this.head.replaceChildren(element("tr", {}, ...head.map((text) => element("th", {}, text))));
    this.body.replaceChildren(
      ...rows.map(({ group, title, accept, review, reject, n }) =>
        element("tr", { "data-kind": group },
          element("th", {}, element("i", { class: `swatch ${group}` }), title),
          element("td", { class: "below" }, whole.format(accept)),
          element("td", { class: "above" }, whole.format(reject)),
          ...(band ? [element("td", { class: "review" }, whole.format(review))] : []),
          element("td", { class: "share-above" }, `${((100 * reject) / n).toFixed(1)} %`))),
    );
  }
}
