// @ts-check
// Scores as a histogram, with the threshold as a line to take hold of.

import { svgElement } from "../dom.js";
import { Axis, BINS, binned, GROUP_TITLES } from "./bins.js";
import { MAX_LEVEL } from "./levels.js";

/** @typedef {import("./levels.js").Quantizer} Quantizer */

/**
 * Where the line stands.
 *
 * @typedef {object} LineState
 * @property {number} level the threshold
 * @property {number | null} saved the threshold in use
 * @property {number} band levels to either side of the threshold that call for a second look
 * @property {Quantizer} quantizer
 */

const GRASP = 11; // pixels to either side of the line that take hold of it
const HIST = { height: 168, top: 22, bottom: 26, left: 8, right: 8 };
const FLOOR = HIST.height - HIST.bottom; // what the bars stand on

export class Histogram {
  /**
   * @param {HTMLElement} host
   * @param {(level: number, done: boolean) => void} moved called with the level under the line; done once it is
   *   released
   */
  constructor(host, moved) {
    this.host = host;
    this.moved = moved;
    this.svg = svgElement("svg", { class: "hist", height: HIST.height });
    this.bars = svgElement("g");
    this.zone = svgElement("rect", { class: "rejected", y: HIST.top });
    this.guard = svgElement("rect", { class: "guard", y: HIST.top });
    this.saved = svgElement("g", { class: "saved" });
    this.line = svgElement("g", {
      class: "line", tabindex: 0, role: "slider", "aria-label": "Threshold", "aria-valuemin": 0,
    });
    this.savedText = svgElement("text", { y: HIST.top - 9 }, "in use");
    this.saved.append(svgElement("line", { y1: HIST.top, y2: FLOOR }), this.savedText);
    this.lineText = svgElement("text", { y: HIST.top - 9 });
    this.line.append(
      svgElement("rect", { class: "grasp", x: -GRASP, y: 0, width: 2 * GRASP, height: HIST.height }),
      svgElement("line", { y1: HIST.top - 5, y2: FLOOR }),
      svgElement("circle", { cy: FLOOR, r: 6 }),
      this.lineText,
    );
    this.scale = svgElement("g", { class: "axis" });
    this.svg.append(this.zone, this.guard, this.bars, this.scale, this.saved, this.line);
    host.replaceChildren(this.svg);
    this.width = 0;
    this.axis = new Axis(0, 1, HIST.left, 0);
    /** @type {LineState | null} */
    this.state = null;
    this._keyed = false;
    this._listenToPointer();
    this._listenToKeys();
  }

