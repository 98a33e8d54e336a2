// @ts-check
// The slider of the percentile above the histogram: the line follows it, and it follows the line.

import { find } from "../dom.js";

export class PercentileSlider {
  /**
   * @param {ShadowRoot} root
   * @param {(percent: number) => void} moved called with every value on the way
   * @param {() => void} done called once the slider is released
   */
  constructor(root, moved, done) {
    this.input = find(root, ".percentile-slide", HTMLInputElement);
    this.output = find(root, ".percentile-shown", HTMLOutputElement);
    this.input.addEventListener("input", () => moved(this.input.valueAsNumber));
    this.input.addEventListener("change", done);
  }

  /**
   * Show a percentile, unless the slider itself is being dragged.
   *
   * @param {number | null} permille in tenths of a percent; null: there are no held-out scores to take one of
   */
  show(permille) {
    const { input, output } = this;
    input.disabled = permille === null;
    const text = permille === null ? "" : `${(permille / 10).toFixed(1)} %`;
    if (permille !== null && !input.matches(":active")) input.value = String(permille / 10);
    input.setAttribute("aria-valuetext", text);
    output.textContent = text;
  }
}
