/** The list of pictures. */

/** @typedef {import("./worker.js").Plan} Plan */
/** @typedef {import("./worker.js").Result} Result */

/** A picture of the list, and its row. */
export class Picture {
  static #count = 0;

  /** What the worker knows it by. */
  key = Picture.#count++;
  /** In pixels; 0 until that is known. */
  width = 0;
  height = 0;
  /** Why the browser cannot read it, or "". */
  unreadable = "";
  /** Why it cannot be restored with the present settings, or "". */
  problem = "";
  /** What else is to be said. */
  note = "";
  /** @type {Plan | null} */
  plan = null;
  /** @type {(Result & {settings: string, plan: Plan}) | null} */
  result = null;

  row = document.createElement("li");
  #pick = document.createElement("button");
  #state = document.createElement("span");

  /**
   * @param {File} file
   * @param {(picture: Picture) => void} onPick
   * @param {(picture: Picture) => void} onRemove
   */
  constructor(file, onPick, onRemove) {
    this.file = file;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = file.name;
    this.#state.className = "state";
    this.#pick.type = "button";
    this.#pick.className = "pick";
    this.#pick.append(name, this.#state);
    this.#pick.addEventListener("click", () => onPick(this));
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "✕";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => onRemove(this));
    this.row.append(this.#pick, remove);
  }

  /** What the worker is given. */
  get source() {
    return { key: this.key, file: this.file };
  }

  /** Finds its size, which does not take its pixels. */
  async readSize() {
    const image = new Image();
    const url = URL.createObjectURL(this.file);
    try {
      await new Promise((resolve, reject) => {
        image.onload = resolve;
        image.onerror = reject;
        image.src = url;
      });
      this.width = image.naturalWidth;
      this.height = image.naturalHeight;
    } catch {
      this.unreadable =
        "This browser cannot read it: it is no picture, damaged, or far too large. " +
        "Take a JPEG, PNG, WebP or AVIF file.";
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /** Forgets what depends on the settings. */
  reset() {
    this.plan = null;
    this.problem = "";
    this.note = "";
  }

  /**
   * Whether it is to be restored with these settings.
   *
   * @param {string} settings See `SettingsForm.key`.
   */
  isPending(settings) {
    const possible = this.width > 0 && !this.unreadable && !this.problem;
    return possible && this.result?.settings !== settings;
  }

  /**
   * The name of a file for the result.
   *
   * @param {string} suffix
   */
  resultName(suffix) {
    const stem = this.file.name.replace(/\.[^.]*$/, "") || "picture";
    const scale = (this.result?.width ?? this.width) / this.width;
    return `${stem}-${scale > 1 ? `x${scale}` : "restored"}.${suffix}`;
  }

  /**
   * @param {string} state What is said of it, unless it cannot be restored.
   * @param {boolean} isSelected
   */
  render(state, isSelected) {
    const problem = this.unreadable || this.problem;
    const size = this.width ? `${this.width} × ${this.height}` : "reading …";
    const parts = [size, state, this.note].filter((part) => part);
    this.#state.textContent = problem || parts.join(", ");
    this.#state.classList.toggle("problem", problem !== "");
    this.#pick.setAttribute("aria-current", String(isSelected));
  }

  focus() {
    this.#pick.focus();
  }
}
