// @ts-check
// Which part of the images is seen: the same in every pane of every row.

const MOST_ZOOM = 40;
const MOST_OBLONG = 6;

/**
 * Width over height as shown: a strip or a web would be a line of no height, so it is shown stretched.
 *
 * @param {{ width: number, height: number }} image
 */
export function shownRatio({ width, height }) {
  return Math.min(MOST_OBLONG, Math.max(1 / MOST_OBLONG, width / height));
}

/** Zoom, and the corner in shares of the image. */
export class Sight {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
  }

  reset() {
    this.set(1, 0, 0);
  }

  /**
   * @param {number} zoom
   * @param {number} x
   * @param {number} y
   */
  set(zoom, x, y) {
    const kept = Math.min(MOST_ZOOM, Math.max(1, zoom));
    const most = 1 - 1 / kept;
    this.zoom = kept;
    this.x = Math.min(most, Math.max(0, x));
    this.y = Math.min(most, Math.max(0, y));
    this.changed();
  }

  /**
   * Zoom so that the point under the pointer, at (u, v) of the pane, stays where it is.
   *
   * @param {number} factor
   * @param {number} u
   * @param {number} v
   */
  zoomAt(factor, u, v) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.set(zoom, this.x + u / this.zoom - u / zoom, this.y + v / this.zoom - v / zoom);
  }

  /** The zoom as it is written on its button. */
  get text() {
    return `${this.zoom < 10 ? Number(this.zoom.toFixed(1)) : Math.round(this.zoom)} ×`;
  }
}

/**
 * Let a pane zoom and move by wheel, drag and double click.
 *
 * @param {HTMLElement} frame the pane
 * @param {HTMLElement} grid all panes of the row
 * @param {Sight} sight
 * @param {(at: { u: number, v: number } | null) => void} pointed called with the place under the pointer
 */
export function listenForSight(frame, grid, sight, pointed) {
  /** @param {MouseEvent} event @returns {[number, number]} */
  const place = (event) => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  frame.addEventListener(
    "wheel",
    (event) => {
      // The page must still scroll under a pointer that only passes: the wheel is ours once a pane has focus.
      if (!event.ctrlKey && !event.metaKey && !grid.matches(":focus-within")) return;
      event.preventDefault();
      sight.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
    },
    { passive: false },
  );
  /** @type {{ at: [number, number], x: number, y: number } | null} */
  let from = null;
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.focus({ preventScroll: true });
    if (sight.zoom === 1) return;
    frame.setPointerCapture(event.pointerId);
    from = { at: place(event), x: sight.x, y: sight.y };
  });
  frame.addEventListener("pointermove", (event) => {
    const [u, v] = place(event);
    if (from) {
      const { zoom } = sight;
      sight.set(zoom, from.x - (u - from.at[0]) / zoom, from.y - (v - from.at[1]) / zoom);
    }
    if (u >= 0 && v >= 0 && u < 1 && v < 1) pointed({ u, v });
  });
  const release = () => (from = null);
  frame.addEventListener("pointerup", release);
  frame.addEventListener("pointercancel", release);
  frame.addEventListener("pointerleave", () => pointed(null));
  frame.addEventListener("dblclick", () => sight.reset());
}
