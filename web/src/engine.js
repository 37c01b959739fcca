/** The worker, from the page's side. */

/** @typedef {import("./worker.js").Jobs} Jobs */
/** @typedef {(done: number, total: number) => void} OnProgress */

/**
 * @typedef {object} Call
 * @property {(result: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {OnProgress} [onProgress]
 */

/** Runs jobs in a worker, one after the other. */
export class Engine {
  /** @type {Worker | undefined} */
  #worker;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  #count = 0;

  /**
   * Has a job done; see `worker.js`.
   *
   * @template {keyof Jobs} Name
   * @param {Name} job
   * @param {Parameters<Jobs[Name]>[0]} order
   * @param {OnProgress} [onProgress]
   * @returns {ReturnType<Jobs[Name]>}
   */
  run(job, order, onProgress) {
    this.#worker ??= this.#start();
    const id = this.#count++;
    const worker = this.#worker;
    const result = new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onProgress });
      worker.postMessage({ id, job, order });
    });
    return /** @type {ReturnType<Jobs[Name]>} */ (result);
  }

  /** Drops all jobs at once, and frees their memory. */
  stop() {
    this.#end(new DOMException("Canceled.", "AbortError"));
  }

  #start() {
    const worker = new Worker(new URL("worker.js", import.meta.url), {
      type: "module",
    });
    worker.onmessage = ({ data: { id, result, error, progress } }) => {
      const call = this.#calls.get(id);
      if (!call) return;
      if (progress) {
        call.onProgress?.(progress.done, progress.total);
        return;
      }
      this.#calls.delete(id);
      if (error === undefined) call.resolve(result);
      else call.reject(new Error(error));
    };
    worker.onerror = ({ message }) => {
      this.#end(
        new Error(message || "A part of this page cannot be loaded: reload it."),
      );
    };
    return worker;
  }

  /** @param {Error} error What the jobs end with. */
  #end(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject } of calls) reject(error);
  }
}
