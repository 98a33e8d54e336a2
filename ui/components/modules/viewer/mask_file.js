// @ts-check
// The mask of the image on the screen as a file. Made here, from what is on the screen, so that it can never be
// another image's, however far the server is behind.

import { element } from "../dom.js";
import { placedMaskRows } from "./placing.js";
import { greyPng } from "./png.js";
import { findMask, Runs } from "./regions.js";

/**
 * @typedef {object} Box where an image lies in its map, in map pixels
 * @property {number} left
 * @property {number} top
 * @property {number} width
 * @property {number} height
 */

/**
 * Along one axis: from a map of `cells` pixels to an image of `pixels` (padim.decision.regions.mask_to_original).
 * Enlarged, `index` has the cell that each pixel shows. Shrunk, it has the pixel that each cell falls on, and a
 * pixel is set when any of its cells is: a mask that is not empty stays so.
 *
 * @param {number} cells
 * @param {number} pixels
 */
function axisOf(cells, pixels) {
  const [from, to] = pixels >= cells ? [cells, pixels] : [pixels, cells];
  const index = Int32Array.from({ length: to }, (_, i) => Math.floor(((2 * i + 1) * from) / (2 * to)));
  return { shrinks: pixels < cells, index };
}

/**
 * The mask at the image's own size: 255 where it is rejected, row by row, each row after a zero (the PNG
 * filter "none").
 *
 * @param {import("./levels.js").LevelMap} map
 * @param {import("./placing.js").Placed} image
 * @param {number} level the threshold
 * @param {number} minArea
 */
export function maskRows(map, { box, placement, width, height }, level, minArea) {
  const runs = findMask(map, level, minArea, new Runs());
  if (placement) return placedMaskRows(runs, map, { width, height, placement });
  const across = axisOf(box.width, width);
  const down = axisOf(box.height, height);
  const lines = new Uint8Array((down.shrinks ? height : box.height) * width);
  const line = new Uint8Array(box.width);
  for (let run = 0; run < runs.count; ) {
    const row = runs.rows[run];
    line.fill(0);
    for (; run < runs.count && runs.rows[run] === row; run++) {
      line.fill(255, Math.max(0, runs.starts[run] - box.left), Math.max(0, runs.stops[run] - box.left));
    }
    if (row < box.top || row >= box.top + box.height) continue;
    const at = width * (down.shrinks ? down.index[row - box.top] : row - box.top);
    if (across.shrinks) {
      for (let i = 0; i < box.width; i++) lines[at + across.index[i]] |= line[i];
    } else {
      for (let x = 0; x < width; x++) lines[at + x] |= line[across.index[x]];
    }
  }
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    const from = width * (down.shrinks ? y : down.index[y]);
    rows.set(lines.subarray(from, from + width), y * (width + 1) + 1);
  }
  return rows;
}

/**
 * Let the user save a mask as a PNG file.
 *
 * @param {import("./levels.js").LevelMap} map
 * @param {import("./placing.js").Placed} image
 * @param {number} level the threshold
 * @param {number} minArea
 * @param {string} name of the file
 */
export async function downloadMask(map, image, level, minArea, name) {
  const rows = maskRows(map, image, level, minArea);
  const file = await greyPng(image.width, image.height, rows);
  const link = element("a", { href: URL.createObjectURL(file), download: name });
  link.click();
  // The browser reads the file after the click; how long that takes it does not say.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
