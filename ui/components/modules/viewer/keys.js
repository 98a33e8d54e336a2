// @ts-check
// The keyboard: which key does what, and when it is ours.

import { PANES } from "./panes.js";

/** @typedef {import("./controller.js").Viewer} Viewer */
/** @typedef {Record<string, () => void>} Acts what to do, by key */

const MOVES = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
});

/**
 * Let the keyboard steer a viewer.
 *
 * @param {Viewer} viewer
 * @returns {() => void} ends it
 */
export function listenToKeys(viewer) {
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const act = actOf(event, viewer);
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

/**
 * What a key does; undefined where it is not ours.
 *
 * @param {KeyboardEvent} event
 * @param {Viewer} viewer
 * @returns {(() => void) | undefined}
 */
function actOf(event, viewer) {
  const path = event.composedPath();
  const [target] = path;
  const dialog = dialogOf(viewer);
  // A dialog that has just opened has the focus itself.
  const inside = path.includes(viewer.host) || (dialog !== null && target === dialog);
  if (dialog && event.key === "Escape") return undefined; // it closes
  // Anything else that has the focus, a field or a list, goes first; on the bare page the arrows are ours.
  const bare = target === document.body || target === document.documentElement;
  if ((!inside && !bare) || event.altKey || event.defaultPrevented) return undefined;
  const on = (/** @type {string} */ selector) => target instanceof Element && target.matches(selector);
  // In a field that is typed in, Ctrl+Z is the field's own.
  if (on("input[type=number], textarea, [contenteditable]")) return undefined;
  if (event.ctrlKey || event.metaKey) return viewer.store.message.labeling ? historyAct(event, viewer) : undefined;
  if (on("select") || on("input[type=range], [role=slider]")) return undefined;
  if (event.shiftKey && Object.hasOwn(MOVES, event.key)) {
    if (!inside || viewer.screen.rows.sight.zoom === 1) return undefined;
    return () => viewer.screen.rows.pan(...MOVES[event.key]);
  }
  const acts = { ...stepActs(path, viewer), ...(inside ? insideActs(viewer) : {}) };
  return Object.hasOwn(acts, event.key) ? acts[event.key] : undefined;
}

/**
 * The dialog that the viewer is in.
 *
 * @param {Viewer} viewer
 */
function dialogOf(viewer) {
  const root = viewer.host.getRootNode();
  return root instanceof ShadowRoot ? root.host.closest("[role=dialog]") : null;
}

/**
 * @param {KeyboardEvent} event
 * @param {Viewer} viewer
 */
function historyAct(event, viewer) {
  const letter = event.key.toLowerCase();
  if (letter === "y" || (letter === "z" && event.shiftKey)) return () => viewer.edits.redo();
  return letter === "z" ? () => viewer.edits.undo() : undefined;
}

/**
 * From image to image: left and right anywhere, up and down within the list and the gallery.
 *
 * @param {EventTarget[]} path
 * @param {Viewer} viewer
 * @returns {Acts}
 */
function stepActs(path, viewer) {
  const { gallery, results } = viewer.screen;
  const line = path.includes(results.host) ? 1 : path.includes(gallery.host) ? gallery.columns : 0;
  return {
    ArrowLeft: () => viewer.go(-1),
    ArrowRight: () => viewer.go(1),
    ...(line ? { ArrowUp: () => viewer.go(-line), ArrowDown: () => viewer.go(line) } : {}),
  };
}

/**
 * @param {Viewer} viewer
 * @returns {Acts}
 */
function insideActs(viewer) {
  const { rows, controls, fullScreen } = viewer.screen;
  /** @type {Acts} */
  const acts = {
    Home: () => viewer.goTo(0),
    End: () => viewer.goTo(Infinity),
    0: () => rows.solo(null),
    o: () => controls.toggle("contour"),
    h: () => controls.toggle("heatmap"),
    m: () => controls.toggle("mask"),
    f: () => fullScreen.toggle(),
    "+": () => rows.zoom(1.5),
    "=": () => rows.zoom(1.5),
    "-": () => rows.zoom(1 / 1.5),
    Escape: () => {
      rows.solo(null);
      rows.sight.reset();
    },
  };
  PANES.forEach(([kind], i) => {
    acts[i + 1] = () => {
      rows.solo(kind);
      viewer.frames.request();
    };
  });
  if (!viewer.store.message.labeling) return acts;
  const labels = { n: () => viewer.label("good"), d: () => viewer.label("defect") };
  // Only where the threshold moves do verdicts change.
  return { ...acts, ...labels, ...(viewer.calibrates ? { k: () => viewer.label("kept") } : {}) };
}
