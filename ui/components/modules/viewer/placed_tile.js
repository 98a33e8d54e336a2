// @ts-check
// The map of a located part on its small image: turned and shifted as the part lies.

import { sized } from "./paint.js";
import { onScreen, sharesOf } from "./placing.js";
import { shownRatio } from "./sight.js";

const SIDE = 256; // pixels of the longer side: twice a tile's, for screens of fine pixels

/**
 * Draw a map at its place on the image.
 *
 * @param {HTMLCanvasElement} canvas over the image
 * @param {HTMLCanvasElement} flat the map
 * @param {number} factor map pixels a pixel of it, each way
 * @param {import("./placing.js").Placed} image
 */
export function drawPlaced(canvas, flat, factor, image) {
  const ratio = shownRatio(image);
  const width = Math.round(SIDE * Math.min(1, ratio));
  const height = Math.round(SIDE * Math.min(1, 1 / ratio));
  const context = sized(canvas, width, height);
  context.clearRect(0, 0, width, height);
  context.setTransform(...onScreen(sharesOf(image), width, height));
  context.scale(factor, factor);
  context.drawImage(flat, 0, 0);
  context.resetTransform();
}
