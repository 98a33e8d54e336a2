// One picture large: original, heatmap, mask and overlay, zoomed and moved together.

const PANES = [
  ["original", "Original"],
  ["heatmap", "Heatmap"],
  ["mask", "Mask"],
  ["overlay", "Overlay"],
];
const MOST_ZOOM = 40;
const MOST_OBLONG = 6;
const HEAT_SIDE = 256; // maps with a longer side have their heat drawn at half their size

/** Width over height as shown: a strip or a web would be a line of no height, so it is shown stretched. */
function shownRatio({ width, height }) {
  return Math.min(MOST_OBLONG, Math.max(1 / MOST_OBLONG, width / height));
}

/** What part of the picture is seen, the same in every pane: zoom, and the corner in shares of the picture. */
class Sight {
  constructor(changed) {
    this.changed = changed;
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
  }

  reset() {
    this.set(1, 0, 0);
  }

  set(zoom, x, y) {
    const kept = Math.min(MOST_ZOOM, Math.max(1, zoom));
    const most = 1 - 1 / kept;
    this.zoom = kept;
    this.x = Math.min(most, Math.max(0, x));
    this.y = Math.min(most, Math.max(0, y));
    this.changed();
  }

  /** Zoom so that the point under the pointer, at (u, v) of the pane, stays where it is. */
  zoomAt(factor, u, v) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.set(zoom, this.x + u / this.zoom - u / zoom, this.y + v / this.zoom - v / zoom);
  }
}

/** The four panes of one picture. */
class PictureRow {
  /**
   * @param {Sight} sight shared by all rows
   * @param {(found: {x, y, u, v, item, map} | null) => void} pointed told what lies under the pointer
   */
  constructor(sight, pointed) {
    this.sight = sight;
    this.pointed = pointed;
    this.item = null;
    this.map = null;
    this.name = element("span", { class: "row-name" });
    this.panes = {};
    const figures = PANES.map(([kind, title]) => {
      const stage = element("div", { class: "stage" });
      const pane = { kind, stage, layers: {} };
      const layers = { original: ["original"], heatmap: ["heat"], mask: ["mask"], overlay: ["original", "heat", "mask"] };
      for (const layer of layers[kind]) {
        pane.layers[layer] = element("canvas", { class: layer });
        stage.append(pane.layers[layer]);
        if (layer === "original") {
          pane.full = element("img", { class: "full", alt: "" });
          stage.append(pane.full);
        }
      }
      pane.frame = element("div", { class: "frame", tabindex: 0, role: "img" }, stage);
      if (kind === "overlay") {
        pane.contour = element("canvas", { class: "contour" });
        pane.frame.append(pane.contour);
      }
      pane.frame.append(element("div", { class: "cross" }));
      this._listen(pane.frame);
      this.panes[kind] = pane;
      const caption = element("figcaption", {}, title);
      if (kind === "heatmap") caption.append(this._legend());
      pane.figure = element("figure", { class: `pane ${kind}` }, pane.frame, caption);
      return pane.figure;
    });
    this.grid = element("div", { class: "panes" }, ...figures);
    this.root = element("div", { class: "row" }, this.name, this.grid);
    this.path = null;
    this.seen = [0, 0]; // pixels of the overlay's frame
  }

  /** The colour scale: the same for every picture, with the threshold in its middle. */
  _legend() {
    this.bar = element("i", { class: "bar-of-colors" });
    return element("span", { class: "legend", title: "The threshold is always the middle of the scale, for every picture alike." },
      "0", this.bar, "2 × threshold");
  }

