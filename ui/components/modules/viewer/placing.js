// @ts-check
// Where on an image its map lies: as a box within the map, or, of a located part, turned and shifted.

/** @typedef {import("./levels.js").MapSize} MapSize */
/** @typedef {import("./mask_file.js").Box} Box */
/** @typedef {[number, number, number, number, number, number]} Matrix a-f: x = a u + b v + c, y = d u + e v + f */

/**
 * The place of a map on an image (padim.locating.placement), in pixels of both, whose centers lie at halves.
 *
 * @typedef {object} Placement
 * @property {Matrix} matrix from map pixels to pixels of the image
 * @property {Matrix} inverse back
 */

/** @typedef {{ width: number, height: number, box: Box, placement: Placement | null }} Placed an image with its map */

/**
 * From map pixels, counted from the box's corner, to shares of the image's width and height.
 *
 * @param {Placed} image
 * @returns {Matrix}
 */
export function sharesOf({ width, height, box, placement }) {
  if (!placement) return [1 / box.width, 0, 0, 0, 1 / box.height, 0];
  const [a, b, c, d, e, f] = placement.matrix;
  return [a / width, b / width, c / width, d / height, e / height, f / height];
}

/**
 * That for drawing: from map pixels to pixels of a screen on which the image has a size and is moved.
 *
 * @param {Matrix} shares
 * @param {number} width of the whole image on the screen
 * @param {number} height
 * @param {number} [x] what lies to the left of the screen, as a share of the image
 * @param {number} [y]
 * @returns {[number, number, number, number, number, number]} as DOMMatrix, canvas and CSS take it
 */
export function onScreen([a, b, c, d, e, f], width, height, x = 0, y = 0) {
  return [width * a, height * d, width * b, height * e, width * (c - x), height * (f - y)];
}

/**
 * The map pixel under the center of a pixel of the image; null outside the map. In the same order as the
 * engine sums (padim.locating), so that the two agree to the last bit.
 *
 * @param {Placed} image
 * @param {MapSize} size
 * @param {number} x
 * @param {number} y
 * @returns {{ column: number, row: number } | null}
 */
export function mapPixelAt({ width, height, box, placement }, size, x, y) {
  if (!placement) {
    return {
      column: box.left + Math.floor(((2 * x + 1) * box.width) / (2 * width)),
      row: box.top + Math.floor(((2 * y + 1) * box.height) / (2 * height)),
    };
  }
  const [a, b, c, d, e, f] = placement.inverse;
  const column = Math.floor(a * (x + 0.5) + b * (y + 0.5) + c);
  const row = Math.floor(d * (x + 0.5) + e * (y + 0.5) + f);
  return column >= 0 && row >= 0 && column < size.width && row < size.height ? { column, row } : null;
}

/**
 * The mask of a located part on its image (padim.locating, mask_on_original): 255 where it is rejected, row by
 * row, each row after a zero. A pixel is set when the map pixel under its center is; a map pixel under no center
 * sets the pixel in which its own center lies, so that nothing is lost. What lies beside the image is left out.
 *
 * @param {import("./regions.js").Runs} runs the mask
 * @param {MapSize} size of the map
 * @param {{ width: number, height: number, placement: Placement }} image
 */
export function placedMaskRows(runs, size, { width, height, placement }) {
  const rows = new Uint8Array(height * (width + 1));
  const inside = new Uint8Array(size.width * size.height);
  for (let run = 0; run < runs.count; run++) {
    const first = runs.rows[run] * size.width;
    inside.fill(1, first + runs.starts[run], first + runs.stops[run]);
  }
  const [a, b, c, d, e, f] = placement.matrix;
  const centerOf = (/** @type {number} */ at) => {
    const u = (at % size.width) + 0.5;
    const v = Math.floor(at / size.width) + 0.5;
    return { x: a * u + b * v + c, y: d * u + e * v + f };
  };
  for (let at = 0; at < inside.length; at++) {
    if (!inside[at]) continue;
    const { x, y } = centerOf(at);
    if (!(x >= 0 && y >= 0 && x <= width && y <= height)) inside[at] = 0; // not on the image
  }
  const [g, h, i, j, k, l] = placement.inverse;
  for (let y = 0; y < height; y++) {
    const out = y * (width + 1) + 1;
    for (let x = 0; x < width; x++) {
      const column = Math.floor(g * (x + 0.5) + h * (y + 0.5) + i);
      const row = Math.floor(j * (x + 0.5) + k * (y + 0.5) + l);
      if (column < 0 || row < 0 || column >= size.width || row >= size.height) continue;
      const at = row * size.width + column;
      if (!inside[at]) continue;
      inside[at] = 2; // looked up
      rows[out + x] = 255;
    }
  }
  for (let at = 0; at < inside.length; at++) {
    if (inside[at] !== 1) continue;
    const { x, y } = centerOf(at);
    rows[Math.min(Math.floor(y), height - 1) * (width + 1) + 1 + Math.min(Math.floor(x), width - 1)] = 255;
  }
  return rows;
}
