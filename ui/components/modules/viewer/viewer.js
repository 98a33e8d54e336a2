// @ts-check
// The module that Streamlit loads: mounts a viewer, and hands it what Python sends.

import { Viewer } from "./controller.js";

/**
 * What Streamlit calls a component with.
 *
 * @typedef {object} Mount
 * @property {import("./message.js").Message} data
 * @property {ShadowRoot} parentElement
 * @property {(name: string, value: unknown) => void} setStateValue
 */

/**
 * A viewer, which outlives new data, and what Streamlit called last.
 *
 * @typedef {{ viewer: Viewer, latest: { mount: Mount } }} Mounted
 */

/** @type {WeakMap<ShadowRoot, Mounted>} */
const mounted = new WeakMap();

/**
 * Show what Python sent; called for every message.
 *
 * @param {Mount} mount
 */
export default function (mount) {
  const { data, parentElement } = mount;
  let found = mounted.get(parentElement);
  if (found && !parentElement.contains(found.viewer.host)) {
    found.viewer.dispose();
    found = undefined;
  }
  if (found) {
    found.latest.mount = mount;
    found.viewer.update(data);
  } else {
    mounted.set(parentElement, firstMount(mount));
  }
  // Streamlit also cleans up after a call that newer data has overtaken: only what is gone is given up.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return;
      mounted.get(parentElement)?.viewer.dispose();
      mounted.delete(parentElement);
    });
}

/**
 * @param {Mount} mount
 * @returns {Mounted}
 */
function firstMount(mount) {
  const latest = { mount };
  /** @param {string} name */
  const report = (name) => (/** @type {unknown} */ value) => latest.mount.setStateValue(name, value);
  const reporter = {
    decision: report("decision"),
    look: report("look"),
    selected: report("selected"),
    labels: report("labels"),
  };
  return { latest, viewer: new Viewer(mount.parentElement, reporter, mount.data) };
}
