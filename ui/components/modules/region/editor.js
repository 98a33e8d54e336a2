// @ts-check
// The region editor. Shapes are drawn here; which pixels they come to is worked out in Python
// (padim.decision.roi.rasterize), whose mask is shown once it is there. Until then the same shapes are filled here.

import { find } from "../dom.js";
import { Cover } from "./cover.js";
import { listenToKeys } from "./keys.js";
import { listenToPanel, Panel } from "./panel.js";
import { listenToPointer } from "./pointer.js";
import { ShapeLayer } from "./shape_layer.js";
import { totalPoints } from "./shapes.js";
import { Sketch } from "./sketch.js";

/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./message.js").Point} Point */
/** @typedef {import("./message.js").Shape} Shape */
/** @typedef {"polygon" | "brush" | "select"} Tool */

/**
 * A corner or a whole shape being dragged.
 *
 * @typedef {object} Drag
 * @property {Point} at where it began
 * @property {number} index of the shape
 * @property {number | null} corner null: the whole shape
 * @property {Shape[]} shapes before
 * @property {boolean} moved
 */

export class Editor {
  /**
   * @param {ShadowRoot} root
   * @param {(drawing: import("./message.js").DrawingReport) => void} report
   * @param {Message} message
   */
  constructor(root, report, message) {
    this.report = report;
    this.message = message;
    this.host = find(root, ".region", HTMLElement);
    this.stage = find(root, ".stage", HTMLElement);
    this.cover = new Cover(find(root, ".outside", HTMLCanvasElement), () => this.paint());
    this.panel = new Panel(root);
    this.layer = new ShapeLayer(find(root, ".shapes", SVGSVGElement));
    this.sketch = new Sketch();
    /** @type {Tool} */
    this.tool = "polygon";
    /** @type {Shape["mode"]} of the next shape */
    this.mode = "exclude";
    this.radius = 1;
    /** @type {Point[] | null} of the polygon or stroke being drawn */
    this.unfinished = null;
    /** @type {Drag | null} */
    this.drag = null;
    /** @type {Point | null} where the pointer, or the keyboard's pen, is */
    this.pen = null;
    /** Whether the pen was last moved by the keyboard. */
    this.penByKey = false;
    /** Whether the keyboard's brush is down. */
    this.penDown = false;
    listenToPanel(this);
    listenToPointer(this);
    listenToKeys(this);
    this._resized = new ResizeObserver(() => this.drawShapes());
    this._resized.observe(this.stage);
    this.update(message);
  }

  dispose() {
    this._resized.disconnect();
  }

  // -- what Python sends ----------------------------------------------------------------------------------

  /** @param {Message} message */
  update(message) {
    this.message = message;
    const news = this.sketch.takeOver(message, this.drag !== null);
    if (news !== "same") this.unfinished = null;
    if (news === "model" || news === "restart") {
      this.drag = null;
      this.penDown = false;
    }
    if (news === "model") {
      const { width, height } = message;
      this.pen = null;
      const side = Math.sqrt(width * height); // of the square as large as the map
      this.radius = Math.max(1, Math.round(side / 24));
      this.panel.radius.max = String(Math.max(8, Math.round(side / 4)));
      this.layer.setSize(this.stage, width, height);
    }
    this.panel.showImages(message);
    this.cover.load(message.mask);
    this.draw();
  }

  // -- changes --------------------------------------------------------------------------------------------

  /**
   * Put other shapes in the place of these: one step to undo, and one message to Python.
   *
   * @param {Shape[]} shapes
   * @param {number} [selected]
   */
  change(shapes, selected = -1) {
    this.sketch.change(shapes, selected);
    this._reportDrawing();
  }

  _reportDrawing() {
    const { model, width, height, serial, shapes } = this.sketch;
    this.report({ model: model ?? "", width, height, serial, shapes });
    this.draw();
  }

