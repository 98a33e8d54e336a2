// From levels and runs to pixels. Colours lie on the scale that the threshold fixes (padim.output.render).

const CONTOUR = [0, 229, 255]; // padim.output.render.CONTOUR_COLOR
const HALO = "rgba(16, 20, 24, 0.85)";

const pixel = (r, g, b, a = 255) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
const BLACK = pixel(0, 0, 0);
const WHITE = pixel(255, 255, 255);
const MARK = pixel(...CONTOUR);

/** Colours of levels for one threshold: opaque, and as heat whose weight rises to the opacity at the threshold. */
class Scale {
  constructor() {
    this.solid = new Uint32Array(MAX_LEVEL + 1);
    this.heat = new Uint32Array(MAX_LEVEL + 1);
    this.none = new Uint32Array(MAX_LEVEL + 1);
    this._key = "";
  }

  /** @param {Uint8Array} colors 256 x 3, bottom first */
  set(threshold, colors, name, opacity) {
    const key = `${name}:${threshold}:${opacity}`;
    if (key === this._key) return;
    this._key = key;
    if (name !== this._name) {
      this._name = name;
      const stops = Array.from({ length: 18 }, (_, i) => `rgb(${colors.subarray(3 * 15 * i, 3 * 15 * i + 3)})`);
      this.gradient = `linear-gradient(to right, ${stops})`;
    }
    const solid = new Uint32Array(256);
    const heat = new Uint32Array(256);
    for (let step = 0; step < 256; step++) {
      const [r, g, b] = colors.subarray(3 * step, 3 * step + 3);
      solid[step] = pixel(r, g, b);
      heat[step] = pixel(r, g, b, Math.round(255 * opacity * Math.min(1, step / 128) ** 3));
    }
    // Step s begins at the smallest level with (255 * level + T) // (2 * T) >= s.
    const begin = (step) => Math.min(MAX_LEVEL + 1, Math.ceil(((2 * step - 1) * threshold) / 255));
    for (let step = 1; step < 256; step++) {
      const from = threshold === 0 ? 1 : begin(step);
      const to = step === 255 ? MAX_LEVEL + 1 : threshold === 0 ? 1 : begin(step + 1);
      this.solid.fill(solid[step], from, to);
      this.heat.fill(heat[step], from, to);
    }
    const cold = threshold === 0 ? 1 : begin(1);
    this.solid.fill(solid[0], 0, cold);
    this.heat.fill(heat[0], 0, cold);
  }
}

/** Scratch pictures, two of every size asked for: all drawing goes through them one after another. */
class Scratch {
  constructor() {
    this._bySize = new Map();
  }

  of(width, height, which = 0) {
    const key = `${width}x${height}:${which}`;
    let found = this._bySize.get(key);
    if (!found) {
      const image = new ImageData(width, height);
      found = { image, pixels: new Uint32Array(image.data.buffer) };
      this._bySize.set(key, found);
    }
    return found;
  }
}

/** Draw a mask: its pixels in one colour, the others in another. */
function paintMask(canvas, runs, size, box, on, off, scratch) {
  const { image, pixels } = scratch.of(size, size);
  pixels.fill(off);
  const { rows, starts, stops } = runs;
  for (let i = 0; i < runs.count; i++) {
    const first = rows[i] * size;
    pixels.fill(on, first + starts[i], first + stops[i]);
  }
  sized(canvas, box.width, box.height).putImageData(image, -box.left, -box.top);
}

/** The canvas's context, its bitmap of that size; setting a size clears it, so only when it differs. */
function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.context ??= canvas.getContext("2d");
  return canvas.context;
}

/** The outline of a mask along its pixels' edges, in map pixels counted from the box's corner. */
function outline(runs, box) {
  const path = new Path2D();
  const { rows, starts, stops, count } = runs;
  const level = (y, from, to) => {
    path.moveTo(from - box.left, y - box.top);
    path.lineTo(to - box.left, y - box.top);
  };
  let above = 0; // first run of the row above the one looked at
  let begin = 0;
  while (begin < count) {
    const row = rows[begin];
    let end = begin;
    while (end < count && rows[end] === row) {
      for (const x of [starts[end], stops[end]]) {
        path.moveTo(x - box.left, row - box.top);
        path.lineTo(x - box.left, row + 1 - box.top);
      }
      end++;
    }
    const adjacent = begin > above && rows[above] === row - 1;
    differing(starts, stops, begin, end, adjacent ? above : begin, begin, (from, to) => level(row, from, to));
    // Nothing below: the whole row ends here.
    if (end === count || rows[end] !== row + 1) {
      for (let i = begin; i < end; i++) level(row + 1, starts[i], stops[i]);
    }
    above = begin;
    begin = end;
  }
  return path;
}

/** Call emit for the stretches that lie in just one of two lists of runs, a..b and c..d. */
function differing(starts, stops, a, b, c, d, emit) {
  let x = null;
  let [inOne, inOther] = [false, false];
  while (a < b || c < d) {
    const one = a < b ? (inOne ? stops[a] : starts[a]) : Infinity;
    const other = c < d ? (inOther ? stops[c] : starts[c]) : Infinity;
    const at = Math.min(one, other);
    if (inOne !== inOther && at > x) emit(x, at);
    if (one === at) {
      if (inOne) a++;
      inOne = !inOne;
    }
    if (other === at) {
      if (inOther) c++;
      inOther = !inOther;
    }
    x = at;
  }
}

/** The box of a map, reduced for drawing heat: every cell keeps its hottest pixel, so nothing hot goes unseen. */
class SmallMap {
  /** @param {number} factor map pixels a cell, each way */
  constructor(map, box, factor) {
    this.factor = factor;
    this.box = box;
    this.width = Math.ceil(box.width / factor);
    this.height = Math.ceil(box.height / factor);
    this.levels = new Uint16Array(this.width * this.height);
    const { levels, size } = map;
    for (let y = 0; y < box.height; y++) {
      const out = Math.floor(y / factor) * this.width;
      const from = (y + box.top) * size + box.left;
      for (let x = 0; x < box.width; x++) {
        const at = out + Math.floor(x / factor);
        if (levels[from + x] > this.levels[at]) this.levels[at] = levels[from + x];
      }
    }
  }

  /** Every level in its colour. */
  draw(canvas, table, scratch) {
    const { width, height, levels } = this;
    const { image, pixels } = scratch.of(width, height);
    for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
    sized(canvas, width, height).putImageData(image, 0, 0);
  }

  /** Heat over the whole, and where there is a mask its edge. */
  paint(canvas, table, runs, scratch) {
    const { width, height, factor, box, levels } = this;
    const { image, pixels } = scratch.of(width, height);
    for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
    if (runs && runs.count) {
      const inside = new Uint8Array(levels.length);
      for (let i = 0; i < runs.count; i++) {
        const first = Math.floor((runs.rows[i] - box.top) / factor) * width;
        const from = Math.floor((runs.starts[i] - box.left) / factor);
        const to = Math.floor((runs.stops[i] - 1 - box.left) / factor);
        inside.fill(1, first + from, first + to + 1);
      }
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          if (!inside[i]) continue;
          const edge =
            x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
            !inside[i - 1] || !inside[i + 1] || !inside[i - width] || !inside[i + width];
          if (edge) pixels[i] = MARK;
        }
      }
    }
    sized(canvas, width, height).putImageData(image, 0, 0);
  }
}
