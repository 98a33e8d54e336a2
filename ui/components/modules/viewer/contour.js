// @ts-check
// Outlines over an image, in lines of one width whatever the zoom.

import { sized } from "./paint.js";
import { onScreen } from "./placing.js";
import { CONTOUR_STYLE, HALO } from "./scale.js";

/**
 * Where on the screen a map lies.
 *
 * @typedef {object} View
 * @property {[number, number]} seen width and height of the frame in CSS pixels
 * @property {import("./sight.js").Sight} sight
 * @property {import("./placing.js").Matrix} shares from map pixels to shares of the image
 */

/**
 * Draw the outlines anew.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {View} view
 * @param {Path2D | null} border of the region of interest, in map pixels
 * @param {Path2D | null} mask of the mask
 */
export function drawContour(canvas, { seen, sight, shares }, border, mask) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = seen.map((pixels) => Math.round(pixels * ratio));
  if (!width || !height) return;
  const context = sized(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const { zoom, x, y } = sight;
  const matrix = new DOMMatrix(onScreen(shares, width * zoom, height * zoom, x, y));
  const placed = (/** @type {Path2D} */ path) => {
    const moved = new Path2D();
    moved.addPath(path, matrix);
    return moved;
  };
  if (border) {
    // Beyond this line nothing counts, however it looks.
    const line = placed(border);
    context.lineWidth = ratio;
    context.setLineDash([]);
    context.strokeStyle = HALO;
    context.stroke(line);
    context.setLineDash([5 * ratio, 4 * ratio]);
    context.strokeStyle = "#fff";
    context.stroke(line);
    context.setLineDash([]);
  }
  if (!mask) return;
  const line = placed(mask);
  context.lineCap = "square";
  context.lineWidth = 3.5 * ratio;
  context.strokeStyle = HALO;
  context.stroke(line);
  context.lineWidth = 1.5 * ratio;
  context.strokeStyle = CONTOUR_STYLE;
  context.stroke(line);
}
