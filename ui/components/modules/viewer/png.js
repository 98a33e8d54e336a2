// @ts-check
// PNG files of grey pixels.

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/**
 * A grey PNG of 8 bits a pixel.
 *
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array<ArrayBuffer>} rows each with its filter byte first
 */
export async function greyPng(width, height, rows) {
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8); // bits; the zeros after it: grey, deflate, the five filters, not interlaced
  return new Blob(
    [
      SIGNATURE,
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

/**
 * A chunk: length, kind, content, and the CRC of the last two.
 *
 * @param {string} kind four letters
 * @param {Uint8Array} bytes
 */
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
