// @ts-check
// The results as a table. Only lines within sight exist; which one is marked is the viewer's to say.

import { element } from "../dom.js";
import { mark } from "./gallery.js";
import { library } from "./library.js";
import { IN_FIT } from "./words.js";

/** @typedef {import("./store.js").Item} Item */
/** What is written in a line.
 * @typedef {{ verdict: string, words: string, times: string, checks: string, error: string | null }} LineText */

/**
 * @typedef {object} Line
 * @property {HTMLElement} root
 * @property {Item} item
 * @property {HTMLElement} score
 * @property {HTMLElement} verdict
 * @property {HTMLElement} checks that fire: the part was not found, or lies too far away
 * @property {HTMLElement} regions
 */

const LINE = 52; // heights in pixels: of a line, of the line above all, of the whole at most
const HEAD = 34;
const TALLEST = 480;
const COLUMNS = ["Image", "Name", "Score / threshold", "Verdict", "Regions", "Size (px)"];

export class ResultTable {
  /**
   * @param {HTMLElement} host scrolls
   * @param {(item: Item) => void} opened a line was chosen
   */
  constructor(host, opened) {
    this.host = host;
    this.opened = opened;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, Line>} by the image's id */
    this.lines = new Map();
    /** @type {string | null} */
    this.active = null;
    /** @type {((item: Item) => LineText) | null} */
    this._describe = null;
    this.before = element("tr", { "aria-hidden": "true" });
    this.after = element("tr", { "aria-hidden": "true" });
    const head = COLUMNS.map((title, i) =>
      element("th", { scope: "col" }, i ? title : element("span", { class: "unseen" }, title)),
    );
    this.table = element(
      "table",
      { class: "results", "aria-label": "Results" },
      element("thead", {}, element("tr", { "aria-rowindex": 1 }, ...head)),
      element("tbody", {}, this.before, this.after),
    );
    host.replaceChildren(this.table);
    host.addEventListener("scroll", () => this.layOut(), { passive: true });
  }

  /** @param {Item[]} items */
  setItems(items) {
    this.items = items;
    this.table.setAttribute("aria-rowcount", String(items.length + 1));
    this.layOut();
  }

  /**
   * @param {string | null} id
   * @param {boolean} follow whether to scroll it into sight
   */
  setActive(id, follow) {
    this.active = id;
    for (const [other, line] of this.lines) mark(line.root, other === id);
    const at = this.items.findIndex((item) => item.id === id);
    if (!follow || at < 0) return;
    const { scrollTop, clientHeight } = this.host;
    const below = (at + 1) * LINE + HEAD;
    if (at * LINE < scrollTop) this.host.scrollTop = at * LINE;
    else if (below > scrollTop + clientHeight) this.host.scrollTop = below - clientHeight;
  }

  /** Make the lines in sight, drop the others. */
  layOut() {
    if (this.host.hidden) return;
    const tall = Math.min(TALLEST, this.items.length * LINE + HEAD);
    this.host.style.height = `${tall + 2}px`; // and its border
    const first = Math.max(0, Math.min(Math.floor(this.host.scrollTop / LINE) - 2, this.items.length - 1));
    const seen = this.items.slice(first, first + Math.ceil(tall / LINE) + 4);
    const wanted = new Set(seen.map((item) => item.id));
    for (const [id, line] of this.lines) {
      if (wanted.has(id)) continue;
      line.root.remove();
      this.lines.delete(id);
    }
    this.before.style.height = `${first * LINE}px`;
    this.after.style.height = `${(this.items.length - first - seen.length) * LINE}px`;
    /** @type {HTMLElement} */
    let behind = this.before;
    seen.forEach((item, i) => {
      const line = this.lines.get(item.id) ?? this._line(item);
      if (behind.nextSibling !== line.root) behind.after(line.root);
      behind = line.root;
      line.root.setAttribute("aria-rowindex", String(first + i + 2));
    });
    this._write();
  }

  /** @param {Item} item */
  _line(item) {
    const image = element("img", { alt: "", draggable: "false", decoding: "async" });
    if (item.image) library.image(item.image).then((source) => source && (image.src = source));
    const score = element("td", { class: "number" });
    const verdict = element("td");
    const regions = element("td", { class: "number" });
    const checks = element("span", { class: "checks" });
    const notes = item.notes.join(" ");
    const noted = notes ? [element("span", { class: "notes", title: notes }, notes)] : [];
    const root = element(
      "tr",
      {},
      element("td", { class: "thumb" }, image),
      element("td", { class: "file", title: item.name }, item.name, ...(item.in_fit ? [inFit()] : []), checks, ...noted),
      score,
      verdict,
      regions,
      element("td", { class: "number" }, `${item.width} × ${item.height}`),
    );
    root.addEventListener("click", () => this.opened(item));
    mark(root, item.id === this.active);
    /** @type {Line} */
    const line = { root, item, score, verdict, checks, regions };
    this.lines.set(item.id, line);
    return line;
  }

  /**
   * Write the lines in sight.
   *
   * @param {(item: Item) => LineText} describe
   */
  redraw(describe) {
    this._describe = describe;
    this._write();
  }

  _write() {
    if (!this._describe) return;
    for (const { root, item, score, verdict, checks, regions } of this.lines.values()) {
      const text = this._describe(item);
      root.dataset.verdict = text.verdict;
      root.dataset.error = text.error ?? "";
      setText(score, text.times);
      setText(verdict, text.words);
      setText(checks, text.checks);
      checks.title = text.checks;
      setText(regions, String(item.regions));
    }
  }
}

/** The mark of an image that the model was fitted on. */
function inFit() {
  return element("span", { class: "in-fit" }, IN_FIT);
}

/**
 * @param {HTMLElement} cell
 * @param {string} text
 */
function setText(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}
