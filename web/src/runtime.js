/** ONNX Runtime, and the networks that it runs. */

/**
 * What is known of a released model: an entry of `models.json`.
 *
 * @typedef {object} Card
 * @property {string} name
 * @property {string} task The word for its task: denoise, derain, sr, jpeg.
 * @property {string} network
 * @property {1 | 3} channels Of its images.
 * @property {number} scale Factor by which it enlarges.
 * @property {number} radius Pixels to each side that an output pixel depends on.
 * @property {number} stride
 * @property {number} parameters
 * @property {number[]} sigma For noise: the level, or the ends of the range, in 0..255.
 * @property {number} psnr On the test set of its task, in dB.
 * @property {string} file
 * @property {number} bytes Of the file.
 */

/**
 * A network that is ready to run.
 *
 * @typedef {object} Model
 * @property {Card} card
 * @property {(samples: Float32Array, height: number, width: number) =>
 *   Promise<Float32Array>} run From `(height, width, channels)` in [0, 1] to the same,
 *   `scale` times as large, not clipped.
 * @property {() => Promise<void>} close Frees its memory.
 */

/** @typedef {"wasm" | "webgpu"} Provider What computes: processor, or graphics card. */

const SCRIPTS = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };

/** @type {Map<string, Promise<typeof import("onnxruntime-web")>>} */
const runtimes = new Map();

/**
 * Opens a released model.
 *
 * @param {string | Card} model Its name, or its card.
 * @param {object} [options]
 * @param {string | URL} [options.base] Folder of `models.json`, `models/` and `ort/`;
 *   without it, that of this script.
 * @param {number} [options.threads] Without it, as many as there are processors, 8 at
 *   most. Where the page is not cross-origin isolated there is one.
 * @param {Provider} [options.provider]
 * @returns {Promise<Model>}
 */
export async function openModel(model, options = {}) {
  const { base = import.meta.url, threads, provider = "wasm" } = options;
  const card = typeof model === "string" ? await findCard(model, base) : model;
  const [ort, response] = await Promise.all([
    loadRuntime(provider, base, threads),
    fetched(new URL(card.file, base)),
  ]);
  const session = await ort.InferenceSession.create(await response.arrayBuffer(), {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    // What the gates close comes near 0, where processors are slow.
    extra: { session: { set_denormal_as_zero: "1" } },
  });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return {
    card,
    async run(samples, height, width) {
      const shape = [1, height, width, card.channels];
      const image = new ort.Tensor("float32", samples, shape);
      const { [output]: restored } = await session.run({ [input]: image });
      try {
        return /** @type {Float32Array} */ (await restored.getData());
      } finally {
        restored.dispose();
      }
    },
    close: () => session.release(),
  };
}

/**
 * The cards of the released models.
 *
 * @param {string | URL} [base] See `openModel`.
 * @returns {Promise<Card[]>}
 */
export async function listModels(base = import.meta.url) {
  return (await fetched(new URL("models.json", base))).json();
}

/** How many threads a network runs on if nobody says otherwise. */
export function defaultThreads() {
  // Each takes a part of an image, and beyond a few they wait for memory.
  return globalThis.crossOriginIsolated
    ? Math.min(navigator.hardwareConcurrency, 8)
    : 1;
}

/** @param {string} name @param {string | URL} base */
async function findCard(name, base) {
  const cards = await listModels(base);
  const card = cards.find((one) => one.name === name);
  if (card) return card;
  const names = cards.map((one) => one.name).join(", ");
  throw new Error(
    `There is no model ${JSON.stringify(name)}. Released models: ${names}.`,
  );
}

/**
 * @param {Provider} provider
 * @param {string | URL} base
 * @param {number} [threads]
 */
function loadRuntime(provider, base, threads = defaultThreads()) {
  const url = new URL(`ort/${SCRIPTS[provider]}`, base).href;
  let runtime = runtimes.get(url);
  if (!runtime) {
    runtime = import(url).then((ort) => {
      ort.env.wasm.wasmPaths = new URL("ort/", base).href;
      ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads : 1;
      ort.env.logLevel = "error";
      return ort;
    });
    // What a network that was away has broken may be tried again.
    runtime.catch(() => runtimes.delete(url));
    runtimes.set(url, runtime);
  }
  return runtime;
}

/** @param {URL} url */
async function fetched(url) {
  const response = await fetch(url);
  if (response.ok) return response;
  throw new Error(
    `${url.pathname} cannot be loaded: the server says ${response.status}.`,
  );
}
