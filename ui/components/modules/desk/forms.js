// @ts-check
// The forms of the desk: the type of a defect, and a comment.

/** Most types offered at once. */
const MOST = 24;

export class TypeForm {
  /**
   * @param {HTMLElement} host
   * @param {(type: string) => void} onType
   * @param {() => void} onClose
   */
  constructor(host, onType, onClose) {
    this.host = host;
    this.field = /** @type {HTMLInputElement} */ (host.querySelector("input"));
    this._onType = onType;
    /** @type {string[]} */
    this._types = [];
    host.addEventListener("submit", (event) => {
      event.preventDefault();
      const type = chosen(this.field.value, this._types);
      if (type) onType(type);
    });
    host.addEventListener("keydown", (event) => this._onKey(event, onClose));
    host.querySelector(".close")?.addEventListener("click", onClose);
    this.field.addEventListener("input", () => this._draw());
  }

  /** @param {string[]} types */
  open(types) {
    this._types = types;
    this.host.hidden = false;
    this.field.value = "";
    this._draw();
    this.field.focus();
  }

  /** @returns {boolean} whether it was open */
  close() {
    return close(this.host);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {() => void} onClose
   */
  _onKey(event, onClose) {
    const number = /^[1-9]$/.test(event.key) && !this.field.value.trim();
    const type = number ? this._types[Number(event.key) - 1] : undefined;
    if (event.key === "Escape") onClose();
    else if (type) this._onType(type);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  _draw() {
    const typed = this.field.value.trim();
    const lines = matching(typed, this._types).slice(0, MOST).map((type, place) => {
      const line = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      if (place < 9 && !typed) {
        const key = document.createElement("kbd");
        key.textContent = String(place + 1);
        button.append(key, " ");
      }
      button.append(type);
      button.addEventListener("click", () => this._onType(type));
      line.append(button);
      return line;
    });
    this.host.querySelector(".known")?.replaceChildren(...lines);
  }
}

export class CommentForm {
  /**
   * @param {HTMLElement} host
   * @param {(text: string) => void} onText
   * @param {() => void} onClose
   */
  constructor(host, onText, onClose) {
    this.host = host;
    this.field = /** @type {HTMLTextAreaElement} */ (host.querySelector("textarea"));
    const submit = () => this.field.value.trim() && onText(this.field.value.trim());
    host.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    host.addEventListener("keydown", (event) => {
      if (event.key === "Escape") onClose();
      else if (event.key === "Enter" && !event.shiftKey && event.target === this.field) submit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    host.querySelector(".close")?.addEventListener("click", onClose);
  }

  open() {
    this.host.hidden = false;
    this.field.value = "";
    this.field.focus();
  }

  /** @returns {boolean} whether it was open */
  close() {
    return close(this.host);
  }
}

/** @param {HTMLElement} form */
function close(form) {
  const open = !form.hidden;
  form.hidden = true;
  return open;
}

/**
 * The known types that contain what was typed.
 *
 * @param {string} typed
 * @param {string[]} types
 */
export function matching(typed, types) {
  const wanted = typed.trim().toLowerCase();
  return types.filter((type) => type.toLowerCase().includes(wanted));
}

/**
 * The type that was typed: a known one in full, the only one that it is a part of, or else a new one.
 *
 * @param {string} typed
 * @param {string[]} types
 * @returns {string} empty if nothing was typed
 */
export function chosen(typed, types) {
  const text = typed.trim();
  if (!text) return "";
  const found = matching(text, types);
  const exact = found.find((type) => type.toLowerCase() === text.toLowerCase());
  return exact ?? (found.length === 1 ? found[0] : text);
}
