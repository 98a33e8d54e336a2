// @ts-check
// Mouse, pen and finger on the image: corners, strokes, drags.

import { dataOf } from "../dom.js";
import { distance, pulled, tidy } from "./shapes.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Point} Point */

// Screen pixels: how near to a corner counts as on it; nearer than that is the second click of a double click; and
// so far must a shape be dragged before it moves.
const NEAR = 9;
const TWICE = 3;
const STILL = 2;

/**
 * Let the pointer draw.
 *
 * @param {Editor} editor
 */
export function listenToPointer(editor) {
  const { stage } = editor;
  stage.addEventListener("pointerdown", (event) => down(editor, event));
  stage.addEventListener("pointermove", (event) => move(editor, event));
  stage.addEventListener("pointerup", (event) => up(editor, event));
  stage.addEventListener("pointercancel", () => editor.giveUp());
  stage.addEventListener("pointerleave", () => {
    if (editor.unfinished || editor.drag) return;
    editor.pen = null;
    editor.layer.drawFront(editor);
  });
  stage.addEventListener("dblclick", (event) => {
    if (editor.tool === "polygon") editor.finish();
    event.preventDefault();
  });
}

/**
 * A place kept inside the map.
 *
 * @param {Editor} editor
 * @param {number} x
 * @param {number} y
 * @returns {Point}
 */
export function within({ sketch: { width, height } }, x, y) {
  return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
}

/**
 * Where in the map an event is.
 *
 * @param {Editor} editor
 * @param {MouseEvent} event
 * @returns {Point}
 */
function placeOf(editor, event) {
  const box = editor.layer.svg.getBoundingClientRect();
  const { width, height } = editor.sketch;
  const [x, y] = within(
    editor,
    ((event.clientX - box.left) / box.width) * width,
    ((event.clientY - box.top) / box.height) * height,
  );
  return [tidy(x), tidy(y)];
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 */
function down(editor, event) {
  const { sketch, stage, tool } = editor;
  if (event.button !== 0) return;
  stage.focus({ preventScroll: true });
  event.preventDefault();
  editor.penByKey = editor.penDown = false;
  const at = placeOf(editor, event);
  editor.pen = at;
  const { corner } = dataOf(event);
  if (!editor.unfinished && corner !== undefined) {
    grab(editor, event, at, Number(corner));
  } else if (tool === "polygon") {
    setCorner(editor, at);
  } else if (tool === "brush") {
    stage.setPointerCapture(event.pointerId);
    editor.unfinished = [at];
    editor.layer.drawFront(editor);
  } else {
    sketch.selected = shapeUnder(event);
    if (sketch.selected >= 0) grab(editor, event, at, null);
    editor.draw();
  }
}

/**
 * Which shape an event happened on; -1: none.
 *
 * @param {Event} event
 */
function shapeUnder({ target }) {
  const group = target instanceof SVGElement ? target.parentElement : null;
  const index = /** @type {Element | null} */ (group)?.getAttribute("data-index");
  return index === null || index === undefined ? -1 : Number(index);
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {Point} at
 * @param {number | null} corner of the selected shape; null: all of it
 */
function grab(editor, event, at, corner) {
  const { shapes, selected } = editor.sketch;
  editor.stage.setPointerCapture(event.pointerId);
  editor.drag = { at, index: selected, corner, shapes, moved: false };
}

/**
 * Set a corner of the polygon; on the first one, close it.
 *
 * @param {Editor} editor
 * @param {Point} at
 */
export function setCorner(editor, at) {
  const { unfinished: corners, unit, message, sketch } = editor;
  if (!corners) {
    editor.unfinished = [at];
    sketch.selected = -1;
  } else if (corners.length > 2 && distance(at, corners[0]) <= NEAR * unit) {
    editor.finish();
    return;
  } else if (corners.length >= message.most_corners) {
    editor.panel.hint(editor, "That is as many corners as a polygon can have.");
    return;
  } else if (distance(at, corners[corners.length - 1]) > TWICE * unit) {
    corners.push(at);
  }
  editor.draw();
}

/**
 * Lead the stroke on to a point, unless it is too near to make a difference.
 *
 * @param {Editor} editor
 * @param {Point} at
 */
export function leadStroke({ unfinished: points, radius, message }, at) {
  if (!points || points.length >= message.most_corners) return;
  if (distance(at, points[points.length - 1]) >= Math.max(0.5, radius / 10)) points.push(at);
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 */
function move(editor, event) {
  editor.penByKey = false;
  if (editor.drag) {
    pull(editor, placeOf(editor, event));
    return;
  }
  if (editor.unfinished && editor.tool === "brush") {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) leadStroke(editor, placeOf(editor, one));
  }
  editor.pen = placeOf(editor, event);
  editor.layer.drawFront(editor);
}

/**
 * @param {Editor} editor
 * @param {Point} to
 */
function pull(editor, to) {
  const { drag } = editor;
  if (!drag || (!drag.moved && distance(drag.at, to) < STILL * editor.unit)) return;
  drag.moved = true;
  editor.sketch.shapes = drag.shapes.map((shape, i) =>
    i === drag.index ? pulled(shape, drag.at, to, drag.corner) : shape,
  );
  editor.drawShapes();
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 */
function up(editor, event) {
  const { drag, sketch } = editor;
  if (drag) {
    const changed = sketch.shapes;
    editor.drag = null;
    sketch.shapes = drag.shapes;
    if (drag.moved) editor.change(changed, drag.index);
    else editor.draw();
  } else if (editor.unfinished && editor.tool === "brush" && !editor.penDown) {
    leadStroke(editor, placeOf(editor, event));
    editor.finish();
  }
}
