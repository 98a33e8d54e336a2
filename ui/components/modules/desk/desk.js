// @ts-check
// The module that Streamlit loads: mounts a desk, and hands it what Python sends.

import { Screen } from "./screen.js";

/**
 * What Streamlit calls a component with.
 *
 * @typedef {object} Mount
 * @property {import("./message.js").Message} data
 * @property {ShadowRoot} parentElement
 * @property {(name: string, value: unknown) => void} setStateValue
 */

/** @type {WeakMap<ShadowRoot, { screen: Screen, latest: { mount: Mount } }>} a desk outlives new data */
const mounted = new WeakMap();

/**
 * Show what Python sent; called for every message.
 *
 * @param {Mount} mount
 */
export default function (mount) {
  const { data, parentElement } = mount;
  let found = mounted.get(parentElement);
  if (found && !parentElement.contains(found.screen.host)) {
    found.screen.dispose();
    found = undefined;
  }
  if (found) {
    found.latest.mount = mount;
    found.screen.update(data);
  } else {
    const latest = { mount };
    const screen = new Screen(parentElement, (actions) => latest.mount.setStateValue("actions", actions));
    screen.update(data);
    mounted.set(parentElement, { screen, latest });
  }
  // Streamlit also cleans up after a call that newer data has overtaken: only what is gone is given up.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return;
      mounted.get(parentElement)?.screen.dispose();
      mounted.delete(parentElement);
    });
}
