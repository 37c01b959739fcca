/** Before and after, one over the other, in step. */

/** Side, in pixels, of the copy that is drawn from where a picture is shown small. */
const OVERVIEW = 2048;
/** Screen pixels for one of the result, at most. */
const LARGEST_ZOOM = 32;
/** From this many screen pixels for one of the picture, pixels are shown as squares. */
const SQUARES = 4;
const STEP = 1.5;
const CHECKER = 8;

/**
 * A picture as it is drawn.
 *
 * @typedef {object} Layer
 * @property {ImageBitmap} bitmap
 * @property {ImageBitmap} overview The same, or a smaller copy.
 */

/** A stage with a picture before and after, a divider between them, zoom and pan. */
export class Viewer {
  #stage;
  #canvas;
  #context;
  #divider;
  /** @type {Layer | null} */
  #before = null;
  /** @type {Layer | null} */
  #after = null;
  #size = { width: 1, height: 1 };
  /** Screen pixels for one of the result; 0 to fit. */
  #zoom = 0;
  /** What of the result is in the middle of the stage. */
  #center = { x: 0, y: 0 };
  #split = 0.5;
  /** @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  #grabbed = false;
  /** How often something was to be shown. */
  #turn = 0;
  #frame = 0;
  #onZoom;

  /**
   * @param {HTMLElement} stage Holds a canvas and an element with the role of a slider.
   * @param {(text: string) => void} onZoom Is told how large the picture is shown.
   */
  constructor(stage, onZoom) {
    this.#stage = stage;
    this.#onZoom = onZoom;
    this.#canvas = /** @type {HTMLCanvasElement} */ (stage.querySelector("canvas"));
    this.#divider = /** @type {HTMLElement} */ (stage.querySelector("[role=slider]"));
    this.#context = /** @type {CanvasRenderingContext2D} */ (
      this.#canvas.getContext("2d")
    );
    new ResizeObserver(() => this.#update()).observe(stage);
    this.#listen();
  }

  /**
   * Shows a picture, or nothing.
   *
   * @param {ImageBitmap | null} before
   * @param {ImageBitmap | null} after
   * @param {boolean} keep Whether zoom and position stay.
   */
  async show(before, after, keep) {
    const turn = ++this.#turn;
    const layers = await Promise.all([before, after].map(layer));
    if (turn !== this.#turn) {
      for (const late of layers) if (late) free(late);
      return;
    }
    for (const old of [this.#before, this.#after]) {
      if (old && !layers.some((one) => one?.bitmap === old.bitmap)) free(old);
    }
    [this.#before, this.#after] = layers;
    const { width, height } = after ?? before ?? { width: 1, height: 1 };
    const larger = width / this.#size.width;
    this.#size = { width, height };
    if (keep) {
      this.#zoom /= larger;
      this.#center = { x: this.#center.x * larger, y: this.#center.y * larger };
    } else {
      this.#zoom = 0;
      this.#split = 0.5;
    }
    this.#update();
  }

  /** Shows all of the picture. */
  fit() {
    this.#zoom = 0;
    this.#update();
  }

  /** Shows a pixel of the result on one of the screen. */
  actual() {
    this.#scaleTo(1 / devicePixelRatio);
  }

  /** @param {number} direction 1 to see more closely, -1 to see more. */
  step(direction) {
    this.#scaleTo(this.#scale * STEP ** direction);
  }

  get #fitting() {
    const { clientWidth, clientHeight } = this.#stage;
    const { width, height } = this.#size;
    return Math.min(clientWidth / width, clientHeight / height, LARGEST_ZOOM);
  }

  get #scale() {
    return this.#zoom || this.#fitting;
  }

  /**
   * @param {number} scale
   * @param {{x: number, y: number}} [at] What of the stage stays where it is.
   */
  #scaleTo(scale, at = this.#middle) {
    const before = this.#scale;
    const least = Math.min(this.#fitting, 1);
    const after = Math.min(Math.max(scale, least), LARGEST_ZOOM);
    const { x, y } = this.#middle;
    if (!this.#zoom) this.#recenter();
    this.#center.x += (at.x - x) * (1 / before - 1 / after);
    this.#center.y += (at.y - y) * (1 / before - 1 / after);
    this.#zoom = after <= this.#fitting ? 0 : after;
    this.#update();
  }

  get #middle() {
    return { x: this.#stage.clientWidth / 2, y: this.#stage.clientHeight / 2 };
  }

  #recenter() {
    this.#center = { x: this.#size.width / 2, y: this.#size.height / 2 };
  }

