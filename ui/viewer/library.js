// What is fetched: every map once, by its content-hashed URL; those looked at come first.

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
    if (!url || this.held.has(url) || this.failed.has(url)) return;
    const asked = this.waiting.get(url);
    if (asked) asked.urgent ||= urgent;
    // In the background only as much as can be kept, or fetching would push out what was fetched.
    else if (urgent || this.bytes + 2 * (size * size + areas) * (this.waiting.size + 1) < this.limit) {
      this.waiting.set(url, { url, size, areas, urgent, done, active: false });
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
    const numbers = await fetchNumbers(url);
    if (!numbers || numbers.length !== areas + size * size) {
      this.failed.add(url);
      return;
    }
    const map = new JudgedMap(numbers.subarray(0, areas), numbers.subarray(areas), size);
    this.held.set(url, map);
    this.bytes += numbers.byteLength;
    for (const [oldest, gone] of this.held) {
      if (this.bytes <= this.limit || oldest === url) break;
      this.held.delete(oldest);
      this.bytes -= gone.levels.buffer.byteLength;
    }
    done(url, map);
  }
}

const curves = new Map(); // the last good parts' scores, for a viewer that is drawn anew

/** The good parts' scores behind a URL, fetched once. */
async function fetchCurves(url) {
  if (!curves.has(url)) {
    curves.clear();
    curves.set(url, fetchNumbers(url));
  }
  const found = await curves.get(url);
  if (!found) curves.delete(url);
  return found;
}

/** Little-endian 16-bit numbers from a URL relative to the page; null where they cannot be had. */
async function fetchNumbers(url) {
  try {
    const answer = await fetch(new URL(url, document.baseURI));
    if (!answer.ok) return null;
    return new Uint16Array(await answer.arrayBuffer());
  } catch {
    return null;
  }
}
