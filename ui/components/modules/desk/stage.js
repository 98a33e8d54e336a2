// @ts-check
// The image, with its level map and its regions drawn over it.

/** @typedef {import("./message.js").Item} Item */

/** @typedef {"map" | "regions" | "image"} View */

/** @type {[View, string][]} */
export const VIEWS = [
  ["map", "Heatmap"],
  ["regions", "Regions"],
  ["image", "Image alone"],
];
const SVG = "http://www.w3.org/2000/svg";
const MOST = 32;

export class Stage {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    /** @type {View} */
    this.view = "map";
    this.zoom = 1;
    /** @type {[number, number] | null} centre of what is magnified, in image pixels */
    this.centre = null;
    /** @type {Item | null} */
    this.item = null;
    /** @type {Map<string, HTMLImageElement>} images held, so that the next is there before the key is up */
    this._held = new Map();
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
    host.append(this.svg);
    this._drag();
  }

  /**
   * Load images before they are shown.
   *
   * @param {Item[]} items
   */
  hold(items) {
    const wanted = new Set(items.flatMap((item) => [item.image, item.heat]).filter(Boolean));
    for (const url of this._held.keys()) if (!wanted.has(url)) this._held.delete(url);
    for (const url of wanted) {
      if (this._held.has(url)) continue;
      const image = new Image();
      image.src = url;
      this._held.set(url, image);
    }
  }

  /** @param {Item | null} item */
  show(item) {
    if (item?.id !== this.item?.id) {
      this.zoom = 1;
      this.centre = null;
    }
    this.item = item;
    this.svg.replaceChildren(...(item ? this._layers(item) : []));
    this._frame();
  }

  /** @param {Item} item */
  _layers(item) {
    /** @type {SVGElement[]} */
    const layers = [layer(item.image, item.width, item.height)];
    if (this.view === "map" && item.heat) {
      const map = layer(item.heat, item.mapWidth, item.mapHeight);
      map.setAttribute("transform", `matrix(${item.matrix.join(" ")})`);
      layers.push(map);
    }
    if (this.view !== "image") {
      for (const region of item.regions.slice(0, MOST)) layers.push(...outline(region));
    }
    return layers;
  }

  /** @param {number} by */
  magnify(by) {
    const region = this.item?.regions[0];
    if (this.zoom === 1 && region) this.centre = [region[0] + region[2] / 2, region[1] + region[3] / 2];
    this.zoom = Math.min(40, Math.max(1, this.zoom * by));
    if (this.zoom === 1) this.centre = null;
    this._frame();
  }

  whole() {
    this.magnify(0);
  }

  _frame() {
    if (!this.item) return;
    const { width, height } = this.item;
    const [w, h] = [width / this.zoom, height / this.zoom];
    const [x, y] = this.centre ?? [width / 2, height / 2];
    const left = Math.min(Math.max(0, x - w / 2), width - w);
    const top = Math.min(Math.max(0, y - h / 2), height - h);
    this.svg.setAttribute("viewBox", `${left} ${top} ${w} ${h}`);
  }

  /** A magnified image is moved with the pointer. */
  _drag() {
    /** @type {{ x: number, y: number, centre: [number, number] } | null} */
    let from = null;
    this.svg.addEventListener("pointerdown", (event) => {
      if (this.zoom === 1 || !this.item) return;
      from = { x: event.clientX, y: event.clientY, centre: this.centre ?? [this.item.width / 2, this.item.height / 2] };
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointermove", (event) => {
      const scale = this.svg.getScreenCTM()?.a;
      if (!from || !scale) return;
      this.centre = [
        from.centre[0] - (event.clientX - from.x) / scale,
        from.centre[1] - (event.clientY - from.y) / scale,
      ];
      this._frame();
    });
    for (const name of ["pointerup", "pointercancel"]) this.svg.addEventListener(name, () => (from = null));
  }
}

/**
 * @param {string} url
 * @param {number} width
 * @param {number} height
 */
function layer(url, width, height) {
  const image = document.createElementNS(SVG, "image");
  image.setAttribute("href", url);
  image.setAttribute("width", String(width));
  image.setAttribute("height", String(height));
  image.setAttribute("preserveAspectRatio", "none");
  return image;
}

/** @param {[number, number, number, number]} region */
function outline([x, y, width, height]) {
  return ["halo", "ink"].map((name) => {
    const box = document.createElementNS(SVG, "rect");
    box.setAttribute("class", `edge ${name}`);
    for (const [key, value] of Object.entries({ x, y, width, height })) box.setAttribute(key, String(value));
    return box;
  });
}
