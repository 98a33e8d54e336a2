// @ts-check
// The line above the large image: its name, its verdict, its label.

import { dataOf, find } from "../dom.js";
import { shownRatio } from "./sight.js";
import { ERROR_WORDS, VERDICT_WORDS } from "./verdicts.js";
import { counted, IN_FIT, multipleOf, whole } from "./words.js";

/** @typedef {import("./store.js").Item} Item */

/**
 * @typedef {object} HeadlineActions
 * @property {(label: "good" | "defect" | "kept") => void} label
 * @property {() => void} downloadMask
 * @property {(by: number) => void} go
 */

export class Headline {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {HeadlineActions} actions
   */
  constructor(root, store, actions) {
    this.store = store;
    this.name = find(root, ".name", HTMLElement);
    this.badge = find(root, ".verdict", HTMLElement);
    this.details = find(root, ".headline .details", HTMLElement);
    this.place = find(root, ".place", HTMLElement);
    /** What a screen reader hears as one goes from image to image. */
    this.heard = find(root, ".heard", HTMLElement);
    /** @type {string | null} id of the image that was drawn last */
    this._last = null;
    this.notes = find(root, ".headline .notes", HTMLElement);
    this.labels = find(root, ".labels", HTMLElement);
    this.keep = find(root, ".labels [data-label=kept]", HTMLElement);
    this.files = find(root, ".files", HTMLElement);
    this.takeMask = find(root, ".take-mask", HTMLButtonElement);
    this.previous = find(root, ".previous", HTMLButtonElement);
    this.next = find(root, ".next", HTMLButtonElement);
    this.labels.addEventListener("click", (event) => {
      const { label } = dataOf(event);
      if (label === "good" || label === "defect" || label === "kept") actions.label(label);
    });
    this.takeMask.addEventListener("click", () => actions.downloadMask());
    this.previous.addEventListener("click", () => actions.go(-1));
    this.next.addEventListener("click", () => actions.go(1));
  }

  /**
   * One frame.
   *
   * @param {Item} item
   * @param {import("./draft.js").Decision} decision
   * @param {Item[]} list in which it may be
   * @param {import("./image_row.js").ImageRow} row that shows it, or will
   */
  draw(item, decision, list, row) {
    const { quantizer } = this.store;
    const { level, minArea } = decision;
    const verdict = this.store.verdictOf(item, decision);
    const score = this.store.scoreOf(item, minArea);
    const drawn = row.map !== null && row.item === item;
    this.name.textContent = item.name;
    this.badge.textContent = VERDICT_WORDS[verdict];
    this.badge.dataset.verdict = verdict;
    const times = `${multipleOf(quantizer.toValue(score), quantizer.toValue(level))} threshold`;
    const error = this.store.errorOf(item, decision);
    this.badge.dataset.error = error ?? "";
    const details = [...(error ? [ERROR_WORDS[error].toLowerCase()] : []), ...(item.lost ? [] : [times])];
    if (verdict === "review" && !item.lost) details.push(`${score > level ? "above" : "below"} it, within repeatability`);
    details.push(...this.store.checksOf(item, level));
    if (item.in_fit) details.push(IN_FIT);
    if (drawn && row.regions) details.push(counted(row.regions, "region"));
    this.details.textContent = details.join(" · ");
    const at = list.indexOf(item);
    const stretched = shownRatio(item) === item.width / item.height ? "" : ", shown stretched";
    const of = at >= 0 ? ` · ${whole.format(at + 1)} of ${whole.format(list.length)}` : "";
    this.place.textContent = `${item.width} × ${item.height} px${stretched}${of}`;
    if (this._last !== null && this._last !== item.id) {
      this.heard.textContent = `${item.name}: ${[VERDICT_WORDS[verdict], ...details].join(", ")}${of}`;
    }
    this._last = item.id;
    this.notes.textContent = item.notes.join(" ");
    this.notes.hidden = !item.notes.length;
    for (const button of this.labels.querySelectorAll("button")) {
      const { label } = button.dataset;
      button.setAttribute("aria-pressed", String(label === "kept" ? item.kept : item.label === label));
      if (label === "good") button.hidden = item.held >= 0;
    }
    this.takeMask.disabled = !drawn;
    this.previous.disabled = at <= 0;
    this.next.disabled = at < 0 || at === list.length - 1;
  }
}
