// @ts-check
// Drawing, at most once in a frame of the browser.

const MEASURE = "padim-viewer-step"; // what benchmarks/viewer.py looks for
const MOST_MEASURES = 2000;

export class Frames {
  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
    this._pending = 0;
    this._measures = 0;
  }

  dispose() {
    cancelAnimationFrame(this._pending);
  }

  /** Draw in the next frame. */
  request() {
    if (this._pending) return;
    this._pending = requestAnimationFrame(() => {
      this._pending = 0;
      const start = performance.now();
      this.draw();
      performance.measure(MEASURE, { start, end: performance.now() });
      if (++this._measures > MOST_MEASURES) {
        performance.clearMeasures(MEASURE);
        this._measures = 0;
      }
    });
  }
}
