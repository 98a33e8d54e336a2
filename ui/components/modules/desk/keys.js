// @ts-check
// The keyboard: which key does what, and when it is ours.

/** @typedef {Record<string, () => void>} Acts what to do, by key */

/**
 * Let the keyboard steer the desk.
 *
 * @param {HTMLElement} host
 * @param {() => Acts} acts
 * @returns {() => void} ends it
 */
export function listenToKeys(host, acts) {
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const [target] = event.composedPath();
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!(target instanceof Element) || isTypedIn(target)) return;
    // Menus and dialogs of the page have their own keys.
    if (!event.composedPath().includes(host) && target.closest("[role=dialog], [role=listbox], [role=menu]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // Arrow keys step through tabs and radio buttons that have the focus.
    if (key.startsWith("Arrow") && target.closest("[role=tab], [role=radio], [role=slider]")) return;
    const act = acts()[key];
    if (!act) return;
    act();
    event.preventDefault();
    // Before the page's own shortcuts: R would run it again, C would ask to clear its caches.
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", onKey, true);
  return () => window.removeEventListener("keydown", onKey, true);
}

/** @param {Element} target */
function isTypedIn(target) {
  return target.matches("input, textarea, select, [contenteditable=true], [contenteditable='']");
}