  _listenToPointer() {
    /** @type {{ x: number, beside: number, moved: boolean } | null} where it went down, how far beside the line */
    let from = null;
    const x = (/** @type {PointerEvent} */ event) => event.clientX - this.svg.getBoundingClientRect().left;
    this.svg.addEventListener("pointerdown", (event) => {
      if (!this.state || event.button !== 0) return;
      this.svg.setPointerCapture(event.pointerId);
      this.line.focus({ preventScroll: true });
      const beside = x(event) - this.axis.xOf(this.state.level);
      const held = Math.abs(beside) <= GRASP;
      from = { x: x(event), beside: held ? beside : 0, moved: !held };
      if (!held) this._move(this.axis.levelAt(x(event)));
      event.preventDefault();
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from) return;
      // To take hold of the line is not yet to move it.
      from.moved ||= Math.abs(x(event) - from.x) > 2;
      if (from.moved) this._move(this.axis.levelAt(x(event) - from.beside));
    });
    const end = () => {
      const moved = from?.moved;
      from = null;
      if (moved && this.state) this.moved(this.state.level, true);
    };
    this.svg.addEventListener("pointerup", end);
    this.svg.addEventListener("pointercancel", end);
  }

  _listenToKeys() {
    this.line.addEventListener("keydown", (event) => {
      if (!this.state || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = Math.max(1, Math.round(this.axis.span / (event.shiftKey ? 50 : 500)));
      /** @type {Record<string, number>} */
      const moves = {
        ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step,
        PageDown: -10 * step, PageUp: 10 * step,
      };
      const by = moves[event.key];
      if (by === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this._keyed = true;
      this._move(Math.min(MAX_LEVEL - 1, Math.max(0, this.state.level + by)));
    });
    const release = () => {
      if (!this._keyed || !this.state) return;
      this._keyed = false;
      this.moved(this.state.level, true);
    };
    this.line.addEventListener("keyup", release);
    this.line.addEventListener("blur", release);
  }

  /**
   * Remembered at once: the next key may come before the next frame.
   *
   * @param {number} level
   */
  _move(level) {
    if (this.state) this.state.level = level;
    this.moved(level, false);
  }

  /**
   * Draw the bars anew: when scores have changed, not while the threshold moves.
   *
   * @param {import("./bins.js").ScoresByGroup} scores
   * @param {[number, number]} span the levels at the edges
   * @param {number} width in pixels
   * @param {Quantizer} quantizer
   */
  setScores(scores, [low, top], width, quantizer) {
    this.width = width;
    this.axis = new Axis(low, top, HIST.left, width - HIST.left - HIST.right);
    this.svg.setAttribute("width", String(width));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HIST.height}`);
    const { span, inner } = this.axis;
    const counts = GROUP_TITLES.map(([group]) => binned(scores[group], this.axis.low, this.axis.top));
    const heights = new Array(BINS).fill(0);
    for (const bins of counts) bins.forEach((n, i) => (heights[i] += n));
    const unit = (FLOOR - HIST.top - 2) / Math.max(1, ...heights);
    const stacked = new Array(BINS).fill(FLOOR); // where the next bar of a bin stands
    const step = inner / BINS;
    this.bars.replaceChildren();
    for (let kind = GROUP_TITLES.length - 1; kind >= 0; kind--) {
      const [group, title] = GROUP_TITLES[kind];
      counts[kind].forEach((n, i) => {
        if (!n) return;
        const height = n * unit;
        stacked[i] -= height;
        const bar = svgElement("rect", {
          class: `bar ${group}`, x: HIST.left + i * step + 0.5, y: stacked[i], width: Math.max(1, step - 1), height,
        });
        const from = quantizer.toValue(low + (i * span) / BINS).toFixed(2);
        const to = i === BINS - 1 ? "and above" : `to ${quantizer.toValue(low + ((i + 1) * span) / BINS).toFixed(2)}`;
        bar.append(svgElement("title", {}, `${title}: ${n} at ${from} ${to}`));
        this.bars.append(bar);
      });
    }
    this._drawScale(quantizer);
  }

  /** @param {Quantizer} quantizer */
  _drawScale(quantizer) {
    const { axis, width } = this;
    this.scale.replaceChildren(
      svgElement("line", { x1: HIST.left, x2: width - HIST.right, y1: FLOOR, y2: FLOOR }),
    );
    const ticks = Math.max(2, Math.min(8, Math.floor(width / 120)));
    for (let i = 0; i <= ticks; i++) {
      const level = axis.low + (i / ticks) * axis.span;
      const anchor = i === 0 ? "start" : i === ticks ? "end" : "middle";
      const text = quantizer.toValue(level).toFixed(1);
      this.scale.append(svgElement("text", { x: axis.xOf(level), y: FLOOR + 17, "text-anchor": anchor }, text));
    }
  }

  /**
   * Move the line: all that happens while dragging.
   *
   * @param {LineState} state
   */
  setThreshold(state) {
    this.state = state;
    const { level, saved, band, quantizer } = state;
    const x = this.axis.xOf(level);
    this.line.setAttribute("transform", `translate(${x} 0)`);
    const value = quantizer.toValue(level).toFixed(2);
    this.line.setAttribute("aria-valuemax", quantizer.toValue(this.axis.top).toFixed(2));
    this.line.setAttribute("aria-valuenow", value);
    this.lineText.textContent = value;
    const right = x > 0.9 * this.width;
    this.lineText.setAttribute("text-anchor", x < 0.1 * this.width ? "start" : right ? "end" : "middle");
    spread(this.zone, x, Math.max(0, this.width - HIST.right - x));
    this.guard.style.display = band ? "" : "none";
    if (band) {
      const low = this.axis.xOf(Math.max(0, level - band));
      spread(this.guard, low, Math.max(1, this.axis.xOf(level + band) - low));
    }
    const apart = saved !== null && saved !== level;
    this.saved.style.display = apart ? "" : "none";
    if (apart) {
      const at = this.axis.xOf(saved);
      this.saved.setAttribute("transform", `translate(${at} 0)`);
      // Two labels on each other could not be read: the line has the value, and its place tells it apart.
      this.savedText.style.display = Math.abs(at - x) < 56 ? "none" : "";
    }
  }
}

/**
 * Let a rectangle cover a stretch of the axis.
 *
 * @param {SVGRectElement} rect
 * @param {number} x
 * @param {number} width
 */
function spread(rect, x, width) {
  rect.setAttribute("x", String(x));
  rect.setAttribute("width", String(width));
  rect.setAttribute("height", String(FLOOR - HIST.top));
}
