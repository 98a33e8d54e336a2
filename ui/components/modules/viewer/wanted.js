// @ts-check
// The image that Python wants to be shown, whatever is shown now: each once, however often Python repeats it.

export class Wanted {
  /** @param {string | null} id of the image that the viewer begins with */
  constructor(id) {
    this._last = id;
  }

  /**
   * Show the image if it is another one than the last.
   *
   * @param {import("./message.js").Message} message
   * @param {(id: string) => void} select
   */
  follow({ wanted, items }, select) {
    const isNew = wanted !== this._last;
    this._last = wanted;
    if (isNew && wanted !== null && items.some((item) => item.id === wanted)) select(wanted);
  }
}
