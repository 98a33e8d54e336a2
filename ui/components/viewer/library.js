// What is fetched: every map once, by its content-hashed URL; those looked at come first.

const MOST_PICTURES = 2000;

class Library {
  /** @param {number} limit bytes of maps to keep; beyond it the longest unused goes */
  constructor(limit, atOnce = 6) {
    this.limit = limit;
    this.atOnce = atOnce;
    this.held = new Map(); // url -> map, the longest unused first
    this.bytes = 0;
    this.waiting = new Map(); // url -> {url, size, areas, urgent, done}
    this.active = 0;
    this.failed = new Set();
    this.pictures = new Map(); // url -> promise of a blob's URL
  }

  /** A picture as a URL of this page's own: fetched once, however often its tile comes and goes. */
  picture(url) {
    let found = this.pictures.get(url);
    if (!found) {
      found = fetchBytes(url).then((answer) => (answer ? URL.createObjectURL(new Blob([answer])) : ""));
      this.pictures.set(url, found);
      found.then((made) => made || this.pictures.delete(url));
      if (this.pictures.size > MOST_PICTURES) this._forget();
    }
    return found;
  }

  _forget() {
    const [url, gone] = this.pictures.entries().next().value;
    this.pictures.delete(url);
    gone.then((made) => URL.revokeObjectURL(made));
  }

  /** The map behind a URL if it is here. */
  get(url) {
    const found = this.held.get(url);
    if (found) {
      this.held.delete(url);
      this.held.set(url, found);
    }
    return found;
  }

  /** Fetch a map unless it is here or asked for; done is called once it is. */
  want(url, size, areas, urgent, done) {
    if (!url || this.failed.has(url)) return;
    const here = this.held.get(url);
    if (here) return void done(url, here); // another picture's, with the very same map
    const asked = this.waiting.get(url);
    if (asked) {
      asked.urgent ||= urgent;
      asked.done.push(done);
    }
    // In the background only as much as can be kept, or fetching would push out what was fetched.
    else if (urgent || this.bytes + 2 * (size * size + areas) * (this.waiting.size + 1) < this.limit) {
      this.waiting.set(url, { url, size, areas, urgent, done: [done], active: false });
    }
    this._next();
  }

  _next() {
    while (this.active < this.atOnce) {
      const idle = [...this.waiting.values()].filter((one) => !one.active);
      const one = idle.find((asked) => asked.urgent) ?? idle[0];
      if (!one) return;
      one.active = true;
      this.active++;
      this._fetch(one).finally(() => {
        this.active--;
        this.waiting.delete(one.url);
        this._next();
      });
    }
  }

  async _fetch({ url, size, areas, done }) {
    const tables = await fetchTables(url, [[1, areas], [size, size]]);
    if (!tables) {
      this.failed.add(url);
      return;
    }
    const map = new JudgedMap(...tables, size);
    this.held.set(url, map);
    this.bytes += map.levels.byteLength;
    for (const [oldest, gone] of this.held) {
      if (this.bytes <= this.limit || oldest === url) break;
      this.held.delete(oldest);
      this.bytes -= gone.levels.byteLength;
    }
    for (const one of done) one(url, map);
  }
}

const curves = new Map(); // the last good parts' scores, for a viewer that is drawn anew

/** The good parts' scores behind a URL, fetched once. */
async function fetchCurves(url, pictures, areas) {
  if (!curves.has(url)) {
    curves.clear();
    curves.set(url, fetchTables(url, [[pictures, areas]]).then((tables) => tables && tables[0]));
  }
  const found = await curves.get(url);
  if (!found) curves.delete(url);
  return found;
}

/** Tables of 16-bit numbers from a URL, of the shapes given as [rows, columns]; null where they cannot be had. */
async function fetchTables(url, shapes) {
  const packed = await fetchBytes(url);
  if (!packed) return null;
  try {
    const unzipped = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return unpack(new Uint8Array(await new Response(unzipped).arrayBuffer()), shapes);
  } catch {
    return null;
  }
}

/** The reverse of ui.files.media.Numbers; null for bytes of another length. */
function unpack(bytes, shapes) {
  const total = shapes.reduce((sum, [rows, columns]) => sum + 2 * rows * columns, 0);
  if (bytes.length !== total) return null;
  let at = 0;
  return shapes.map(([rows, columns]) => {
    const count = rows * columns;
    const low = bytes.subarray(at, at + count);
    const high = bytes.subarray(at + count, at + 2 * count);
    at += 2 * count;
    const table = new Uint16Array(count);
    const above = new Uint16Array(columns); // each number's difference to its left neighbour, in the row above
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

/** What lies behind a URL relative to the page; null where it cannot be had. */
async function fetchBytes(url) {
  try {
    const answer = await fetch(new URL(url, document.baseURI));
    return answer.ok ? await answer.arrayBuffer() : null;
  } catch {
    return null;
  }
}
