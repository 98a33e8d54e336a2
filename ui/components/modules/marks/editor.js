// @ts-check
// The editor of marks on the reference part: rectangles at places, an area of background, the first end. Whether a
// mark can be used is worked out in Python (padim.locating), which answers every change.

import { find } from "../dom.js";
import { listenToKeys } from "./keys.js";
import { drawLayer } from "./layer.js";
import { listenToPanel, Panel } from "./panel.js";
import { listenToPointer } from "./pointer.js";
import { isMeant, MOST } from "./rectangles.js";
import { Sketch } from "./sketch.js";

/** @typedef {import("./message.js").Kind} Kind */
/** @typedef {import("./message.js").Mark} Mark */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./message.js").Point} Point */

/**
 * A mark, or one of its corners, being dragged.
 *
 * @typedef {object} Drag
 * @property {Point} at where it began
 * @property {number} index of the mark
 * @property {number | null} corner null: the whole mark
 * @property {Mark[]} marks before
 * @property {boolean} moved
 */

const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

export class Editor {
  /**
   * @param {ShadowRoot} root
   * @param {(report: import("./message.js").MarksReport) => void} report
   * @param {Message} message
   */
  constructor(root, report, message) {
    this.report = report;
    this.message = message;
    this.host = find(root, ".marks", HTMLElement);
    this.stage = find(root, ".stage", HTMLElement);
    this.sheet = find(root, ".sheet", HTMLElement);
    this.svg = find(root, ".layer", SVGSVGElement);
    this.image = find(root, ".reference", HTMLImageElement);
    this.panel = new Panel(root);
    this.sketch = new Sketch();
    /** @type {Kind} that is drawn next */
    this.kind = message.kinds[0];
    /** @type {Drag | null} */
    this.drag = null;
    /** @type {Mark | null} being drawn */
    this.unfinished = null;
    /** @type {Point | null} its first corner */
    this.anchor = null;
    /** @type {Point | null} where the keyboard's pen is */
    this.pen = null;
    this.penByKey = false;
    this._zoom = 0;
    listenToPanel(this);
    listenToPointer(this);
    listenToKeys(this);
    this._resized = new ResizeObserver(() => this.drawMarks());
    this._resized.observe(this.sheet);
    this.update(message);
  }

  dispose() {
    this._resized.disconnect();
  }

  /** @param {Message} message */
  update(message) {
    this.message = message;
    const fresh = this.sketch.takeOver(message, this.drag !== null || this.unfinished !== null);
    if (fresh) {
      this.drag = this.anchor = this.unfinished = this.pen = null;
      this._zoomTo(0);
    }
    if (!message.kinds.includes(this.kind)) this.kind = message.kinds[0];
    if (this.image.getAttribute("src") !== message.url) this.image.src = message.url;
    this.image.alt = `Reference part: ${message.name}`;
    this.sheet.style.aspectRatio = `${message.width} / ${message.height}`;
    this.svg.setAttribute("viewBox", `0 0 ${message.width} ${message.height}`);
    this.host.style.setProperty("--aspect", String(message.width / message.height));
    this.panel.offer(message.kinds);
    this.draw();
  }

  // -- changes --------------------------------------------------------------------------------------------

  /**
   * Put other marks in the place of these: one step to undo, and one message to Python.
   *
   * @param {Mark[]} marks
   * @param {number} [selected]
   */
  change(marks, selected = -1) {
    this.sketch.change(marks, selected);
    this._reportMarks();
  }

  _reportMarks() {
    const { id, serial, marks } = this.sketch;
    this.report({ id: id ?? "", serial, marks });
    this.draw();
  }

  /**
   * A mark more; where only one of its kind can be, in the place of that one.
   *
   * @param {Mark} mark
   */
  add(mark) {
    const { marks } = this.sketch;
    this.draw();
    if (!isMeant(mark)) return;
    const alike = marks.filter(({ kind }) => kind === mark.kind).length;
    if (alike < MOST[mark.kind]) {
      this.change([...marks, mark], marks.length);
    } else if (MOST[mark.kind] === 1) {
      const others = marks.filter(({ kind }) => kind !== mark.kind);
      this.change([...others, mark], others.length);
    } else {
      this.panel.hint(this, "Two places are the most: delete one, or drag it elsewhere.");
    }
  }

  undo() {
    if (this.sketch.undo()) this._reportMarks();
  }

  redo() {
    if (this.sketch.redo()) this._reportMarks();
  }

  /** Delete the mark that is selected. */
  remove() {
    const { marks, selected } = this.sketch;
    if (selected >= 0) this.change(marks.filter((_, i) => i !== selected));
  }

  /** Give up what is being drawn or dragged, else the selection. */
  giveUp() {
    if (this.drag) this.sketch.marks = this.drag.marks;
    else if (!this.anchor) this.sketch.selected = -1;
    this.drag = this.anchor = this.unfinished = null;
    this.draw();
  }

  /** @param {Kind} kind */
  setKind(kind) {
    this.kind = kind;
    this.anchor = this.unfinished = null;
    this.sketch.selected = -1;
    this.draw();
  }

  // -- the view -------------------------------------------------------------------------------------------

  /**
   * A place kept inside the image, in whole pixels.
   *
   * @param {number} x
   * @param {number} y
   * @returns {Point}
   */
  within(x, y) {
    const { width, height } = this.message;
    return [Math.min(width, Math.max(0, Math.round(x))), Math.min(height, Math.max(0, Math.round(y)))];
  }

  /** Image pixels that a screen pixel is. */
  get unit() {
    return this.message.width / (this.svg.clientWidth || this.message.width);
  }

  /** @param {number} steps */
  canZoom(steps) {
    return ZOOMS[this._zoom + steps] !== undefined;
  }

  /** @param {number} steps */
  zoomBy(steps) {
    if (this.canZoom(steps)) this._zoomTo(this._zoom + steps);
    this.draw();
  }

  /**
   * Show so much of the image; what is in the middle stays there.
   *
   * @param {number} zoom
   */
  _zoomTo(zoom) {
    const { stage } = this;
    const [x, y] = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
    const ratio = ZOOMS[zoom] / ZOOMS[this._zoom];
    this._zoom = zoom;
    this.sheet.style.width = `${100 * ZOOMS[zoom]}%`;
    stage.scrollTo(x * ratio - stage.clientWidth / 2, y * ratio - stage.clientHeight / 2);
  }

  /** Bring everything in line with what is. */
  draw() {
    this.panel.draw(this);
    this.drawMarks();
  }

  drawMarks() {
    this.panel.zoom.textContent = `${Math.round(100 / (this.unit * (window.devicePixelRatio || 1)))} %`;
    drawLayer(this.svg, this);
  }
}
