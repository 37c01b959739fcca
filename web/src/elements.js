/** What the page is made of. */

/**
 * An element of the page, by its id.
 *
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind What it must be.
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`The page has no ${id}.`);
}

/** @param {string} id @param {() => void} action */
export function onClick(id, action) {
  element(id, HTMLButtonElement).addEventListener("click", action);
}
