/** How far a picture is, and how long it will take. */

/** What is shown of a window before it is done, at most. */
const NEARLY = 0.95;

/** Follows the work on one picture. */
export class Progress {
  #expected;
  #began = performance.now();
  #total = 0;
  #done = 0;
  /** Seconds until the last window was done. */
  #spent = 0;

  /** @param {number} expected Seconds for all of it. */
  constructor(expected) {
    this.#expected = expected;
  }

  /** @param {number} done @param {number} total Windows. */
  report(done, total) {
    if (!done) this.#began = performance.now();
    this.#done = done;
    this.#total = total;
    this.#spent = this.#elapsed;
  }

  /** Whether the first window is being worked on. */
  get hasBegun() {
    return this.#total > 0;
  }

  /** 0 to 1; between two windows by the clock. */
  get part() {
    const since = (this.#elapsed - this.#spent) / this.#each;
    const current = this.#done < this.#total ? Math.min(since, NEARLY) : 0;
    return (this.#done + current) / this.#total;
  }

  /** Seconds that are left. */
  get remaining() {
    return Math.max(this.#each * this.#total * (1 - this.part), 0);
  }

  /** Seconds for a window: what was measured tells more than what was expected. */
  get #each() {
    const each = this.#done ? this.#spent / this.#done : this.#expected / this.#total;
    return Math.max(each, Number.EPSILON);
  }

  get #elapsed() {
    return (performance.now() - this.#began) / 1000;
  }
}
