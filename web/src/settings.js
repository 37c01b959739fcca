/** The form with the settings. */

import { byScale } from "./choose.js";
import { element } from "./elements.js";
import { windowSide } from "./limits.js";

/** @typedef {import("./runtime.js").Card} Card */
/** @typedef {import("./worker.js").Settings} Values */

/** What tasks are called, in the order in which they are offered. */
const TASKS = /** @type {Record<string, string>} */ ({
  denoise: "Remove noise",
  derain: "Remove rain",
  jpeg: "Remove traces of JPEG",
  sr: "Enlarge",
});
/** Where a browser keeps what was chosen last. */
const KEPT = "xunit-keras settings";

/** Reads and fills the form. */
export class SettingsForm {
  #form = element("settings", HTMLFormElement);
  #task = element("task", HTMLSelectElement);
  #scale = element("scale", HTMLSelectElement);
  #model = element("model", HTMLSelectElement);
  #strength = element("strength", HTMLInputElement);
  #percent = element("percent", HTMLOutputElement);
  #gpu = element("gpu", HTMLInputElement);
  #cards;
  #onChange;

  /**
   * @param {Card[]} cards Of all models.
   * @param {() => void} onChange
   */
  constructor(cards, onChange) {
    this.#cards = cards;
    this.#onChange = onChange;
    const names = new Set(cards.map((card) => card.task));
    const known = Object.keys(TASKS).filter((name) => names.has(name));
    const others = [...names].filter((name) => !(name in TASKS));
    const tasks = [...known, ...others];
    fill(
      this.#task,
      tasks.map((name) => [name, TASKS[name] ?? name]),
    );
    const { task, scale } = recalled();
    if (tasks.includes(task)) this.#task.value = task;
    this.#offer();
    choose(this.#scale, String(scale));
    this.#offer();
    this.#form.addEventListener("change", () => this.#changed());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#strength.addEventListener("input", () => this.#showStrength());
  }

  /** @returns {Values} */
  get values() {
    return {
      task: this.#task.value,
      model: this.#model.value,
      scale: Number(this.#scale.value),
      strength: Number(this.#strength.value) / 100,
      provider: this.#gpu.checked ? "webgpu" : "wasm",
      window: windowSide,
    };
  }

  /** One text for each choice of settings. */
  get key() {
    return JSON.stringify(this.values);
  }

  /** The factor by which pictures are enlarged. */
  get factor() {
    return Number(this.#scale.value);
  }

  /** @param {string} name */
  set task(name) {
    this.#task.value = name;
    this.#changed();
  }

  /** @param {boolean} disabled */
  set disabled(disabled) {
    for (const field of this.#form.querySelectorAll("fieldset")) {
      field.disabled = disabled;
    }
  }

  /** Offers the graphics card, as there is one. */
  offerGraphics() {
    this.#show("[data-gpu]", true);
  }

  #changed() {
    this.#offer();
    remember(this.values);
    this.#onChange();
  }

  /** Offers what the task has. */
  #offer() {
    const cards = this.#cards.filter((card) => card.task === this.#task.value);
    const scales = [...new Set(cards.map((card) => card.scale))].sort((a, b) => a - b);
    fill(
      this.#scale,
      scales.map((scale) => [String(scale), `${scale} times`]),
    );
    this.#show("[data-scale]", scales.at(-1) !== 1);
    const models = byScale(cards, Number(this.#scale.value)).map((card) => card.name);
    fill(this.#model, [
      ["auto", "Automatic"],
      ...models.map((name) => /** @type {[string, string]} */ ([name, name])),
    ]);
    this.#showStrength();
  }

  #showStrength() {
    this.#percent.value = `${this.#strength.value} %`;
  }

  /** @param {string} selector @param {boolean} shown */
  #show(selector, shown) {
    for (const node of this.#form.querySelectorAll(selector)) {
      if (node instanceof HTMLElement) node.hidden = !shown;
    }
  }
}

/**
 * Replaces what is offered; what was chosen stays if it can.
 *
 * @param {HTMLSelectElement} select
 * @param {[value: string, label: string][]} options
 */
function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  choose(select, before);
}

/** @param {HTMLSelectElement} select @param {string} value */
function choose(select, value) {
  if ([...select.options].some((option) => option.value === value))
    select.value = value;
}

/** @param {Values} values */
function remember({ task, scale }) {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ task, scale }));
  } catch {
    // Browsers keep nothing in some private windows.
  }
}

/** @returns {{task: string, scale: number}} */
function recalled() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "") ?? {};
  } catch {
    return { task: "", scale: 0 };
  }
}
