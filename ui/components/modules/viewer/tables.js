// @ts-check
// Tables of 16-bit numbers as the server packs them (ui.files.media.Numbers).

/** @typedef {[rows: number, columns: number]} Shape */

/**
 * The reverse of ui.files.media.Numbers; null for bytes of another length.
 *
 * @param {Uint8Array} bytes
 * @param {Shape[]} shapes
 */
export function unpack(bytes, shapes) {
  const total = shapes.reduce((sum, [rows, columns]) => sum + 2 * rows * columns, 0);
  if (bytes.length !== total) return null;
  let at = 0;
  return shapes.map(([rows, columns]) => {
    const count = rows * columns;
    const low = bytes.subarray(at, at + count);
    const high = bytes.subarray(at + count, at + 2 * count);
    at += 2 * count;
    const table = new Uint16Array(count);
    const above = new Uint16Array(columns); // each number's difference to its left neighbor, in the row above
    for (let row = 0, i = 0; row < rows; row++) {
      let left = 0;
      for (let column = 0; column < columns; column++, i++) {
        const signed = low[i] | (high[i] << 8);
        above[column] += (signed >>> 1) ^ -(signed & 1);
        left = (left + above[column]) & 0xffff;
        table[i] = left;
      }
    }
    return table;
  });
}

/**
 * Tables from gzip bytes; null where they are not what was expected.
 *
 * @param {BlobPart} packed
 * @param {Shape[]} shapes
 */
export async function unzip(packed, shapes) {
  try {
    const unzipped = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return unpack(new Uint8Array(await new Response(unzipped).arrayBuffer()), shapes);
  } catch {
    return null;
  }
}

/**
 * Tables from a URL; null where they cannot be had.
 *
 * @param {string} url
 * @param {Shape[]} shapes
 */
export async function fetchTables(url, shapes) {
  const packed = await fetchBytes(url);
  return packed ? unzip(packed, shapes) : null;
}

/**
 * What lies behind a URL relative to the page; null where it cannot be had.
 *
 * @param {string} url
 */
export async function fetchBytes(url) {
  try {
    const answer = await fetch(new URL(url, document.baseURI));
    return answer.ok ? await answer.arrayBuffer() : null;
  } catch {
    return null;
  }
}
