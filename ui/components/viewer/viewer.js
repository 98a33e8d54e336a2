// The viewer: what is decided, what is shown, and what Python is told. Python is told once a change is
// complete (a line released, a number typed, a picture chosen); until then everything happens here.

const library = new Library(256 * 2 ** 20);
const viewers = new WeakMap(); // host element -> Viewer, which outlives new data
const natural = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const VERDICTS = { accept: "Accept", review: "Review", reject: "Reject" };
const ORDERS = {
  near: "Nearest the threshold",
  worst: "Worst first",
  best: "Best first",
  name: "Name",
  given: "As they came",
};
const GROUPS = { normal: "Good parts in the fit", kept: "Good, kept out of the fit", good: "Good, tested", defect: "Defects", unknown: "Not labelled" };

class Viewer {
  constructor(root, tell) {
    this.root = root;
    this.tell = tell; // {decision, look, selected, labels}
    // Everything said to Python is counted, and Python answers how far it has heard. An answer from before the
    // hand's latest is no news: the hand stands, and what it said is on its way.
    this.said = { decision: 0, selected: 0, labels: 0 };
    this.clock = 0;
    this.data = null;
    this.items = new Map();
    this.held = new HeldOut(new Uint16Array(0), 0, []);
    this.decision = { basis: "manual", permille: 950, level: 0, minArea: 1 };
    this.moving = false; // the hand is at the threshold: dragging, or typing
    this.past = new Steps();
    this.unheard = []; // labels given here that Python has not yet answered
    this.layers = { contour: true, heatmap: true, mask: false };
    this.look = { opacity: 0.45, colormap: "inferno" };
    this.filter = "all";
    this.group = "every";
    this.order = "near";
    this.selected = null;
    this.alone = null;
    this.scale = new Scale();
    this.runs = new Runs();
    this.scratch = new Scratch();
    this.list = [];
    this.rows = [];
    this.pending = 0;
    this.one = (selector) => root.querySelector(selector);
    this.sight = new Sight(() => {
      for (const row of this.rows) row.look();
      this.one(".whole").textContent = `${this.sight.zoom < 10 ? Number(this.sight.zoom.toFixed(1)) : Math.round(this.sight.zoom)} ×`;
    });
    this.histogram = new Histogram(this.one(".hist-host"), (level, done) => {
      this.change({ basis: "manual", level }, done);
    });
    this.gallery = new Gallery(this.one(".gallery"), (item) => this.select(item.id), () => this.wantMaps());
    this.results = new ResultTable(this.one(".results-host"), (item) => this.select(item.id));
    this._listen();
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.one(".viewer"));
  }

  dispose() {
    this.resized.disconnect();
    this.gallery.dispose();
    cancelAnimationFrame(this.pending);
    clearTimeout(this.telling);
    clearTimeout(this.background);
    document.removeEventListener("keydown", this.onKey);
    this.follower?.remove();
  }

  // -- what Python says -----------------------------------------------------------------------------------

  /** Take over what Python sent; what the hand is at just now stays. */
  update(data) {
    const first = this.data === null;
    const former = this.data;
    this.data = data;
    this.quantizer = new Quantizer(data.quantizer);
    library.failed.clear(); // what could not be fetched once may be there now
    this.palettes = data.palettes;
    if (!first && Object.keys(data.heard).some((kind) => data.heard[kind] < former.heard[kind])) this._startAnew();
    this.clock = Math.max(this.clock, ...Object.values(data.heard)); // a page opened anew counts on
    this.unheard = this.unheard.filter((one) => one.count > data.heard.labels);
    this._takeItems(data.items);
    if (!first && JSON.stringify(former.quantizer) !== JSON.stringify(data.quantizer)) {
      this.past.drop((step) => step.kind === "decision"); // levels of another scale
    }
    this.past.drop((step) => step.kind === "label" && !this._ofHash(step.sha256).length);
    this._takeDecision(data.decision, first);
    if (first) {
      this.look = { ...data.look };
      this.order = data.mode === "calibrate" ? "near" : "given";
    }
    if (first || former.areas !== data.areas) {
      this.stops = areaStops(data.areas);
      Object.assign(this.one(".area-slide"), { min: 0, max: this.stops.length - 1, step: 1 });
      this.one(".area-type").max = data.areas;
    }
    if (this._heard("selected") && (first || this.items.has(data.selected))) this.selected = data.selected;
    const heldAnew = first || JSON.stringify(former.held) !== JSON.stringify(data.held);
    if (heldAnew || (data.held.url && !this.pictureCurves)) this._takeHeld(data.held, heldAnew);
    if (first || former.roi !== data.roi) this._takeRegion(data.roi);
    this._layout(first);
    this.refresh();
  }

  /** Whether Python has heard all that was said of this kind, so that what it answers is the latest. */
  _heard(kind) {
    return this.data.heard[kind] >= this.said[kind];
  }

  /** Python has forgotten what it was told, as after a restart: what it says now is what there is. */
  _startAnew() {
    this.said = { decision: 0, selected: 0, labels: 0 };
    this.past = new Steps();
    this.unheard = [];
  }

  /** Count what is about to be said. By the clock, so that a page opened anew goes on counting. */
  _count(kind) {
    this.clock = Math.max(this.clock + 1, Date.now());
    return (this.said[kind] = this.clock);
  }

  /** Take over the decision that Python has, unless the hand is ahead of it. */
  _takeDecision({ basis, permille, level, min_area: minArea }, first) {
    if (!first && (this.moving || !this._heard("decision"))) return;
    const before = this.decision;
    this.decision = { basis, permille, level, minArea };
    const now = JSON.stringify(this.decision);
    if (!first && now !== this.sent && now !== JSON.stringify(before)) {
      this.past.add({ kind: "decision", before, after: { ...this.decision } });
    }
    this.sent = now;
  }

  /** The region of interest, as a map of ones and zeros; null where all is judged. */
  async _takeRegion(url) {
    const { size } = this.data;
    const tables = url ? await fetchTables(url, [[size, size]]) : null;
    if (this.data.roi !== url) return;
    this.region = tables ? new JudgedMap(new Uint16Array(1), tables[0], size) : null;
    this.refresh();
  }

  _takeItems(items) {
    const found = new Map();
    for (const given of items) {
      const item = this.items.get(given.id) ?? {};
      if (item.map !== given.map) item.curve = library.get(given.map)?.scores.slice() ?? null;
      const [left, top, width, height] = given.box;
      const unheard = this.unheard.filter((one) => one.sha256 === given.sha256);
      Object.assign(item, given, { box: { left, top, width, height }, arrival: found.size });
      for (const one of unheard) applyLabel(item, one.label);
      found.set(item.id, item);
    }
    this.items = found;
  }

  async _takeHeld(held, anew) {
    if (anew) {
      this.held = new HeldOut(new Uint16Array(0), 0, []);
      this.pictureCurves = null;
    }
    const pictures = held.url ? await fetchCurves(held.url, held.part.length, this.data.areas) : null;
    if (this.data.held.url !== held.url) return; // overtaken by newer data
    const areas = this.data.areas;
    if (!pictures) {
      this.pictureCurves = null;
      this.held = new HeldOut(new Uint16Array(0), 0, []);
    } else {
      this.pictureCurves = pictures;
      const parts = new Uint16Array(held.parts * areas);
      held.part.forEach((part, i) => {
        for (let a = 0; a < areas; a++) {
          parts[part * areas + a] = Math.max(parts[part * areas + a], pictures[i * areas + a]);
        }
      });
      this.held = new HeldOut(parts, held.parts, held.upper);
    }
    this.refresh();
  }

  _layout(first) {
    const { data } = this;
    const viewer = this.one(".viewer");
    viewer.dataset.mode = data.mode;
    for (const part of [".decision", ".gauge", ".outcome"]) this.one(part).hidden = data.mode !== "calibrate";
    this.one(".labels").hidden = data.mode !== "calibrate";
    this.one(".bar").hidden = data.arranged;
    this.one(".files").hidden = this.one(".results-host").hidden = !data.arranged;
    // While the first pictures come in, the worst changes all the time: until one is chosen, the list will do.
    this._listOnly(data.listing && !this.said.selected);
    if (first) {
      const choice = this.one(".colormap");
      choice.replaceChildren(...Object.keys(data.palettes).map((name) => element("option", {}, name)));
      choice.value = this.look.colormap;
      this.one(".opacity-slide").value = this.look.opacity;
      this.one(".order").replaceChildren(
        ...Object.entries(ORDERS).map(([value, text]) => element("option", { value }, text)),
      );
      this.one(".order").value = this.order;
    }
    this.setRows(this.rows.length || 1);
  }

  // -- scores and verdicts --------------------------------------------------------------------------------

  scoreOf(item, minArea = this.decision.minArea) {
    const at = Math.min(minArea, this.data.areas) - 1;
    if (item.held >= 0 && this.pictureCurves) return this.pictureCurves[item.held * this.data.areas + at];
    return item.curve ? item.curve[at] : item.score;
  }

  verdictOf(item, level = this.decision.level, minArea = this.decision.minArea) {
    const score = this.scoreOf(item, minArea);
    if (this.data.band && Math.abs(score - level) <= this.data.band) return "review";
    return score > level ? "reject" : "accept";
  }

  /** Whether this picture's verdict is another one than under the threshold in use. */
  flips(item) {
    const { saved } = this.data;
    return saved !== null && this.verdictOf(item) !== this.verdictOf(item, saved.level, saved.min_area);
  }

  groupOf(item) {
    if (item.group === "normal" || item.group === "kept") return item.group;
    return item.label === "good" || item.label === "defect" ? item.label : item.group;
  }

  /** The level that a choice comes to. */
  levelOf({ basis, permille, level, minArea }) {
    if (basis === "image" && this.held.n) return this.held.threshold(permille, minArea);
    if (basis === "pixel" && this.data.pixel_levels) return this.data.pixel_levels[permille - 1];
    return level;
  }

  // -- changes by hand ------------------------------------------------------------------------------------

  /** Change the decision; done says that the hand has let go. */
  change(changes, done) {
    const next = { ...this.decision, ...changes };
    next.level = this.levelOf(next);
    this.decision = next;
    this.moving = true;
    this.schedule();
    if (done) this.commit();
  }

  commit() {
    this.moving = false;
    const now = JSON.stringify(this.decision);
    if (now === this.sent) return;
    this.past.add({ kind: "decision", before: JSON.parse(this.sent), after: JSON.parse(now) });
    this._sendDecision();
  }

  /** The hand lets go without having decided: what was, stays. */
  giveUp() {
    this.moving = false;
    this.decision = JSON.parse(this.sent);
    this.refresh();
  }

  _sendDecision() {
    const { basis, permille, level, minArea } = this.decision;
    const { offset, step } = this.quantizer;
    this.sent = JSON.stringify(this.decision);
    // With the scale that the level is of: on another one it would be another threshold.
    this.tell.decision({ basis, permille, level, min_area: minArea, scale: [offset, step], count: this._count("decision") });
    this.spoken = null;
    this.arrange();
    this.schedule();
  }

  // -- back and forth -------------------------------------------------------------------------------------

  /** Take back the last thing done, whatever it was. */
  undo() {
    if (this.moving) this.giveUp();
    else this._replay(this.past.back((step) => this._stands(step, step.after)), "before", "Undone");
  }

  redo() {
    if (!this.moving) this._replay(this.past.forth((step) => this._stands(step, step.before)), "after", "Done again");
  }

  /** Whether things still are as a step left them: a label that another session has given since is not ours. */
  _stands(step, value) {
    if (step.kind === "decision") return true;
    const [item] = this._ofHash(step.sha256);
    return Boolean(item) && item[step.field] === value;
  }

  _replay(step, side, words) {
    if (!step) return;
    if (step.kind === "decision") {
      this.decision = { ...step[side] };
      this.decision.level = this.levelOf(this.decision);
      this._sendDecision();
      this.spoken = `${words}: threshold ${this.quantizer.toValue(this.decision.level).toFixed(2)}, smallest region ${this.decision.minArea} px².`;
      return;
    }
    const [item] = this._ofHash(step.sha256);
    const value = step[side];
    const label = step.field === "kept" ? (value ? "kept" : "unkept") : value;
    this._give(item, label, { instead_of: step.field === "kept" ? null : step[side === "before" ? "after" : "before"], undo: true });
    // What has changed is what is shown.
    this.select(item.id);
    this.spoken = `${words}: ${item.name}, ${item.label ?? "no label"}${item.kept ? ", kept" : ""}.`;
    this.schedule();
  }

  _ofHash(sha256) {
    return [...this.items.values()].filter((item) => item.sha256 === sha256);
  }

  select(id) {
    this.selected = id;
    this.gallery.setActive(id, true);
    this.results.setActive(id, true);
    this._tellSelected();
    this._listOnly(false);
    this.showRows();
    this.schedule();
  }

  _listOnly(only) {
    if (this.listing === only) return;
    this.listing = only;
    if (this.data.arranged) this.one(".gallery").hidden = only;
    if (only) return;
    this.gallery.layOut();
    this.wantMaps();
  }

  _tellSelected() {
    const id = this.selected;
    const item = this.items.get(id);
    const count = this._count("selected");
    this._follow();
    // The last of a quick succession is the one to fetch at full resolution.
    clearTimeout(this.telling);
    // Of a good part there is nothing larger to fetch.
    if (this.data.mode === "calibrate" && item.held >= 0 && item.map) return;
    this.telling = setTimeout(() => this.tell.selected({ id, count }), 200);
  }

  /** What the page says about another picture than the one shown is out of date: it waits out of sight. */
  _follow() {
    const { follower } = this.data;
    if (!follower) return;
    if (!this.follower) document.head.append((this.follower = document.createElement("style")));
    const about = `.stApp [class*="st-key-${follower}-"]:not(.st-key-${follower}-${CSS.escape(this.selected ?? "")})`;
    const rule = `${about} { visibility: hidden !important; }`;
    if (this.follower.textContent !== rule) this.follower.textContent = rule;
  }

  go(by) {
    if (!this.list.length) return;
    const at = this.list.findIndex((item) => item.id === this.selected);
    const to = at < 0 ? 0 : Math.min(this.list.length - 1, Math.max(0, at + by));
    this.select(this.list[to].id);
  }

  label(label) {
    const item = this.items.get(this.selected);
    if (!item || (label === "good" && item.held >= 0)) return;
    const at = this.list.indexOf(item);
    const following = this.list[at + 1] ?? this.list[at - 1];
    const field = label === "kept" ? "kept" : "label";
    const before = item[field];
    const on = label === "kept" ? !item.kept : item.label !== label;
    this._give(item, on ? label : label === "kept" ? "unkept" : null);
    this.past.add({ kind: "label", sha256: item.sha256, field, before, after: item[field] });
    if (at >= 0 && following && !this.list.includes(item)) this.select(following.id);
  }

  /** Label what is in this file, wherever it is shown, and tell Python. */
  _give(item, label, more = {}) {
    const { sha256 } = item;
    for (const one of this._ofHash(sha256)) applyLabel(one, label);
    this.unheard.push({ sha256, label, count: this._count("labels"), ...more });
    // All that Python has not answered yet, each time: one label must not overtake another.
    this.tell.labels([...this.unheard]);
    this.refresh();
  }

  // -- what is shown --------------------------------------------------------------------------------------

  /** All of it anew: after new data, another filter, a change of size. */
  refresh() {
    if (!this.data) return;
    this.decision.level = this.levelOf(this.decision);
    this.scored = 0;
    this.arrange();
    this.showRows();
    this.wantMaps();
  }

  resize() {
    if (!this.data) return;
    this.scored = 0;
    this.gallery.layOut();
    this.results.layOut();
    for (const row of this.rows) row.look();
    this.schedule();
  }

  /** Put all pictures in order; while the threshold moves, the order stays. */
  arrange() {
    const every = [...this.items.values()];
    const { level } = this.decision;
    const fence = this.filter === "changes" && this.data.saved !== null;
    const by = {
      near: (item) => Math.abs(this.scoreOf(item) - level),
      worst: (item) => -this.scoreOf(item),
      best: (item) => this.scoreOf(item),
      given: (item) => item.arrival,
    };
    if (fence) by.near = (item) => Math.abs(this.scoreOf(item, this.data.saved.min_area) - this.data.saved.level);
    const order = fence ? "near" : this.data.arranged ? "given" : this.order;
    if (order === "name") every.sort((a, b) => natural.compare(a.name, b.name));
    else {
      const keys = new Map(every.map((item) => [item, by[order](item)]));
      every.sort((a, b) => keys.get(a) - keys.get(b) || a.arrival - b.arrival);
    }
    this.ordered = every;
    this.choose();
  }

  /** Which of them are wanted at this threshold. */
  choose() {
    const { filter, group } = this;
    const wanted = this.ordered.filter((item) => {
      if (group !== "every" && this.groupOf(item) !== group) return false;
      if (filter === "all") return true;
      if (filter === "changes") return item.label === null && !item.kept && this.flips(item);
      return this.verdictOf(item) === filter;
    });
    const gone = !this.items.has(this.selected);
    if (gone) {
      this.selected = wanted[0]?.id ?? this.ordered[0]?.id ?? null;
      if (this.selected && this.data.mode === "calibrate") this._tellSelected();
    }
    const same = wanted.length === this.list.length && wanted.every((item, i) => item === this.list[i]);
    if (same && !gone) return;
    this.list = wanted;
    this.gallery.setItems(wanted);
    this.results.setItems(wanted);
    this.showRows();
  }

  setRows(count) {
    while (this.rows.length > count) this.rows.pop().root.remove();
    while (this.rows.length < count) {
      const row = new PictureRow(this.sight, (found) => this.point(found));
      this.rows.push(row);
      this.one(".rows").append(row.root);
    }
    this.one(".rows").dataset.count = count;
    for (const button of this.root.querySelectorAll("[data-rows]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.rows) === count);
    }
    this.solo(this.alone);
  }

  showRows() {
    this.one(".detail").hidden = !this.items.size || this.listing;
    this.gallery.setActive(this.selected, false);
    this.results.setActive(this.selected, false);
    this._follow();
    const first = this.items.get(this.selected);
    if (!first || this.listing) return;
    const at = this.list.indexOf(first);
    const shown = [first];
    for (let i = 1; at >= 0 && shown.length < this.rows.length && i < this.list.length; i++) {
      shown.push(this.list[(at + i) % this.list.length]);
    }
    this.rows.forEach((row, i) => {
      row.root.hidden = !shown[i];
      if (shown[i]) row.show(shown[i], this.mapOf(shown[i], true), this.rows.length > 1);
    });
    for (const row of this.rows) row.look();
  }

  mapOf(item, urgent = false) {
    const map = library.get(item.map);
    if (map) item.curve ??= map.scores.slice();
    else if (urgent) this.wantMap(item, true);
    return map;
  }

  wantMap(item, urgent) {
    library.want(item.map, this.data.size, this.data.areas, urgent, (url, map) => {
      if (item.map !== url) return;
      item.curve = map.scores.slice();
      for (const row of this.rows) if (row.item === item) row.map = map;
      // Python's score is for the smallest region it knows of; the curve has them all.
      if (this.decision.minArea !== this.data.decision.min_area) this.scored = null;
      this.schedule();
    });
  }

  /** Maps in sight first, then the others: with them all verdicts follow the smallest region too. */
  wantMaps() {
    if (this.listing) return;
    for (const tile of this.gallery.tiles.values()) this.wantMap(tile.item, true);
    this.schedule();
    // The rest of the page comes before what is not yet to be seen.
    this.background ??= setTimeout(() => {
      this.background = undefined;
      for (const item of this.items.values()) if (!item.curve) this.wantMap(item, false);
    }, 400);
  }

  schedule() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      const begin = performance.now();
      this.step();
      performance.measure("padim-viewer-step", { start: begin, end: performance.now() });
      if (++this.steps > 2000) {
        performance.clearMeasures("padim-viewer-step");
        this.steps = 0;
      }
    });
  }

  listing = false;
  region = null;
  steps = 0;

  /** One frame: everything that depends on the threshold. */
  step() {
    const { data, decision, quantizer } = this;
    if (!data) return;
    const { level, minArea } = decision;
    if (!this.palette || this.palette.name !== this.look.colormap) {
      this.palette = { name: this.look.colormap, colors: fromBase64(data.palettes[this.look.colormap]) };
    }
    this.scale.set(level, this.palette.colors, this.palette.name, this.look.opacity);
    if (data.mode === "calibrate") this._stepDecision();
    this.choose();
    const { scale, runs, scratch, layers, region } = this;
    const context = { level, minArea, scale, runs, scratch, layers, region };
    for (const row of this.rows) {
      if (row.root.hidden) continue;
      row.redraw(context);
      row.root.dataset.drawn = row.map ? `${row.item.id}:${level}:${minArea}` : "";
    }
    this.gallery.redraw(context, (item) => this.mapOf(item), (item) => {
      const verdict = this.verdictOf(item);
      const times = multipleOf(quantizer.toValue(this.scoreOf(item)), quantizer.toValue(level));
      return { verdict, note: `${VERDICTS[verdict]} · ${times}`, label: item.kept ? "kept" : item.label };
    });
    if (data.arranged) {
      this.results.redraw((item) => {
        const verdict = this.verdictOf(item);
        const times = multipleOf(quantizer.toValue(this.scoreOf(item)), quantizer.toValue(level));
        return { verdict, words: VERDICTS[verdict], times };
      });
    }
    this._stepHeadline();
    this._stepBar();
    // Pictures whose map is still to come: their verdicts follow the threshold, not yet the smallest region.
    let left = 0;
    for (const item of this.items.values()) if (item.map && !item.curve && !library.failed.has(item.map)) left++;
    this.one(".viewer").dataset.left = left;
  }

  _stepDecision() {
    const { data, decision, quantizer, held } = this;
    const { basis, permille, level, minArea } = decision;
    const scoredKey = `${minArea}`;
    if (this.scored !== scoredKey) {
      const scores = { normal: [], kept: [], good: [], defect: [], unknown: [] };
      for (let part = 0; part < held.n; part++) {
        scores[part < data.held.in_fit ? "normal" : "kept"].push(held.score(part, minArea));
      }
      for (const item of this.items.values()) if (item.held < 0) scores[this.groupOf(item)].push(this.scoreOf(item));
      if (this.scored === 0) {
        const good = Math.max(1, ...scores.normal, ...scores.kept, data.saved?.level ?? 0, level);
        const tests = Math.max(0, ...scores.good, ...scores.defect, ...scores.unknown);
        const least = Math.min(good, ...Object.values(scores).flat(), data.saved?.level ?? good, level);
        this.range = [
          Math.floor(0.85 * least),
          Math.min(MAX_LEVEL, Math.ceil(1.08 * Math.max(good, Math.min(tests, 2.5 * good)))),
        ];
      }
      this.scored = scoredKey;
      this.scores = scores;
      const host = this.one(".hist-host");
      this.histogram.setScores(scores, this.range, Math.max(280, host.clientWidth), quantizer);
    }
    this.histogram.setThreshold({
      level, saved: data.saved?.level ?? null, band: data.band, quantizer,
    });
    const above = held.n ? held.falseRejects(level, minArea) : null;
    const percentile = basis === "manual" || !held.n ? (above ? held.permille(above.above) : null) : permille;
    this._fill(".percentile", percentile === null ? "" : (percentile / 10).toFixed(1), !held.n);
    this._fill(".threshold", quantizer.toValue(level).toFixed(2), false);
    this._fill(".share", above ? (100 * above.expected).toFixed(1) : "", !held.n);
    this._fill(".area-type", String(minArea), false);
    const slide = this.one(".area-slide");
    if (this.root.activeElement !== slide || !slide.matches(":active")) slide.value = nearestStop(this.stops, minArea);
    slide.setAttribute("aria-valuetext", `${minArea} px²`);
    for (const button of this.root.querySelectorAll("[data-basis]")) {
      button.setAttribute("aria-pressed", button.dataset.basis === basis);
      button.disabled = { image: !held.n, pixel: !data.pixel_levels, manual: false }[button.dataset.basis];
    }
    this.one(".promise").textContent = above
      ? promised(above)
      : data.held.url
        ? "Reading the good parts’ scores …"
        : "Nothing can be promised for this threshold: held-out scores take at least 3 good parts.";
    if (this.spoken !== false) {
      // Said once a change is complete, not in every frame of it.
      this.one(".spoken").textContent = [this.spoken, this.one(".promise").textContent].filter(Boolean).join(" ");
      this.spoken = false;
    }
    const short = basis === "image" && held.n && rank(permille, held.n) > held.n;
    const warning = this.one(".warning");
    warning.hidden = !short;
    if (short) {
      warning.textContent =
        `${permille / 10} % asks for at least ${whole.format(partsNeeded(permille))} good parts; there are ` +
        `${whole.format(held.n)}. The highest held-out score stands in for it. Fit with more, or choose a lower percentile.`;
    }
    this._stepCounts(level);
    const saved = data.saved;
    this.one(".undo").disabled = !this.past.backward && !this.moving;
    this.one(".redo").disabled = !this.past.forward;
    this.one(".back").disabled = !saved || (saved.level === level && saved.min_area === minArea);
  }

  _stepCounts(level) {
    const { band } = this.data;
    const rows = [];
    for (const [kind, title] of [...KINDS].reverse()) {
      const scores = this.scores[kind];
      if (!scores.length) continue;
      // As the verdicts have it: what is to be reviewed counts on neither side.
      const rejected = scores.filter((score) => score > level + band).length;
      const pass = scores.filter((score) => score <= level && (!band || score < level - band)).length;
      rows.push([kind, title, pass, rejected, scores.length - pass - rejected, rejected / scores.length]);
    }
    const key = JSON.stringify(rows);
    if (key === this.counted) return;
    this.counted = key;
    const head = ["", "Pass", "Rejected", ...(band ? ["To review"] : []), "Share rejected, counted"];
    this.one(".counts thead").replaceChildren(element("tr", {}, ...head.map((text) => element("th", {}, text))));
    this.one(".counts tbody").replaceChildren(
      ...rows.map(([kind, title, below, above, review, share]) =>
        element("tr", { "data-kind": kind },
          element("th", {}, element("i", { class: `swatch ${kind}` }), title),
          element("td", { class: "below" }, whole.format(below)),
          element("td", { class: "above" }, whole.format(above)),
          ...(band ? [element("td", { class: "review" }, whole.format(review))] : []),
          element("td", { class: "share-above" }, `${(100 * share).toFixed(1)} %`))),
    );
  }

  _fill(selector, text, disabled) {
    const input = this.one(selector);
    input.disabled = disabled;
    // What is being typed is not overwritten.
    if (this.typing !== input && input.value !== text) input.value = text;
  }

  _stepHeadline() {
    const item = this.items.get(this.selected);
    if (!item) return;
    const { level } = this.decision;
    const { quantizer } = this;
    const verdict = this.verdictOf(item);
    const score = this.scoreOf(item);
    this.one(".name").textContent = item.name;
    const badge = this.one(".verdict");
    badge.textContent = VERDICTS[verdict];
    badge.dataset.verdict = verdict;
    const row = this.rows[0];
    const regions = row.map && row.item === item ? row.regions : null;
    const told = [`${multipleOf(quantizer.toValue(score), quantizer.toValue(level))} threshold`];
    if (verdict === "review") told.push(`${score > level ? "above" : "below"} it, within repeatability`);
    if (regions) told.push(counted(regions, "region"));
    this.one(".told").textContent = told.join(" · ");
    const at = this.list.indexOf(item);
    const stretched = shownRatio(item) === item.width / item.height ? "" : ", shown stretched";
    this.one(".place").textContent =
      `${item.width} × ${item.height} px${stretched}` + (at >= 0 ? ` · ${whole.format(at + 1)} of ${whole.format(this.list.length)}` : "");
    for (const button of this.root.querySelectorAll("[data-label]")) {
      if (button.tagName !== "BUTTON") continue;
      const on = button.dataset.label === "kept" ? item.kept : item.label === button.dataset.label;
      button.setAttribute("aria-pressed", on);
      button.hidden = item.held >= 0 && button.dataset.label === "good";
    }
    this.one(".take-mask").disabled = !(row.map && row.item === item);
    this.one(".previous").disabled = at <= 0;
    this.one(".next").disabled = at < 0 || at === this.list.length - 1;
  }

  _stepBar() {
    if (this.data.arranged) return;
    const counts = { all: 0, reject: 0, review: 0, accept: 0, changes: 0 };
    const groups = new Map();
    for (const item of this.items.values()) {
      const group = this.groupOf(item);
      groups.set(group, (groups.get(group) ?? 0) + 1);
      if (this.group !== "every" && group !== this.group) continue;
      counts.all++;
      counts[this.verdictOf(item)]++;
      if (item.label === null && !item.kept && this.flips(item)) counts.changes++;
    }
    const filters = [["all", "All"], ["reject", "Reject"], ["review", "Review"], ["accept", "Accept"], ["changes", "Changes"]].filter(
      ([name]) => (name !== "review" || this.data.band) && (name !== "changes" || this.data.mode === "calibrate"),
    );
    const key = JSON.stringify([counts, this.filter, filters.length]);
    if (key !== this.barred) {
      this.barred = key;
      const host = this.one(".filters");
      filters.forEach(([name, text], i) => {
        let button = host.children[i];
        if (!button) {
          button = element("button", { type: "button" });
          host.append(button);
        }
        button.dataset.filter = name;
        button.textContent = `${text} ${whole.format(counts[name])}`;
        button.title = name === "changes" ? "Only pictures whose verdict would change against the threshold in use, nearest first" : "";
        button.setAttribute("aria-pressed", name === this.filter);
      });
      while (host.children.length > filters.length) host.lastChild.remove();
    }
    const names = JSON.stringify([...groups.keys()].sort());
    if (names !== this.grouped) {
      this.grouped = names;
      const kinds = this.one(".kinds");
      kinds.hidden = groups.size < 2;
      const known = Object.keys(GROUPS).filter((group) => groups.has(group));
      kinds.replaceChildren(
        element("option", { value: "every" }, "Every kind"),
        ...known.map((group) => element("option", { value: group }, GROUPS[group])),
      );
      if (!groups.has(this.group)) this.group = "every";
      kinds.value = this.group;
    }
    this.one(".order").disabled = this.filter === "changes";
    const nothing = this.one(".nothing");
    nothing.hidden = this.list.length > 0;
    this.one(".gallery").hidden = this.list.length === 0;
    nothing.textContent = !this.items.size
      ? "No pictures yet: add test pictures above."
      : this.filter === "changes"
      ? "No verdict changes against the threshold in use. Move the line, and the pictures that change sides appear here."
      : "None of the pictures is of this kind.";
  }

  /** Hand out the mask of the picture on the screen. */
  async takeMask() {
    const item = this.items.get(this.selected);
    const map = item && this.mapOf(item, true);
    if (!map) return;
    const rows = maskRows(map, item, this.decision.level, this.decision.minArea);
    handOut(await greyPng(item.width, item.height, rows), item.mask_name);
  }

  point(found) {
    for (const row of this.rows) row.cross(found);
    if (!found) {
      this.one(".readout").textContent = "";
      return;
    }
    const { x, y, item, map } = found;
    const { box } = item;
    let text = `x ${x}, y ${y}`;
    if (map) {
      // The map pixel under this pixel's centre (padim.decision.anomaly_map): integers, as the mask is enlarged.
      const column = box.left + Math.floor(((2 * x + 1) * box.width) / (2 * item.width));
      const line = box.top + Math.floor(((2 * y + 1) * box.height) / (2 * item.height));
      const value = this.quantizer.toValue(map.levels[line * map.size + column]);
      text += ` · ${value.toFixed(2)} · ${multipleOf(value, this.quantizer.toValue(this.decision.level))} threshold`;
    }
    this.one(".readout").textContent = text;
  }

  solo(kind) {
    this.alone = kind;
    for (const row of this.rows) row.solo(kind);
    for (const row of this.rows) row.look();
  }

  // -- hands on -------------------------------------------------------------------------------------------

  _listen() {
    const on = (selector, event, act) => this.one(selector).addEventListener(event, act);
    this.one(".basis").addEventListener("click", (event) => {
      const basis = event.target.dataset?.basis;
      if (basis) this.change({ basis }, true);
    });
    const typed = (selector, take) => {
      const input = this.one(selector);
      input.addEventListener("blur", () => {
        // Typed, and put back as it was: the browser then says nothing of a change.
        if (this.typing === input && this.moving) this.giveUp();
        this.typing = null;
        this.schedule();
      });
      const read = (done) => {
        const value = input.valueAsNumber;
        // What is no number, or out of range, decides nothing; nor does what was typed on the way to it.
        if (Number.isFinite(value) && value >= 0) take(value, done);
        else if (done) this.giveUp();
      };
      input.addEventListener("input", () => {
        this.typing = input;
        read(false);
      });
      input.addEventListener("change", () => {
        read(true);
        this.typing = null;
        this.schedule();
      });
    };
    const basis = () => (this.decision.basis === "manual" ? "image" : this.decision.basis);
    const permille = (percent) => Math.min(999, Math.max(1, Math.round(percent * 10)));
    typed(".percentile", (value, done) => this.change({ basis: basis(), permille: permille(value) }, done));
    typed(".share", (value, done) => this.change({ basis: "image", permille: permille(100 - value) }, done));
    typed(".threshold", (value, done) => {
      this.change({ basis: "manual", level: Math.min(MAX_LEVEL - 1, this.quantizer.toLevel(value)) }, done);
    });
    const area = (value) => Math.min(this.data.areas, Math.max(1, Math.round(value)));
    typed(".area-type", (value, done) => this.change({ minArea: area(value) }, done));
    on(".area-slide", "input", (event) => this.change({ minArea: this.stops[event.target.valueAsNumber] }, false));
    on(".area-slide", "change", () => this.commit());
    on(".undo", "click", () => this.undo());
    on(".redo", "click", () => this.redo());
    on(".take-mask", "click", () => this.takeMask());
    on(".back", "click", () => {
      const { basis: way, permille: share, level, min_area: minArea } = this.data.saved;
      this.change({ basis: way, permille: share, level, minArea }, true);
    });

    on(".opacity-slide", "input", (event) => {
      this.look.opacity = event.target.valueAsNumber;
      this.schedule();
    });
    on(".opacity-slide", "change", () => this.tell.look({ ...this.look }));
    on(".colormap", "change", (event) => {
      this.look.colormap = event.target.value;
      this.schedule();
      this.tell.look({ ...this.look });
    });
    for (const box of this.root.querySelectorAll("[data-layer]")) {
      box.addEventListener("change", () => this.toggle(box.dataset.layer, box.checked));
    }
    on(".previous", "click", () => this.go(-1));
    on(".next", "click", () => this.go(1));
    on(".at-once", "click", (event) => {
      if (!event.target.dataset?.rows) return;
      this.setRows(Number(event.target.dataset.rows));
      this.showRows();
      this.schedule();
    });
    on(".in", "click", () => this.sight.zoomAt(1.5, 0.5, 0.5));
    on(".out", "click", () => this.sight.zoomAt(1 / 1.5, 0.5, 0.5));
    on(".whole", "click", () => this.sight.reset());
    on(".labels", "click", (event) => {
      if (event.target.dataset?.label) this.label(event.target.dataset.label);
    });
    on(".filters", "click", (event) => {
      if (!event.target.dataset?.filter) return;
      this.filter = event.target.dataset.filter;
      this.arrange();
      this._selectListed();
      this.schedule();
    });
    on(".kinds", "change", (event) => {
      this.group = event.target.value;
      this.arrange();
      this._selectListed();
      this.schedule();
    });
    on(".order", "change", (event) => {
      this.order = event.target.value;
      this.arrange();
      this.schedule();
    });
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
  }

  /** After another choice of pictures: one of them is shown. */
  _selectListed() {
    if (this.list.length && !this.list.some((item) => item.id === this.selected)) this.select(this.list[0].id);
  }

  toggle(layer, on = !this.layers[layer]) {
    this.layers[layer] = on;
    this.one(`[data-layer="${layer}"]`).checked = on;
    this.schedule();
  }

  key(event) {
    const path = event.composedPath();
    const target = path[0];
    const inside = path.includes(this.one(".viewer"));
    // Anything else that has the focus, a field or a list, goes first; on the bare page the arrows are ours.
    const bare = target === document.body || target === document.documentElement;
    if ((!inside && !bare) || event.altKey || event.defaultPrevented) return;
    // In a field that is typed in, Ctrl+Z is the field's own.
    if (target.matches?.("input[type=number], textarea, [contenteditable]")) return;
    const letter = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (letter === "z" || letter === "y") && this.data.mode === "calibrate") {
      if (letter === "y" || event.shiftKey) this.redo();
      else this.undo();
      event.preventDefault();
      return;
    }
    if (target.matches?.("select")) return;
    if (event.ctrlKey || event.metaKey || target.matches?.("input[type=range], [role=slider]")) return;
    if (event.shiftKey && /^Arrow/.test(event.key)) {
      if (!inside || this.sight.zoom === 1) return;
      const step = 0.15 / this.sight.zoom;
      const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      this.sight.set(this.sight.zoom, this.sight.x + dx, this.sight.y + dy);
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const acts = {
      ArrowLeft: () => this.go(-1),
      ArrowRight: () => this.go(1),
    };
    if (path.includes(this.results.host)) {
      Object.assign(acts, { ArrowUp: () => this.go(-1), ArrowDown: () => this.go(1) });
    }
    if (path.includes(this.gallery.host)) {
      Object.assign(acts, {
        ArrowUp: () => this.go(-this.gallery.columns),
        ArrowDown: () => this.go(this.gallery.columns),
      });
    }
    if (inside) {
      Object.assign(acts, {
        Home: () => this.list.length && this.select(this.list[0].id),
        End: () => this.list.length && this.select(this.list.at(-1).id),
        0: () => this.solo(null),
        o: () => this.toggle("contour"),
        h: () => this.toggle("heatmap"),
        m: () => this.toggle("mask"),
        "+": () => this.sight.zoomAt(1.5, 0.5, 0.5),
        "=": () => this.sight.zoomAt(1.5, 0.5, 0.5),
        "-": () => this.sight.zoomAt(1 / 1.5, 0.5, 0.5),
        Escape: () => {
          this.solo(null);
          this.sight.reset();
        },
      });
      PANES.forEach(([kind], i) => (acts[i + 1] = () => (this.solo(kind), this.schedule())));
      if (this.data.mode === "calibrate") {
        Object.assign(acts, { k: () => this.label("kept"), n: () => this.label("good"), d: () => this.label("defect") });
      }
    }
    const act = acts[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Take over a label; keeping a picture off the list of changes says nothing about it. */
function applyLabel(item, label) {
  if (label === "kept" || label === "unkept") item.kept = label === "kept";
  else item.label = label;
}

/** Smallest regions that the slider offers: each up to 16, then in steps of about a twelfth. */
function areaStops(most) {
  const stops = [];
  for (let area = 1; area <= most; area = Math.max(area + 1, Math.round(area * (area < 16 ? 1 : 1.085)))) stops.push(area);
  if (stops.at(-1) !== most) stops.push(most);
  return stops;
}

function nearestStop(stops, area) {
  const at = stops.findIndex((stop) => stop >= area);
  return at < 0 ? stops.length - 1 : at;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export default function ({ data, parentElement, setStateValue }) {
  const tell = {
    decision: (decision) => setStateValue("decision", decision),
    look: (look) => setStateValue("look", look),
    selected: (id) => setStateValue("selected", id),
    labels: (labels) => setStateValue("labels", labels),
  };
  let viewer = viewers.get(parentElement);
  if (viewer && !parentElement.contains(viewer.one(".viewer"))) {
    viewer.dispose();
    viewer = null;
  }
  if (!viewer) {
    viewer = new Viewer(parentElement, tell);
    viewers.set(parentElement, viewer);
  }
  viewer.tell = tell;
  viewer.update(data);
  // Streamlit also cleans up after a call that newer data has overtaken: only what is gone is given up.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return;
      viewer.dispose();
      viewers.delete(parentElement);
    });
}