  _listen(frame) {
    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    frame.addEventListener(
      "wheel",
      (event) => {
        // The page must still scroll under a pointer that only passes: the wheel is ours once a pane has focus.
        if (!event.ctrlKey && !event.metaKey && !this.grid.matches(":focus-within")) return;
        event.preventDefault();
        this.sight.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
      },
      { passive: false },
    );
    let from = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      frame.focus({ preventScroll: true });
      if (this.sight.zoom === 1) return;
      frame.setPointerCapture(event.pointerId);
      from = { at: place(event), x: this.sight.x, y: this.sight.y };
    });
    frame.addEventListener("pointermove", (event) => {
      const [u, v] = place(event);
      if (from) {
        const { zoom } = this.sight;
        this.sight.set(zoom, from.x - (u - from.at[0]) / zoom, from.y - (v - from.at[1]) / zoom);
      }
      this._point(u, v);
    });
    const release = () => (from = null);
    frame.addEventListener("pointerup", release);
    frame.addEventListener("pointercancel", release);
    frame.addEventListener("pointerleave", () => this.pointed(null));
    frame.addEventListener("dblclick", () => this.sight.reset());
  }

  _point(u, v) {
    const { item, sight } = this;
    if (!item || u < 0 || v < 0 || u >= 1 || v >= 1) return;
    const x = Math.min(item.width - 1, Math.floor((sight.x + u / sight.zoom) * item.width));
    const y = Math.min(item.height - 1, Math.floor((sight.y + v / sight.zoom) * item.height));
    this.pointed({ x, y, u, v, item, map: this.map });
  }

  /** A cross at the same place in every pane; null takes it away. */
  cross(at) {
    this.grid.classList.toggle("pointed", at !== null);
    if (!at) return;
    this.grid.style.setProperty("--u", at.u);
    this.grid.style.setProperty("--v", at.v);
  }

  /** Show a picture; its map may come later. */
  show(item, map, titled) {
    const other = this.item !== item;
    const full = item.full !== this.fullUrl || other;
    this.item = item;
    if (other) this.border = undefined; // another picture may lie elsewhere in the map
    this.map = map ?? null;
    this.name.textContent = titled ? item.name : "";
    this.grid.style.setProperty("--ratio", shownRatio(item));
    this.grid.classList.toggle("wide", item.width > 2.2 * item.height);
    for (const [kind, title] of PANES) {
      const pane = this.panes[kind];
      pane.frame.setAttribute("aria-label", `${title} of ${item.name}`);
    }
    if (other) this._drawPicture(item);
    if (full) this._loadFull(item);
  }

  _originals() {
    return [this.panes.original, this.panes.overlay];
  }

  async _drawPicture(item) {
    for (const pane of this._originals()) sized(pane.layers.original, 1, 1).clearRect(0, 0, 1, 1);
    if (!item.picture) return;
    const source = await library.picture(item.picture);
    const image = new Image();
    try {
      image.src = source;
      await image.decode();
    } catch {
      return; // the maps can be looked at all the same
    }
    if (this.item !== item) return;
    for (const pane of this._originals()) {
      const context = sized(pane.layers.original, image.naturalWidth, image.naturalHeight);
      context.drawImage(image, 0, 0);
    }
    this.root.dataset.picture = item.id;
  }

  _loadFull(item) {
    this.fullUrl = item.full;
    for (const { full } of this._originals()) {
      full.hidden = true;
      if (!item.full) {
        full.removeAttribute("src");
        continue;
      }
      full.onload = () => (full.hidden = false);
      full.src = new URL(item.full, document.baseURI);
    }
  }

  /** Draw heat, mask and outline for a threshold: all that happens while dragging. */
  redraw({ level, minArea, scale, runs, scratch, layers, region }) {
    const { map, item, panes } = this;
    if (this.gradient !== scale.gradient) this.bar.style.background = this.gradient = scale.gradient;
    for (const kind of ["heatmap", "mask", "overlay"]) panes[kind].figure.classList.toggle("waiting", !map);
    if (!map) {
      this.path = null;
      this._strokeContour(layers);
      return;
    }
    const box = item.box;
    if (this.region !== region || this.border === undefined) {
      this.region = region;
      this.border = region ? outline(findMask(region, 0, 1, runs), box) : null;
    }
    findMask(map, level, minArea, runs);
    this.regions = runs.regions;
    const shown = (kind) => !panes[kind].figure.hidden;
    const { heat, mask } = panes.overlay.layers;
    heat.hidden = !layers.heatmap;
    mask.hidden = !layers.mask;
    const heatMap = this._heatMap();
    if (shown("heatmap")) heatMap.draw(panes.heatmap.layers.heat, scale.solid, scratch);
    if (shown("overlay") && layers.heatmap) heatMap.draw(heat, scale.heat, scratch);
    if (shown("mask")) paintMask(panes.mask.layers.mask, runs, map.size, box, WHITE, BLACK, scratch);
    if (!shown("overlay")) return;
    if (layers.mask) paintMask(mask, runs, map.size, box, MARK, 0, scratch);
    this.path = layers.contour ? outline(runs, box) : null;
    this._strokeContour(layers);
  }

  /** Heat is smooth: of large maps it is drawn at half their size, which looks the same. The mask never is. */
  _heatMap() {
    const { map, item } = this;
    if (this.heatOf !== map) {
      this.heatOf = map;
      this.heat = new SmallMap(map, item.box, map.size > HEAT_SIDE ? 2 : 1);
    }
    return this.heat;
  }

  /** The part of the picture seen has changed, or its size on the screen. */
  look() {
    // Read once here: asked for in every frame, the browser would lay out the page in the middle of drawing.
    const { frame } = this.panes.overlay;
    this.seen = [frame.clientWidth, frame.clientHeight];
    const { zoom, x, y } = this.sight;
    this.grid.style.setProperty("--zoom", zoom);
    this.grid.style.setProperty("--x", x);
    this.grid.style.setProperty("--y", y);
    this.grid.classList.toggle("zoomed", zoom > 1);
    const shown = this.panes.original.full.hidden ? this.panes.original.layers.original.width : this.item?.width;
    const width = this.panes.original.frame.clientWidth || this.panes.overlay.frame.clientWidth;
    // Hard pixels only where they are enlarged: shrunk by leaving pixels out, small regions would vanish.
    this.grid.classList.toggle("hard-mask", Boolean(this.item) && width * zoom >= this.item.box.width);
    this.grid.classList.toggle("hard", Boolean(shown) && (width * zoom) / shown > 3);
    this._strokeContour();
  }

  _strokeContour() {
    const { contour, figure } = this.panes.overlay;
    if (figure.hidden || !this.item) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.seen.map((pixels) => Math.round(pixels * ratio));
    if (!width || !height) return;
    const context = sized(contour, width, height);
    context.clearRect(0, 0, width, height);
    const { zoom, x, y } = this.sight;
    const { box } = this.item;
    const onScreen = new DOMMatrix([
      (width * zoom) / box.width, 0, 0, (height * zoom) / box.height, -x * zoom * width, -y * zoom * height,
    ]);
    const placed = (path) => {
      const seen = new Path2D();
      seen.addPath(path, onScreen);
      return seen;
    };
    if (this.border) {
      // Beyond this line nothing is judged, however it looks.
      const border = placed(this.border);
      context.lineWidth = ratio;
      context.setLineDash([]);
      context.strokeStyle = HALO;
      context.stroke(border);
      context.setLineDash([5 * ratio, 4 * ratio]);
      context.strokeStyle = "#fff";
      context.stroke(border);
      context.setLineDash([]);
    }
    if (!this.path) return;
    const seen = placed(this.path);
    context.lineCap = "square";
    context.lineWidth = 3.5 * ratio;
    context.strokeStyle = HALO;
    context.stroke(seen);
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = `rgb(${CONTOUR})`;
    context.stroke(seen);
  }

  /** Show one pane alone, or all. */
  solo(kind) {
    for (const pane of Object.values(this.panes)) pane.figure.hidden = kind !== null && pane.kind !== kind;
    this.grid.classList.toggle("one", kind !== null);
  }
}
