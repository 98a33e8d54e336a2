// Scores as a histogram, with the threshold as a line to take hold of.

const BINS = 60;
const GRASP = 11; // pixels to either side of the line that take hold of it
const HIST = { height: 168, top: 22, bottom: 26, left: 8, right: 8 };

/** What there is to count; the bars of a bin stand on each other, the good parts at the bottom. */
const KINDS = [
  ["unknown", "Not labelled"],
  ["defect", "Defects"],
  ["good", "Good, tested"],
  ["kept", "Good, kept out of the fit"],
  ["normal", "Good parts, held out"],
];

class Histogram {
  /**
   * @param {HTMLElement} host
   * @param {(level: number, done: boolean) => void} moved told the level under the line
   */
  constructor(host, moved) {
    this.host = host;
    this.moved = moved;
    this.svg = drawn("svg", { class: "hist", height: HIST.height });
    this.bars = drawn("g");
    this.zone = drawn("rect", { class: "rejected", y: HIST.top });
    this.guard = drawn("rect", { class: "guard", y: HIST.top });
    this.saved = drawn("g", { class: "saved" });
    this.line = drawn("g", {
      class: "line", tabindex: 0, role: "slider", "aria-label": "Threshold", "aria-valuemin": 0,
    });
    const bottom = HIST.height - HIST.bottom;
    this.savedText = drawn("text", { y: HIST.top - 9 }, "in use");
    this.saved.append(drawn("line", { y1: HIST.top, y2: bottom }), this.savedText);
    this.lineText = drawn("text", { y: HIST.top - 9 });
    this.line.append(
      drawn("rect", { class: "grasp", x: -GRASP, y: 0, width: 2 * GRASP, height: HIST.height }),
      drawn("line", { y1: HIST.top - 5, y2: bottom }),
      drawn("circle", { cy: bottom, r: 6 }),
      this.lineText,
    );
    this.axis = drawn("g", { class: "axis" });
    this.svg.append(this.zone, this.guard, this.bars, this.axis, this.saved, this.line);
    host.replaceChildren(this.svg);
    this.width = 0;
    this.low = 0; // the level at the left edge
    this.top = 1; // the level at the right edge
    this.state = null;
    this._listen();
  }

  _listen() {
    let from = null; // where the pointer went down, and how far beside the line
    const x = (event) => event.clientX - this.svg.getBoundingClientRect().left;
    this.svg.addEventListener("pointerdown", (event) => {
      if (!this.state || event.button !== 0) return;
      this.svg.setPointerCapture(event.pointerId);
      this.line.focus({ preventScroll: true });
      const beside = x(event) - this.xOf(this.state.level);
      const held = Math.abs(beside) <= GRASP;
      from = { x: x(event), beside: held ? beside : 0, moved: !held };
      if (!held) this._move(this.levelAt(x(event)), false);
      event.preventDefault();
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from) return;
      // To take hold of the line is not yet to move it.
      from.moved ||= Math.abs(x(event) - from.x) > 2;
      if (from.moved) this._move(this.levelAt(x(event) - from.beside), false);
    });
    const end = () => {
      const { moved } = from ?? {};
      from = null;
      if (moved) this.moved(this.state.level, true);
    };
    this.svg.addEventListener("pointerup", end);
    this.svg.addEventListener("pointercancel", end);
    this.line.addEventListener("keydown", (event) => {
      if (!this.state || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = Math.max(1, Math.round((this.top - this.low) / (event.shiftKey ? 50 : 500)));
      const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step }[event.key];
      const pages = { PageDown: -10 * step, PageUp: 10 * step }[event.key];
      if (by === undefined && pages === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.keyed = true;
      this._move(Math.min(MAX_LEVEL - 1, Math.max(0, this.state.level + (by ?? pages))), false);
    });
    const letGo = () => {
      if (!this.keyed) return;
      this.keyed = false;
      this.moved(this.state.level, true);
    };
    this.line.addEventListener("keyup", letGo);
    this.line.addEventListener("blur", letGo);
  }

  /** Remembered at once: the next key may come before the next frame. */
  _move(level, done) {
    this.state.level = level;
    this.moved(level, done);
  }

  levelAt(x) {
    const inner = this.width - HIST.left - HIST.right;
    const share = Math.min(1, Math.max(0, (x - HIST.left) / inner));
    return Math.min(MAX_LEVEL - 1, Math.round(this.low + share * (this.top - this.low)));
  }

