// @ts-check
// What does not count, darkened and hatched over the image.

import { contextOf } from "../dom.js";
import { pathOf } from "./shapes.js";

/** @typedef {import("./message.js").Shape} Shape */

const DARK = "rgba(16, 20, 24, 0.62)";
const HATCH = "rgba(255, 255, 255, 0.30)";
const COVER_SIDE = 1024; // pixels of the shapes' own drawing, at least

/** @type {{ ratio: number, tile: HTMLCanvasElement } | null} */
let hatching = null;

/**
 * The tile that hatching repeats, for a screen of so many pixels a CSS pixel.
 *
 * @param {number} ratio
 */
function hatchTile(ratio) {
  if (hatching?.ratio === ratio) return hatching.tile;
  const period = Math.round(10 * ratio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = period;
  const ink = contextOf(tile);
  ink.strokeStyle = HATCH;
  ink.lineWidth = 1.2 * ratio;
  for (const shift of [-period, 0, period]) {
    ink.moveTo(shift - 2, period + 2);
    ink.lineTo(shift + period + 2, -2);
  }
  ink.stroke();
  hatching = { ratio, tile };
  return tile;
}

/**
 * Shapes, filled: opaque where nothing counts; null where everything does.
 *
 * @param {Shape[]} shapes
 * @param {number} width of the map
 * @param {number} height
 */
function coverOf(shapes, width, height) {
  if (!shapes.length) return null;
  const cover = document.createElement("canvas");
  const scale = Math.max(1, Math.round(COVER_SIDE / Math.max(width, height)));
  cover.width = width * scale;
  cover.height = height * scale;
  const context = contextOf(cover);
  context.scale(scale, scale);
  context.lineCap = context.lineJoin = "round";
  if (shapes[0].mode === "include") context.fillRect(0, 0, width, height);
  for (const { kind, mode, points, radius } of shapes) {
    context.globalCompositeOperation = mode === "exclude" ? "source-over" : "destination-out";
    const path = new Path2D(pathOf(points, kind === "polygon"));
    if (kind === "polygon") context.fill(path, "nonzero");
    else {
      context.lineWidth = 2 * radius;
      context.stroke(path);
    }
  }
  return cover;
}

/**
 * Darken and hatch a canvas where a cover is opaque.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width of the canvas, in pixels of the screen
 * @param {number} height
 * @param {CanvasImageSource | null} cover null: nowhere
 */
function drawCover(canvas, width, height, cover) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = contextOf(canvas);
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  if (!cover) return;
  context.fillStyle = DARK;
  context.fillRect(0, 0, width, height);
  const hatch = context.createPattern(hatchTile(window.devicePixelRatio || 1), "repeat");
  if (hatch) context.fillStyle = hatch;
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "destination-in";
  context.imageSmoothingEnabled = false;
  context.drawImage(cover, 0, 0, width, height);
}

/** The canvas over the image, and Python's mask. */
export class Cover {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} loaded Python's mask has come
   */
  constructor(canvas, loaded) {
    this.canvas = canvas;
    this.loaded = loaded;
    /** @type {{ url: string | null, image: HTMLImageElement | null }} Python's mask; the image once it is loaded */
    this.mask = { url: null, image: null };
  }

  /**
   * Load Python's mask.
   *
   * @param {string | null} url null where everything counts
   */
  load(url) {
    if (url === this.mask.url) return;
    const wanted = (this.mask = { url, image: /** @type {HTMLImageElement | null} */ (null) });
    if (!url) return;
    const image = new Image();
    image.onload = () => {
      wanted.image = image;
      this.loaded();
    };
    image.src = url;
  }

  /**
   * Darken what does not count: by Python's mask, or until it is there by the shapes.
   *
   * @param {{ shapes: Shape[], width: number, height: number }} sketch
   * @param {boolean} settled whether Python's mask is that of the shapes
   */
  draw({ shapes, width, height }, settled) {
    const { clientWidth, clientHeight } = this.canvas;
    const [across, down] = [clientWidth, clientHeight].map((side) => Math.round(side * (window.devicePixelRatio || 1)));
    if (!across || !down) return;
    const { url, image } = this.mask;
    // On its way, the shapes stand in for it, unless there are none here.
    const byMask = settled && (!url || image !== null || !shapes.length);
    this.canvas.dataset.by = byMask ? "mask" : "shapes";
    drawCover(this.canvas, across, down, byMask ? image : coverOf(shapes, width, height));
  }
}
