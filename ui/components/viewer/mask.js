// The mask of the picture on the screen as a file. Made here, from what is on the screen, so that it can never
// be another picture's, however far the server is behind.

/** Along one axis: from a map of `cells` pixels to a picture of `pixels` (padim.decision.regions.mask_to_original). */
function axisOf(cells, pixels) {
  if (pixels >= cells) {
    const source = Int32Array.from({ length: pixels }, (_, i) => Math.floor(((2 * i + 1) * cells) / (2 * pixels)));
    return { shrinks: false, source };
  }
  // A picture pixel is set when any map pixel whose centre it covers is: a mask that is not empty stays so.
  const target = Int32Array.from({ length: cells }, (_, i) => Math.floor(((2 * i + 1) * pixels) / (2 * cells)));
  return { shrinks: true, target };
}

/**
 * The mask at the picture's own size: 255 where it is rejected, row by row, each row after a zero (the PNG
 * filter "none").
 */
function maskRows(map, { box, width, height }, level, minArea) {
  const runs = findMask(map, level, minArea, new Runs());
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
    const at = width * (down.shrinks ? down.target[row - box.top] : row - box.top);
    if (across.shrinks) {
      for (let i = 0; i < box.width; i++) lines[at + across.target[i]] |= line[i];
    } else {
      for (let x = 0; x < width; x++) lines[at + x] |= line[across.source[x]];
    }
  }
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    const from = width * (down.shrinks ? y : down.source[y]);
    rows.set(lines.subarray(from, from + width), y * (width + 1) + 1);
  }
  return rows;
}

/** A grey PNG of 8 bits a pixel, from rows with their filter bytes. */
async function greyPng(width, height, rows) {
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8); // bits; the zeros after it: grey, deflate, the five filters, not interlaced
  return new Blob(
    [
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
      chunkOf("IHDR", new Uint8Array(head.buffer)),
      chunkOf("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())),
      chunkOf("IEND", new Uint8Array(0)),
    ],
    { type: "image/png" },
  );
}

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function chunkOf(kind, bytes) {
  const chunk = new Uint8Array(bytes.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, bytes.length);
  for (let i = 0; i < 4; i++) chunk[4 + i] = kind.charCodeAt(i);
  chunk.set(bytes, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < chunk.length - 4; i++) crc = REMAINDERS[(crc ^ chunk[i]) & 0xff] ^ (crc >>> 8);
  view.setUint32(chunk.length - 4, ~crc >>> 0);
  return chunk;
}

/** Hand a file out under this name. */
function handOut(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  // The browser reads the file after the click; how long that takes it does not say.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
