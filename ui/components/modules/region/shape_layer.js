// @ts-check
// The shapes as SVG over the image: their lines, their corners, what is being drawn, and the pen.

import { svgElement } from "../dom.js";
import { pathOf } from "./shapes.js";

/** @typedef {import("./message.js").Point} Point */
/** @typedef {import("./message.js").Shape} Shape */
/** @typedef {import("./editor.js").Editor} Editor */

/**
 * A group of SVG elements that no pointer reaches.
 *
 * @param {string} mode
 * @param {Record<string, string>} [attributes]
 */
function untouchable(mode, attributes = {}) {
  const group = svgElement("g", { "data-mode": mode, ...attributes });
  group.style.pointerEvents = "none";
  return group;
}

/**
 * @param {Point} at
 * @param {number} r
 */
const corner = ([x, y], r) => svgElement("circle", { cx: x, cy: y, r, class: "corner" });

export class ShapeLayer {
  /** @param {SVGSVGElement} svg */
  constructor(svg) {
    this.svg = svg;
    this.behind = svgElement("g"); // the shapes
    this.front = svgElement("g"); // what is being drawn, and the pen: all that follows the pointer
    svg.replaceChildren(this.behind, this.front);
  }

  /**
   * The map has another size.
   *
   * @param {HTMLElement} stage
   * @param {number} width in map pixels
   * @param {number} height
   */
  setSize(stage, width, height) {
    stage.style.setProperty("--ratio", String(width / height));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  /** @param {Editor} editor */
  draw(editor) {
    const { shapes, selected } = editor.sketch;
    this.behind.replaceChildren(
      ...shapes.map((shape, i) => shapeGroup(shape, i, i === selected, editor.tool === "select", editor.unit)),
    );
    this.drawFront(editor);
  }

  /**
   * All that follows the pointer.
   *
   * @param {Editor} editor
   */
  drawFront(editor) {
    const groups = [];
    if (editor.unfinished) groups.push(unfinishedGroup(editor, editor.unfinished));
    if (editor.pen && (editor.tool === "brush" || editor.penByKey)) groups.push(penGroup(editor, editor.pen));
    this.front.replaceChildren(...groups);
  }
}

/**
 * @param {Shape} shape
 * @param {number} index
 * @param {boolean} chosen
 * @param {boolean} selectable
 * @param {number} unit map pixels that a screen pixel is
 */
function shapeGroup({ kind, mode, points, radius }, index, chosen, selectable, unit) {
  const group = svgElement("g", { "data-mode": mode, "data-index": index });
  group.classList.toggle("chosen", chosen);
  const d = pathOf(points, kind === "polygon");
  const hit = kind === "brush"
    ? svgElement("path", { d, class: "wide hit", "stroke-width": 2 * radius })
    : svgElement("path", { d, class: "area hit" });
  hit.style.pointerEvents = !selectable ? "none" : kind === "brush" ? "stroke" : "all";
  group.append(hit);
  // The line in the middle of a stroke would say little: its mask shows where it is.
  if (kind === "polygon" || chosen) {
    for (const name of ["halo", "edge"]) {
      const line = svgElement("path", { d, class: name });
      line.style.pointerEvents = "none";
      group.append(line);
    }
  }
  if (chosen && kind === "polygon") {
    points.forEach((at, i) => {
      const made = corner(at, 5.5 * unit);
      made.dataset.corner = String(i);
      group.append(made);
    });
  }
  return group;
}

/**
 * @param {Editor} editor
 * @param {Point[]} points
 */
function unfinishedGroup({ tool, mode, radius, pen, unit }, points) {
  const group = untouchable(mode, { class: "drawn" });
  if (tool === "brush") {
    group.append(svgElement("path", { d: pathOf(points, false), class: "wide", "stroke-width": 2 * radius }));
    return group;
  }
  const ahead = pen ? [...points, pen] : points;
  group.append(svgElement("path", { d: pathOf(ahead, true), class: "area" }));
  for (const name of ["halo", "edge"]) group.append(svgElement("path", { d: pathOf(ahead, false), class: name }));
  points.forEach((at, i) => group.append(corner(at, (i ? 3.5 : 5.5) * unit)));
  return group;
}

/**
 * The brush's tip, or the keyboard's pen.
 *
 * @param {Editor} editor
 * @param {Point} at
 */
function penGroup({ tool, mode, radius, penByKey, unit }, [x, y]) {
  const group = untouchable(mode);
  for (const name of ["pen-halo", "pen"]) {
    if (tool === "brush") group.append(svgElement("circle", { cx: x, cy: y, r: radius, class: name }));
    if (penByKey) {
      const arm = 8 * unit;
      group.append(svgElement("path", { d: `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`, class: name }));
    }
  }
  return group;
}