  /** @param {number} x @param {number} y In pixels of the stage. */
  #pan(x, y) {
    this.#center.x -= x / this.#scale;
    this.#center.y -= y / this.#scale;
    this.#update();
  }

  /** @param {number} split 0 to 1: the part of the stage that shows what was before. */
  #divide(split) {
    this.#split = Math.min(Math.max(split, 0), 1);
    this.#update();
  }

  #update() {
    const scale = this.#scale;
    if (!this.#zoom) this.#recenter();
    // Half of the stage stays filled.
    this.#center.x = Math.min(Math.max(this.#center.x, 0), this.#size.width);
    this.#center.y = Math.min(Math.max(this.#center.y, 0), this.#size.height);
    const percent = Math.round(100 * this.#split);
    this.#divider.hidden = !this.#after;
    this.#divider.style.left = `${100 * this.#split}%`;
    this.#divider.setAttribute("aria-valuenow", String(percent));
    this.#divider.setAttribute("aria-valuetext", `${percent} % before`);
    // A finger scrolls the page, except where it moves the picture.
    this.#stage.style.touchAction = this.#zoom ? "none" : "pan-y";
    this.#stage.classList.toggle("zoomed", this.#zoom > 0);
    const shown = Math.round(100 * scale * devicePixelRatio);
    this.#onZoom(this.#before ? `${shown} %` : "");
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const ratio = devicePixelRatio;
    const { clientWidth, clientHeight } = this.#stage;
    const width = Math.round(clientWidth * ratio);
    const height = Math.round(clientHeight * ratio);
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      Object.assign(this.#canvas, { width, height });
    }
    this.#context.clearRect(0, 0, width, height);
    if (!this.#before) return;
    const split = this.#after ? Math.round(width * this.#split) : width;
    this.#drawPart(this.#before, 0, split);
    if (this.#after) this.#drawPart(this.#after, split, width);
  }

  /**
   * Draws a picture into a part of the stage.
   *
   * @param {Layer} layer
   * @param {number} from Its left edge, in pixels of the canvas.
   * @param {number} to Its right edge.
   */
  #drawPart({ bitmap, overview }, from, to) {
    const context = this.#context;
    const { width, height } = this.#canvas;
    const scale = this.#scale * devicePixelRatio;
    const left = Math.round(width / 2 - this.#center.x * scale);
    const top = Math.round(height / 2 - this.#center.y * scale);
    const wide = this.#size.width * scale;
    const tall = this.#size.height * scale;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.fillStyle = checkers(context);
    context.fillRect(left, top, wide, tall);
    const small = wide <= overview.width && overview !== bitmap;
    const source = small ? overview : bitmap;
    const enlarged = wide / source.width;
    context.imageSmoothingEnabled =
      enlarged < SQUARES || source.width < this.#size.width;
    context.imageSmoothingQuality = "high";
    // Only what is seen: browsers would prepare all of a large picture.
    const x = Math.max(0, Math.floor(-left / enlarged));
    const y = Math.max(0, Math.floor(-top / enlarged));
    const right = Math.min(source.width, Math.ceil((width - left) / enlarged));
    const bottom = Math.min(source.height, Math.ceil((height - top) / enlarged));
    if (right > x && bottom > y) {
      context.drawImage(
        source,
        ...[x, y, right - x, bottom - y],
        ...[left + x * enlarged, top + y * enlarged],
        ...[(right - x) * enlarged, (bottom - y) * enlarged],
      );
    }
    context.restore();
  }

  #listen() {
    const stage = this.#stage;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      stage.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, this.#place(event));
      if (this.#divides) this.#divide(this.#place(event).x / stage.clientWidth);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = this.#pointers.get(event.pointerId);
      if (!before) return;
      const place = this.#place(event);
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
      this.#pointers.set(event.pointerId, place);
      if (other) {
        const spread = distance(place, other) / Math.max(distance(before, other), 1);
        this.#scaleTo(this.#scale * spread, other);
      } else if (this.#divides) {
        this.#divide(place.x / stage.clientWidth);
      } else {
        this.#pan(place.x - before.x, place.y - before.y);
      }
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      stage.addEventListener(end, (event) => {
        this.#pointers.delete(event.pointerId);
        this.#grabbed = false;
      });
    }
    this.#divider.addEventListener("pointerdown", () => {
      this.#grabbed = true;
    });
    stage.addEventListener("dblclick", (event) => {
      if (this.#zoom) this.fit();
      else this.#scaleTo(Math.max(1, this.#fitting * 4), this.#place(event));
    });
    stage.addEventListener(
      "wheel",
      (event) => {
        if (!this.#before) return;
        event.preventDefault();
        const speed = event.ctrlKey ? 100 : 400; // A pinch on a touchpad is finer.
        const pixels = event.deltaMode ? 40 * event.deltaY : event.deltaY;
        this.#scaleTo(this.#scale * 2 ** (-pixels / speed), this.#place(event));
      },
      { passive: false },
    );
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const keys = { ...this.#moving };
      if (event.target === this.#divider) Object.assign(keys, this.#dividing);
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  /** Whether a pointer moves the divider: at its handle, or where all is in view. */
  get #divides() {
    return this.#after && (this.#grabbed || !this.#zoom);
  }

  /** @type {Record<string, () => void>} */
  #dividing = {
    ArrowLeft: () => this.#divide(this.#split - 0.02),
    ArrowRight: () => this.#divide(this.#split + 0.02),
    ArrowDown: () => this.#divide(this.#split - 0.02),
    ArrowUp: () => this.#divide(this.#split + 0.02),
    PageDown: () => this.#divide(this.#split - 0.1),
    PageUp: () => this.#divide(this.#split + 0.1),
    Home: () => this.#divide(0),
    End: () => this.#divide(1),
  };

  /** @type {Record<string, () => void>} */
  #moving = {
    ArrowLeft: () => this.#pan(40, 0),
    ArrowRight: () => this.#pan(-40, 0),
    ArrowUp: () => this.#pan(0, 40),
    ArrowDown: () => this.#pan(0, -40),
    "+": () => this.step(1),
    "=": () => this.step(1),
    "-": () => this.step(-1),
    0: () => this.fit(),
    1: () => this.actual(),
  };

  /** @param {MouseEvent} event */
  #place({ clientX, clientY }) {
    const { left, top } = this.#stage.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }
}

/**
 * @param {ImageBitmap | null} bitmap
 * @returns {Promise<Layer | null>}
 */
async function layer(bitmap) {
  if (!bitmap) return null;
  const larger = Math.max(bitmap.width, bitmap.height) / OVERVIEW;
  if (larger <= 1) return { bitmap, overview: bitmap };
  const overview = await createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width / larger)),
    resizeHeight: Math.max(1, Math.round(bitmap.height / larger)),
    resizeQuality: "high",
  });
  return { bitmap, overview };
}

/** @param {Layer} layer */
function free({ bitmap, overview }) {
  bitmap.close();
  overview.close();
}

/** @param {{x: number, y: number}} a @param {{x: number, y: number}} b */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

/** @type {CanvasPattern | null} */
let pattern = null;

/**
 * What is seen through transparent pictures.
 *
 * @param {CanvasRenderingContext2D} context
 */
function checkers(context) {
  if (!pattern) {
    const tile = new OffscreenCanvas(2 * CHECKER, 2 * CHECKER);
    const painter = /** @type {OffscreenCanvasRenderingContext2D} */ (
      tile.getContext("2d")
    );
    painter.fillStyle = "#fff";
    painter.fillRect(0, 0, 2 * CHECKER, 2 * CHECKER);
    painter.fillStyle = "#ccc";
    painter.fillRect(0, 0, CHECKER, CHECKER);
    painter.fillRect(CHECKER, CHECKER, CHECKER, CHECKER);
    pattern = /** @type {CanvasPattern} */ (context.createPattern(tile, "repeat"));
  }
  return pattern;
}