  xOf(level) {
    const inner = this.width - HIST.left - HIST.right;
    return HIST.left + Math.min(1, Math.max(0, (level - this.low) / (this.top - this.low))) * inner;
  }

  /**
   * Draw the bars anew: when scores have changed, not while the threshold moves.
   * @param {Record<string, number[]>} scores levels by kind
   * @param {number[]} range the levels at the edges; what lies beyond is counted in the outermost bins
   */
  setScores(scores, [low, top], width, quantizer) {
    this.width = width;
    this.low = low;
    this.top = Math.max(low + 1, top);
    const span = this.top - this.low;
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HIST.height}`);
    const bottom = HIST.height - HIST.bottom;
    const inner = width - HIST.left - HIST.right;
    const binned = {};
    const heights = new Array(BINS).fill(0);
    for (const [kind] of KINDS) {
      const bins = new Array(BINS).fill(0);
      for (const level of scores[kind] ?? []) {
        bins[Math.max(0, Math.min(BINS - 1, Math.floor(((level - low) / span) * BINS)))]++;
      }
      binned[kind] = bins;
      bins.forEach((n, i) => (heights[i] += n));
    }
    const unit = (bottom - HIST.top - 2) / Math.max(1, ...heights);
    const stacked = new Array(BINS).fill(bottom); // where the next bar of a bin stands
    this.bars.replaceChildren();
    const step = inner / BINS;
    for (const [kind, title] of [...KINDS].reverse()) {
      binned[kind].forEach((n, i) => {
        if (!n) return;
        const height = n * unit;
        stacked[i] -= height;
        const x = HIST.left + i * step;
        const bar = drawn("rect", {
          class: `bar ${kind}`, x: x + 0.5, y: stacked[i], width: Math.max(1, step - 1), height,
        });
        const from = quantizer.toValue(low + (i * span) / BINS).toFixed(2);
        const to = i === BINS - 1 ? "and above" : `to ${quantizer.toValue(low + ((i + 1) * span) / BINS).toFixed(2)}`;
        bar.append(drawn("title", {}, `${title}: ${n} at ${from} ${to}`));
        this.bars.append(bar);
      });
    }
    this.axis.replaceChildren(
      drawn("line", { x1: HIST.left, x2: width - HIST.right, y1: bottom, y2: bottom }),
    );
    const ticks = Math.max(2, Math.min(8, Math.floor(width / 120)));
    for (let i = 0; i <= ticks; i++) {
      const level = low + (i / ticks) * span;
      const anchor = i === 0 ? "start" : i === ticks ? "end" : "middle";
      this.axis.append(
        drawn("text", { x: this.xOf(level), y: bottom + 17, "text-anchor": anchor }, quantizer.toValue(level).toFixed(1)),
      );
    }
  }

  /** Move the line: all that happens while dragging. */
  setThreshold(state) {
    this.state = state;
    const { level, saved, band, quantizer } = state;
    const bottom = HIST.height - HIST.bottom;
    const x = this.xOf(level);
    this.line.setAttribute("transform", `translate(${x} 0)`);
    const value = quantizer.toValue(level).toFixed(2);
    this.line.setAttribute("aria-valuemax", quantizer.toValue(this.top).toFixed(2));
    this.line.setAttribute("aria-valuenow", value);
    this.lineText.textContent = value;
    const right = x > 0.9 * this.width;
    this.lineText.setAttribute("text-anchor", x < 0.1 * this.width ? "start" : right ? "end" : "middle");
    this.zone.setAttribute("x", x);
    this.zone.setAttribute("width", Math.max(0, this.width - HIST.right - x));
    this.zone.setAttribute("height", bottom - HIST.top);
    this.guard.style.display = band ? "" : "none";
    if (band) {
      const low = this.xOf(Math.max(0, level - band));
      this.guard.setAttribute("x", low);
      this.guard.setAttribute("width", Math.max(1, this.xOf(level + band) - low));
      this.guard.setAttribute("height", bottom - HIST.top);
    }
    const apart = saved !== null && saved !== level;
    this.saved.style.display = apart ? "" : "none";
    if (apart) {
      const at = this.xOf(saved);
      this.saved.setAttribute("transform", `translate(${at} 0)`);
      // Two labels on each other could not be read: the line says the value, its place says the rest.
      this.savedText.style.display = Math.abs(at - x) < 56 ? "none" : "";
    }
  }
}
