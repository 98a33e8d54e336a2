// @ts-check
// Outlines over an image, in lines of one width whatever the zoom.

import { sized } from "./paint.js";
import { CONTOUR_STYLE, HALO } from "./scale.js";

/**
 * Where on the screen a map lies.
 *
 * @typedef {object} View
 * @property {[number, number]} seen width and height of the frame in CSS pixels
 * @property {import("./sight.js").Sight} sight
 * @property {import("./mask_file.js").Box} box
 */

/**
 * Draw the outlines anew.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {View} view
 * @param {Path2D | null} border of the region of interest, in map pixels
 * @param {Path2D | null} mask of the mask
 */
export function drawContour(canvas, { seen, sight, box }, border, mask) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = seen.map((pixels) => Math.round(pixels * ratio));
  if (!width || !height) return;
  const context = sized(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const { zoom, x, y } = sight;
  const onScreen = new DOMMatrix([
    (width * zoom) / box.width, 0, 0, (height * zoom) / box.height, -x * zoom * width, -y * zoom * height,
  ]);
  const placed = (/** @type {Path2D} */ path) => {
    const moved = new Path2D();
    moved.addPath(path, onScreen);
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