  undo() {
    if (!this.unfinished) {
      if (this.sketch.undo()) this._reportDrawing();
      return;
    }
    if (this.tool === "polygon" && this.unfinished.length > 1) this.unfinished.pop();
    else this.unfinished = null;
    this.penDown = false;
    this.draw();
  }

  redo() {
    if (!this.unfinished && this.sketch.redo()) this._reportDrawing();
  }

  /** Delete the shape that is selected. */
  remove() {
    const { shapes, selected } = this.sketch;
    if (selected < 0) return;
    this.change(shapes.filter((_, i) => i !== selected));
    this.stage.focus({ preventScroll: true });
  }

  /**
   * Alter the shape that is selected.
   *
   * @param {Partial<Shape>} changes
   */
  alter(changes) {
    const { shapes, selected } = this.sketch;
    this.change(shapes.map((shape, i) => (i === selected ? { ...shape, ...changes } : shape)), selected);
  }

  /** Close the polygon, or end the stroke: a shape more. */
  finish() {
    const { tool, mode, unfinished: points } = this;
    if (!points || tool === "select") return;
    if (tool === "polygon" && points.length < 3) {
      this.panel.hint(this, "A polygon needs at least three corners.");
      return;
    }
    this.unfinished = null;
    this.penDown = false;
    this.draw();
    const { shapes } = this.sketch;
    const { most_shapes: mostShapes, most_points: mostPoints } = this.message;
    if (shapes.length >= mostShapes || totalPoints(shapes) + points.length > mostPoints) {
      this.panel.hint(this, "There is no room for another shape; delete some first.");
      return;
    }
    const shape = { kind: tool, mode, points, radius: tool === "brush" ? this.radius : 0 };
    // A polygon shows its corners at once, to be put right; a stroke has none.
    this.change([...shapes, shape], tool === "polygon" ? shapes.length : -1);
  }

  /** Give up what is being drawn or dragged, else the selection. */
  giveUp() {
    if (this.unfinished || this.drag) {
      if (this.drag) this.sketch.shapes = this.drag.shapes;
      this.unfinished = this.drag = null;
      this.penDown = false;
    } else {
      this.sketch.selected = -1;
    }
    this.draw();
  }

  /** @param {Tool} tool */
  setTool(tool) {
    if (tool !== this.tool) this.unfinished = null;
    this.tool = tool;
    this.penDown = false;
    if (tool !== "select") this.sketch.selected = -1;
    this.draw();
  }

  /** What the mode and the radius alter: the selected shape; null: the next one drawn. */
  get chosen() {
    return this.tool === "select" ? this.sketch.chosen : null;
  }

  /** @param {Shape["mode"]} mode */
  setMode(mode) {
    this.mode = mode;
    if (this.chosen && this.chosen.mode !== mode) this.alter({ mode });
    this.draw();
  }

  /**
   * @param {number} value
   * @param {boolean} done whether the choice is complete
   */
  setRadius(value, done) {
    const radius = Math.min(Number(this.panel.radius.max), Math.max(1, Math.round(value)));
    if (this.chosen?.kind === "brush") {
      if (done && this.chosen.radius !== radius) this.alter({ radius });
    } else {
      this.radius = radius;
    }
    this.draw(radius);
  }

  // -- drawing --------------------------------------------------------------------------------------------

  /**
   * Bring everything in line with what is.
   *
   * @param {number | null} [radius] that is being chosen
   */
  draw(radius = null) {
    this.stage.dataset.tool = this.tool;
    this.panel.draw(this, radius);
    this.drawShapes();
  }

  drawShapes() {
    this.layer.draw(this);
    this.paint();
  }

  /** Whether Python's mask is that of the shapes here. */
  get settled() {
    return this.sketch.isAnswered && !this.drag;
  }

  /** Map pixels that a screen pixel is. */
  get unit() {
    const { width } = this.sketch;
    return width / (this.cover.canvas.clientWidth || width);
  }

  /** Darken what does not count. */
  paint() {
    this.cover.draw(this.sketch, this.settled);
  }
}
