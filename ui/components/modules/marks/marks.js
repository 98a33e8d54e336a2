// @ts-check
// The module that Streamlit loads: mounts an editor of marks, and hands it what Python sends.

import { Editor } from "./editor.js";

/**
 * What Streamlit calls a component with.
 *
 * @typedef {object} Mount
 * @property {import("./message.js").Message} data
 * @property {ShadowRoot} parentElement
 * @property {(name: string, value: unknown) => void} setStateValue
 */

/** @type {WeakMap<ShadowRoot, { editor: Editor, latest: { mount: Mount } }>} an editor outlives new data */
const mounted = new WeakMap();

/**
 * Show what Python sent; called for every message.
 *
 * @param {Mount} mount
 */
export default function (mount) {
  const { data, parentElement } = mount;
  let found = mounted.get(parentElement);
  if (found && !parentElement.contains(found.editor.host)) {
    found.editor.dispose();
    found = undefined;
  }
  if (found) {
    found.latest.mount = mount;
    found.editor.update(data);
  } else {
    const latest = { mount };
    const editor = new Editor(parentElement, (report) => latest.mount.setStateValue("marks", report), data);
    mounted.set(parentElement, { editor, latest });
  }
  // Streamlit also cleans up after a call that newer data has overtaken: only what is gone is given up.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return;
      mounted.get(parentElement)?.editor.dispose();
      mounted.delete(parentElement);
    });
}
