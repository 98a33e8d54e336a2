// @ts-check
// Parts of the page that are about another image than the one shown are out of date: they are hidden.

export class Follower {
  constructor() {
    /** @type {HTMLStyleElement | null} */
    this._style = null;
  }

  dispose() {
    this._style?.remove();
  }

  /**
   * @param {string | null} prefix begins the keys of the containers that are about one image
   * @param {string | null} id of the image shown
   */
  show(prefix, id) {
    if (!prefix) return;
    if (!this._style) document.head.append((this._style = document.createElement("style")));
    const about = `.stApp [class*="st-key-${prefix}-"]:not(.st-key-${prefix}-${CSS.escape(id ?? "")})`;
    const rule = `${about} { visibility: hidden !important; }`;
    if (this._style.textContent !== rule) this._style.textContent = rule;
  }
}
