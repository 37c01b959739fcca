/**
 * Keeps the page for when there is no network, and adds the two headers that give a
 * page threads, which plain file servers do not send.
 */

/// <reference lib="webworker" />
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/**
 * What `build.js` puts here: a digest of all files; those without which the page does
 * not start; and those that it needs to restore with the processor.
 *
 * @type {{version: string, page: string[], rest: string[]}}
 */
const { version, page, rest } = BUILD;
const PREFIX = `xunit ${worker.registration.scope} `;
const CACHE = PREFIX + version;

worker.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.addAll(page.map(fresh));
      // What an open page uses stays; it says when it may be replaced.
      if (!worker.registration.active) await worker.skipWaiting();
    })(),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
      await Promise.all(old.map((name) => caches.delete(name)));
      await worker.clients.claim();
    })(),
  );
});

worker.addEventListener("message", (event) => {
  if (event.data === "replace") event.waitUntil(worker.skipWaiting());
  if (event.data === "keep") {
    event.waitUntil(
      keep().then((all) => event.source?.postMessage(all ? "kept" : "not kept")),
    );
  }
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const own = request.url.startsWith(worker.registration.scope);
  if (own && request.method === "GET") event.respondWith(answer(request));
});

/** Keeps all that is needed without a network; tells whether that went well. */
async function keep() {
  const cache = await caches.open(CACHE);
  try {
    for (const url of rest) {
      if (!(await cache.match(url))) await cache.add(fresh(url));
    }
    return true;
  } catch {
    return false; // No network, or no room: what is missing is fetched when needed.
  }
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  return isolated(kept ?? (await fetch(request)));
}

/**
 * Past the browser's own cache, so that files of two versions do not mix.
 *
 * @param {string} url
 */
function fresh(url) {
  return new Request(url, { cache: "no-cache" });
}

/** @param {Response} response */
function isolated(response) {
  if (!response.status || response.redirected) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  const empty = [101, 204, 205, 304].includes(status);
  return new Response(empty ? null : response.body, { status, statusText, headers });
}
