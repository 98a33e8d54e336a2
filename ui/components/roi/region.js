// The region editor. Shapes are drawn here, in map pixels (x to the right, y down, pixel i covers [i, i + 1));
// which pixels they come to is worked out in Python (padim.decision.roi.rasterize), whose mask is shown as soon as it is
// there. Until then the canvas fills the same shapes itself.

const SVG = "http://www.w3.org/2000/svg";
const editors = new WeakMap();
// Screen pixels: how near to a corner counts as on it.
const NEAR = 9;
const HISTORY = 200;

const HINTS = {
  polygon: "Click corners; double click or Enter closes, Escape gives up.",
  brush: "Press and paint. Every stroke is a shape of its own.",
  select: "Click a shape to choose it. Drag it, or one of its corners; Delete takes it away.",
};

function element(tag, attributes = {}, text = null) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function drawn(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Path data of a line through points; a single point is drawn as a dot. */
function pathOf(points, closed) {
  const [first, ...rest] = points;
  const line = (rest.length ? rest : [first]).map(([x, y]) => `L${x} ${y}`).join("");
  return `M${first[0]} ${first[1]}${line}${closed ? "Z" : ""}`;
}

/** Eighths of a pixel: fine enough for a hand, and exact in binary. */
function tidy(value) {
  return Math.round(value * 8) / 8;
}

/** Whether two lists of shapes are the same drawing. */
function alike(one, other) {
  const plain = (shapes) => JSON.stringify(shapes.map(({ kind, mode, points, radius }) => [kind, mode, points, radius]));
  return plain(one) === plain(other);
}

class Editor {
  constructor(host, tell) {
    this.host = host;
    this.tell = tell;
    this.root = host.querySelector(".region");
    this.stage = this.one(".stage");
    this.svg = this.one(".shapes");
    this.canvas = this.one(".outside");
    this.tool = "polygon";
    this.mode = "exclude";
    this.shapes = [];
    this.selected = -1;
    this.past = [];
    this.future = [];
    this.serial = 0; // of the shapes here
    this.told = null; // of the shapes that Python last made a mask of
    this.model = null;
    this.begun = null; // points of the polygon or stroke being drawn
    this.drag = null; // of a corner or a whole shape
    this.pen = null; // where the pointer, or the keyboard's pen, is
    this.penDown = false; // whether the keyboard's brush is down
    this.mask = { url: undefined, image: null };
    this._listen();
    this.behind = drawn("g"); // the shapes
    this.front = drawn("g"); // what is being drawn, and the pen: all that follows the pointer
    this.svg.replaceChildren(this.behind, this.front);
    this.sizes = new ResizeObserver(() => {
      if (!this.data) return;
      this._shapes();
      this.paint();
    });
    this.sizes.observe(this.stage);
  }

  one(selector) {
    return this.host.querySelector(selector);
  }

  dispose() {
    this.sizes.disconnect();
  }

  // -- what Python says -----------------------------------------------------------------------------------

  update(data) {
    this.data = data;
    const { size, model } = data;
    if (model !== this.model || size !== this.size) {
      // Another model: its own shapes, and nothing to undo.
      Object.assign(this, { model, size, shapes: data.shapes, past: [], future: [], selected: -1 });
      Object.assign(this, { begun: null, drag: null, pen: null, penDown: false, serial: data.heard });
      this.radius = Math.max(1, Math.round(size / 24));
      this.one(".radius input").max = Math.max(8, Math.round(size / 4));
      this.svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
    } else if (data.heard < this.told) {
      // Python has forgotten what it was told, as after a restart: what it says now is what there is.
      Object.assign(this, { shapes: data.shapes, past: [], future: [], selected: -1 });
      Object.assign(this, { begun: null, drag: null, penDown: false, serial: data.heard });
    } else if (data.heard >= this.serial && !this.drag) {
      // Python has heard of all that was drawn here. Where it has other shapes, it put them in their place, which
      // can be undone as any change. An answer from before the latest drawing is no news: the hand stands.
      if (!alike(data.shapes, this.shapes)) {
        this._remember();
        this.shapes = data.shapes;
        this.selected = -1;
        this.begun = null;
      }
      this.serial = data.heard;
    }
    this.told = data.heard;
    this._show(this.one(".mean"), data.mean);
    const wolf = data.wolf;
    this._show(this.one(".wolf"), wolf?.url);
    this.one(".wolf-toggle").hidden = !wolf?.url;
    this.one(".scale").hidden = !wolf?.url;
    this.one(".calm").hidden = !data.calm;
    this.one(".calm").textContent = data.calm ?? "";
    if (wolf?.url) {
      this.one(".scale b").style.background = `linear-gradient(to right, ${wolf.colors.join(", ")})`;
      this.one(".least").textContent = wolf.least;
      this.one(".most").textContent = wolf.most;
    }
    if (data.mask !== this.mask.url) {
      this.mask = { url: data.mask, image: null };
      if (data.mask) {
        const image = new Image();
        const wanted = this.mask;
        image.onload = () => {
          wanted.image = image;
          this.paint();
        };
        image.src = data.mask;
      }
    }
    this.draw();
  }

  _show(image, url) {
    if (url && image.getAttribute("src") !== url) image.src = url;
    image.hidden = !url || (image.classList.contains("wolf") && !this.one(".wolf-toggle input").checked);
  }

  // -- changes --------------------------------------------------------------------------------------------

  _remember() {
    this.past.push(this.shapes);
    if (this.past.length > HISTORY) this.past.shift();
    this.future = [];
  }

  /** Put other shapes in the place of these: one step to undo, and one message to Python. */
  change(shapes, selected = -1) {
    this._remember();
    this._put(shapes, selected);
  }

  _put(shapes, selected = -1) {
    this.shapes = shapes;
    this.selected = selected;
    this.serial += 1;
    this.tell({ model: this.model, size: this.size, serial: this.serial, shapes });
    this.draw();
  }

  undo() {
    if (this.begun) {
      if (this.tool === "polygon" && this.begun.length > 1) this.begun.pop();
      else this.begun = null;
      this.penDown = false;
      this.draw();
    } else if (this.past.length) {
      this.future.push(this.shapes);
      this._put(this.past.pop());
    }
  }

  redo() {
    if (this.begun || !this.future.length) return;
    this.past.push(this.shapes);
    this._put(this.future.pop());
  }

  remove() {
    if (this.selected < 0) return;
    this.change(this.shapes.filter((_, i) => i !== this.selected));
    this.stage.focus({ preventScroll: true });
  }

  alter(index, changes) {
    this.change(this.shapes.map((shape, i) => (i === index ? { ...shape, ...changes } : shape)), index);
  }

  add(shape) {
    const { most_shapes: shapes, most_points: points } = this.data;
    const total = this.shapes.reduce((sum, { points: own }) => sum + own.length, shape.points.length);
    if (this.shapes.length >= shapes || total > points) {
      this.say("There is no room for another shape; delete some first.");
      return;
    }
    // A polygon shows its corners at once, to be put right; a stroke has none.
    this.change([...this.shapes, shape], shape.kind === "polygon" ? this.shapes.length : -1);
  }

  /** Close the polygon, or end the stroke. */
  finish() {
    const points = this.begun;
    if (!points) return;
    if (this.tool === "polygon" && points.length < 3) {
      this.say("A polygon needs at least three corners.");
      return;
    }
    this.begun = null;
    this.penDown = false;
    this.draw();
    this.add({ kind: this.tool, mode: this.mode, points, radius: this.tool === "brush" ? this.radius : 0 });
  }

  giveUp() {
    if (this.begun || this.drag) {
      if (this.drag) this.shapes = this.drag.shapes;
      this.begun = this.drag = null;
      this.penDown = false;
    } else {
      this.selected = -1;
    }
    this.draw();
  }

  setTool(tool) {
    if (tool !== this.tool && this.begun) this.begun = null;
    this.tool = tool;
    this.penDown = false;
    if (tool !== "select") this.selected = -1;
    this.draw();
  }

  /** What can be altered by the mode and radius controls: the selected shape, else the next one drawn. */
  get chosen() {
    return this.tool === "select" && this.selected >= 0 ? this.shapes[this.selected] : null;
  }

  setMode(mode) {
    this.mode = mode;
    if (this.chosen && this.chosen.mode !== mode) this.alter(this.selected, { mode });
    this.draw();
  }

  setRadius(radius, done) {
    radius = Math.min(Number(this.one(".radius input").max), Math.max(1, Math.round(radius)));
    if (this.chosen?.kind === "brush") {
      if (done && this.chosen.radius !== radius) this.alter(this.selected, { radius });
    } else {
      this.radius = radius;
    }
    this.draw(radius);
  }

  // -- drawing --------------------------------------------------------------------------------------------

  say(text) {
    const hint = this.one(".hint");
    const alone = this.mode === "include" && !this.shapes.length && this.tool !== "select";
    hint.textContent = text ?? HINTS[this.tool] + (alone ? " Drawn first: it alone is judged." : "");
    hint.toggleAttribute("data-urgent", Boolean(text));
  }

  /** Bring everything in line with what is. */
  draw(radius = null) {
    const { tool, chosen } = this;
    this.stage.dataset.tool = tool;
    const mode = chosen?.mode ?? this.mode;
    for (const button of this.root.querySelectorAll("[data-tool]")) {
      if (button.tagName === "BUTTON") button.setAttribute("aria-checked", button.dataset.tool === tool);
    }
    for (const button of this.root.querySelectorAll(".modes button")) {
      button.setAttribute("aria-checked", button.dataset.mode === mode);
    }
    const brush = tool === "brush" || chosen?.kind === "brush";
    radius ??= chosen?.kind === "brush" ? chosen.radius : this.radius;
    const range = this.one(".radius input");
    range.disabled = !brush;
    range.value = radius;
    this.one(".radius").toggleAttribute("data-idle", !brush);
    this.one(".radius output").textContent = `${Math.round(radius)} px`;
    this.one(".undo").disabled = !this.past.length && !this.begun;
    this.one(".redo").disabled = !this.future.length || Boolean(this.begun);
    this.one(".delete").disabled = this.selected < 0;
    this.one(".clear").disabled = !this.shapes.length;
    this.say(null);
    const judged = this.one(".judged");
    judged.textContent = this.settled ? this.data.judged : "Working out what is judged …";
    this._list();
    this._shapes();
    this.paint();
  }

  /** Whether Python's mask is that of the shapes here. */
  get settled() {
    return this.told === this.serial && !this.drag;
  }

  _list() {
    const host = this.one(".list");
    const key = JSON.stringify(this.shapes.map(({ kind, mode }) => kind + mode));
    if (key !== this.listed) {
      this.listed = key;
      host.replaceChildren(
        ...this.shapes.map(({ kind, mode }, i) =>
          element("button", { type: "button", "data-index": i, "data-mode": mode },
            `${i + 1} ${mode === "exclude" ? "Exclude" : "Include"}, ${kind}`)),
      );
    }
    [...host.children].forEach((button, i) => button.setAttribute("aria-pressed", i === this.selected));
  }

  /** Map pixels that a screen pixel is. */
  get unit() {
    return this.size / (this.canvas.clientWidth || this.size);
  }

  _shapes() {
    this.behind.replaceChildren(...this.shapes.map((shape, i) => this._shape(shape, i)));
    this._front();
  }

  _front() {
    const groups = this.begun ? [this._begun()] : [];
    if (this.pen && (this.tool === "brush" || this.penByKey)) groups.push(this._pen());
    this.front.replaceChildren(...groups);
  }

  _shape({ kind, mode, points, radius }, index) {
    const group = drawn("g", { "data-mode": mode, "data-index": index });
    group.classList.toggle("chosen", index === this.selected);
    const d = pathOf(points, kind === "polygon");
    const active = this.tool === "select" ? (kind === "brush" ? "stroke" : "all") : "none";
    const hit = kind === "brush"
      ? drawn("path", { d, class: "wide hit", "stroke-width": 2 * radius })
      : drawn("path", { d, class: "area hit" });
    hit.style.pointerEvents = active;
    group.append(hit);
    // The line in the middle of a stroke would say little: its mask shows where it is.
    if (kind === "polygon" || index === this.selected) {
      for (const name of ["halo", "edge"]) {
        const line = drawn("path", { d, class: name });
        line.style.pointerEvents = "none";
        group.append(line);
      }
    }
    if (index === this.selected && kind === "polygon") {
      points.forEach(([x, y], corner) => {
        group.append(drawn("circle", { cx: x, cy: y, r: 5.5 * this.unit, class: "corner", "data-corner": corner }));
      });
    }
    return group;
  }

  _begun() {
    const group = drawn("g", { "data-mode": this.mode, class: "drawn" });
    group.style.pointerEvents = "none";
    const points = this.begun;
    if (this.tool === "brush") {
      group.append(drawn("path", { d: pathOf(points, false), class: "wide", "stroke-width": 2 * this.radius }));
      return group;
    }
    const ahead = this.pen ? [...points, this.pen] : points;
    group.append(drawn("path", { d: pathOf(ahead, true), class: "area" }));
    for (const name of ["halo", "edge"]) group.append(drawn("path", { d: pathOf(ahead, false), class: name }));
    points.forEach(([x, y], i) => {
      group.append(drawn("circle", { cx: x, cy: y, r: (i ? 3.5 : 5.5) * this.unit, class: "corner" }));
    });
    return group;
  }

  /** The brush's tip, or the keyboard's pen. */
  _pen() {
    const group = drawn("g", { "data-mode": this.mode });
    group.style.pointerEvents = "none";
    const [x, y] = this.pen;
    for (const name of ["pen-halo", "pen"]) {
      if (this.tool === "brush") group.append(drawn("circle", { cx: x, cy: y, r: this.radius, class: name }));
      if (this.penByKey) {
        const arm = 8 * this.unit;
        group.append(drawn("path", { d: `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`, class: name }));
      }
    }
    return group;
  }

  /** What is not judged, darkened and hatched: by Python's mask, or until it is there by the shapes here. */
  paint() {
    const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    if (!side || !this.size) return;
    const { canvas } = this;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, side, side);
    const settled = this.settled;
    canvas.dataset.by = settled ? "mask" : "shapes";
    if (settled && !this.data.mask) return;
    if (settled && !this.mask.image) {
      // On its way; the shapes stand in for it, unless there are none here.
      if (!this.shapes.length) return;
      canvas.dataset.by = "shapes";
    }
    const cover = canvas.dataset.by === "mask" ? this.mask.image : this._cover();
    context.fillStyle = "rgba(16, 20, 24, 0.62)";
    context.fillRect(0, 0, side, side);
    context.fillStyle = this._hatch(context);
    context.fillRect(0, 0, side, side);
    context.globalCompositeOperation = "destination-in";
    context.imageSmoothingEnabled = false;
    if (cover) context.drawImage(cover, 0, 0, side, side);
    else context.clearRect(0, 0, side, side);
  }

  _hatch(context) {
    const scale = window.devicePixelRatio || 1;
    if (this.hatch?.scale !== scale) {
      const period = Math.round(10 * scale);
      const tile = document.createElement("canvas");
      tile.width = tile.height = period;
      const ink = tile.getContext("2d");
      ink.strokeStyle = "rgba(255, 255, 255, 0.30)";
      ink.lineWidth = 1.2 * scale;
      for (const shift of [-period, 0, period]) {
        ink.moveTo(shift - 2, period + 2);
        ink.lineTo(shift + period + 2, -2);
      }
      ink.stroke();
      this.hatch = { scale, tile };
    }
    return context.createPattern(this.hatch.tile, "repeat");
  }

  /** The shapes here, filled: opaque where nothing is judged; null where everything is. */
  _cover() {
    const { size, shapes } = this;
    if (!shapes.length) return null;
    const cover = document.createElement("canvas");
    const scale = Math.max(1, Math.round(1024 / size));
    cover.width = cover.height = size * scale;
    const context = cover.getContext("2d");
    context.scale(scale, scale);
    context.lineCap = context.lineJoin = "round";
    if (shapes[0].mode === "include") context.fillRect(0, 0, size, size);
    for (const { kind, mode, points, radius } of shapes) {
      context.globalCompositeOperation = mode === "exclude" ? "source-over" : "destination-out";
      const path = new Path2D(pathOf(points, kind === "polygon"));
      if (kind === "polygon") context.fill(path, "nonzero");
      else {
        context.lineWidth = 2 * radius;
        context.stroke(path);
      }
    }
    return cover;
  }

  // -- hands on -------------------------------------------------------------------------------------------

  /** Where in the map an event is, kept inside it. */
  _at(event) {
    const box = this.svg.getBoundingClientRect();
    const within = (value) => Math.min(this.size, Math.max(0, value));
    return [
      tidy(within(((event.clientX - box.left) / box.width) * this.size)),
      tidy(within(((event.clientY - box.top) / box.height) * this.size)),
    ];
  }

  _listen() {
    const on = (selector, event, act) => this.one(selector).addEventListener(event, act);
    on(".tools", "click", (event) => event.target.dataset?.tool && this.setTool(event.target.dataset.tool));
    on(".modes", "click", (event) => event.target.dataset?.mode && this.setMode(event.target.dataset.mode));
    on(".radius input", "input", (event) => this.setRadius(event.target.valueAsNumber, false));
    on(".radius input", "change", (event) => this.setRadius(event.target.valueAsNumber, true));
    on(".undo", "click", () => this.undo());
    on(".redo", "click", () => this.redo());
    on(".delete", "click", () => this.remove());
    on(".clear", "click", () => {
      this.begun = null;
      this.change([]);
    });
    on(".wolf-toggle input", "change", () => this._show(this.one(".wolf"), this.data.wolf?.url));
    on(".list", "click", (event) => {
      const index = event.target.dataset?.index;
      if (index === undefined) return;
      this.begun = null;
      this.tool = "select";
      this.selected = this.selected === Number(index) ? -1 : Number(index);
      this.draw();
    });
    const { stage } = this;
    stage.addEventListener("pointerdown", (event) => this._down(event));
    stage.addEventListener("pointermove", (event) => this._move(event));
    stage.addEventListener("pointerup", (event) => this._up(event));
    stage.addEventListener("pointercancel", () => this.giveUp());
    stage.addEventListener("pointerleave", () => {
      if (this.begun || this.drag) return;
      this.pen = null;
      this._front();
    });
    stage.addEventListener("dblclick", (event) => {
      if (this.tool === "polygon") this.finish();
      event.preventDefault();
    });
    this.root.addEventListener("keydown", (event) => this._key(event));
  }

  _down(event) {
    if (event.button !== 0 || !this.size) return;
    this.stage.focus({ preventScroll: true });
    event.preventDefault();
    this.penByKey = this.penDown = false;
    const at = (this.pen = this._at(event));
    const target = event.target;
    const corner = target.dataset?.corner;
    if (!this.begun && corner !== undefined) {
      this._grab(event, at, this.selected, Number(corner));
      return;
    }
    if (this.tool === "polygon") this._corner(at);
    else if (this.tool === "brush") {
      this.stage.setPointerCapture(event.pointerId);
      this.begun = [at];
      this._front();
    } else {
      const index = target.parentNode?.dataset?.index;
      this.selected = index === undefined ? -1 : Number(index);
      if (this.selected >= 0) this._grab(event, at, this.selected, null);
      this.draw();
    }
  }

  _grab(event, at, index, corner) {
    this.stage.setPointerCapture(event.pointerId);
    this.drag = { at, index, corner, shapes: this.shapes, moved: false };
  }

  /** Set a corner of the polygon; on the first one, close it. */
  _corner(at) {
    const near = (other) => Math.hypot(at[0] - other[0], at[1] - other[1]) <= NEAR * this.unit;
    if (!this.begun) {
      this.begun = [at];
      this.selected = -1;
    } else if (this.begun.length > 2 && near(this.begun[0])) {
      this.finish();
      return;
    } else if (this.begun.length >= this.data.most_corners) {
      this.say("That is as many corners as a polygon can have.");
      return;
    } else if (Math.hypot(at[0] - this.begun.at(-1)[0], at[1] - this.begun.at(-1)[1]) > 3 * this.unit) {
      // The second click of a double click is no corner of its own.
      this.begun.push(at);
    }
    this.draw();
  }

  _move(event) {
    if (!this.size) return;
    this.penByKey = false;
    if (this.drag) {
      this._pull(this._at(event));
      return;
    }
    if (this.begun && this.tool === "brush") {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) this._stroke(this._at(one));
    }
    this.pen = this._at(event);
    this._front();
  }

  /** Lead the stroke on to a point, unless it is too near to make a difference. */
  _stroke(at) {
    const last = this.begun.at(-1);
    const apart = Math.hypot(at[0] - last[0], at[1] - last[1]);
    if (apart >= Math.max(0.5, this.radius / 10) && this.begun.length < this.data.most_corners) this.begun.push(at);
  }

  _pull(at) {
    const { index, corner, shapes, at: from } = this.drag;
    const dx = at[0] - from[0];
    const dy = at[1] - from[1];
    if (!this.drag.moved && Math.hypot(dx, dy) < 2 * this.unit) return;
    this.drag.moved = true;
    const points = shapes[index].points.map(([x, y], i) => {
      if (corner === null) return [tidy(x + dx), tidy(y + dy)];
      return i === corner ? at : [x, y];
    });
    this.shapes = shapes.map((shape, i) => (i === index ? { ...shape, points } : shape));
    this._shapes();
    this.paint();
  }

  _up(event) {
    if (this.drag) {
      const { shapes, moved, index } = this.drag;
      this.drag = null;
      if (moved) {
        const changed = this.shapes;
        this.shapes = shapes;
        this.change(changed, index);
      } else this.draw();
    } else if (this.begun && this.tool === "brush" && !this.penDown) {
      this._stroke(this._at(event));
      this.finish();
    }
  }

  _key(event) {
    const ours = event.target === this.stage;
    const typing = event.target.matches?.("input[type=range]");
    const letter = event.key.toLowerCase();
    let act = null;
    if (event.ctrlKey || event.metaKey) {
      if (letter === "z") act = () => (event.shiftKey ? this.redo() : this.undo());
      else if (letter === "y") act = () => this.redo();
    } else if (!event.altKey) {
      act = {
        p: () => this.setTool("polygon"),
        b: () => this.setTool("brush"),
        s: () => this.setTool("select"),
        x: () => this.setMode((this.chosen?.mode ?? this.mode) === "exclude" ? "include" : "exclude"),
        "+": () => this.setRadius((this.chosen?.radius || this.radius) + 1, true),
        "=": () => this.setRadius((this.chosen?.radius || this.radius) + 1, true),
        "-": () => this.setRadius((this.chosen?.radius || this.radius) - 1, true),
        delete: () => this.remove(),
        backspace: () => this.remove(),
        escape: () => this.giveUp(),
      }[letter];
      if (!act && ours) {
        act = {
          enter: () => (this.begun ? this.finish() : this.penByKey && this._press()),
          " ": () => this._press(),
        }[letter];
      }
      if (!act && ours && !typing) {
        const step = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] }[letter];
        if (step) act = () => this._steer(step, event.shiftKey ? 10 : 1);
      }
    }
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }

  /** Space: set a corner, or set the brush down and lift it again. */
  _press() {
    this.penByKey = true;
    this.pen ??= [this.size / 2, this.size / 2];
    if (this.tool === "polygon") this._corner(this.pen);
    else if (this.tool === "brush") {
      if (this.begun) this.finish();
      else {
        this.begun = [this.pen];
        this.penDown = true;
        this.draw();
      }
    }
  }

  /** Arrow keys: move the pen, or with Select the shape. */
  _steer([dx, dy], by) {
    if (this.tool === "select") {
      if (this.selected < 0) return;
      const points = this.shapes[this.selected].points.map(([x, y]) => [x + dx * by, y + dy * by]);
      this.alter(this.selected, { points });
      return;
    }
    const within = (value) => Math.min(this.size, Math.max(0, value));
    const [x, y] = this.pen ?? [this.size / 2, this.size / 2];
    this.pen = [within(x + dx * by), within(y + dy * by)];
    this.penByKey = true;
    if (this.penDown && this.begun) this._stroke(this.pen);
    this._front();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const tell = (drawing) => setStateValue("drawing", drawing);
  let editor = editors.get(parentElement);
  if (editor && !parentElement.contains(editor.root)) {
    editor.dispose();
    editor = null;
  }
  if (!editor) {
    editor = new Editor(parentElement, tell);
    editors.set(parentElement, editor);
  }
  editor.tell = tell;
  editor.update(data);
  // Streamlit also cleans up after a call that newer data has overtaken: only what is gone is given up.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return;
      editor.dispose();
      editors.delete(parentElement);
    });
}
