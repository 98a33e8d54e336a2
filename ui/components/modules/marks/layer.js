// @ts-check
// The marks as SVG over the image: rectangles with handles, the first end, the frame, and the pen.

import { svgElement } from "../dom.js";
import { cornersOf } from "./rectangles.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Mark} Mark */
/** @typedef {import("./message.js").Point} Point */

/**
 * @param {SVGSVGElement} svg
 * @param {Editor} editor
 */
export function drawLayer(svg, editor) {
  const { message, sketch, unfinished, unit } = editor;
  const groups = [];
  if (message.frame && sketch.isAnswered) groups.push(frameGroup(message.frame));
  sketch.marks.forEach((mark, i) => {
    const refused = sketch.isAnswered && (message.answers[i]?.refused ?? false);
    groups.push(markGroup(mark, i, i === sketch.selected && !message.locked, refused, unit));
  });
  if (unfinished) groups.push(markGroup(unfinished, -1, false, false, unit));
  if (editor.pen && editor.penByKey) groups.push(penGroup(editor.pen, unit));
  svg.replaceChildren(...groups);
}

/** @param {Point[]} corners */
function frameGroup(corners) {
  const group = svgElement("g", { class: "frame" });
  const points = corners.map((at) => at.join()).join(" ");
  for (const name of ["halo", "edge"]) group.append(svgElement("polygon", { points, class: name }));
  return group;
}

/**
 * @param {Mark} mark
 * @param {number} index
 * @param {boolean} chosen
 * @param {boolean} refused
 * @param {number} unit image pixels that a screen pixel is
 */
function markGroup(mark, index, chosen, refused, unit) {
  const { kind, x, y, width, height } = mark;
  const group = svgElement("g", { "data-kind": kind, "data-index": index });
  group.classList.toggle("chosen", chosen);
  group.classList.toggle("refused", refused);
  if (kind === "end") {
    const r = 7 * unit;
    const d = `M${x - 2 * r} ${y}H${x - r}M${x + r} ${y}H${x + 2 * r}M${x} ${y - 2 * r}V${y - r}M${x} ${y + r}V${y + 2 * r}`;
    for (const name of ["halo", "edge"]) {
      group.append(svgElement("circle", { cx: x, cy: y, r, class: name }), svgElement("path", { d, class: name }));
    }
    group.append(svgElement("circle", { cx: x, cy: y, r: 2 * r, class: "hit" }));
    return group;
  }
  for (const name of ["hit", "halo", "edge"]) group.append(svgElement("rect", { x, y, width, height, class: name }));
  if (index >= 0 && kind === "place") {
    group.append(svgElement("text", { x: x + 7 * unit, y: y + 23 * unit, "font-size": 20 * unit }, String(index + 1)));
  }
  if (chosen) {
    cornersOf(mark).forEach(([cx, cy], i) => {
      group.append(svgElement("circle", { cx, cy, r: 6 * unit, class: "corner", "data-corner": i }));
    });
  }
  return group;
}

/**
 * The keyboard's pen.
 *
 * @param {Point} at
 * @param {number} unit
 */
function penGroup([x, y], unit) {
  const group = svgElement("g", { class: "pen" });
  const arm = 9 * unit;
  for (const name of ["halo", "edge"]) {
    group.append(svgElement("path", { d: `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`, class: name }));
  }
  return group;
}
