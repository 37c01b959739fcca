/** The service worker, from the page's side. */

/**
 * Registers the service worker, which keeps the page for when there is no network and
 * makes it cross-origin isolated.
 *
 * @param {() => boolean} isUntouched Whether the page may be loaded again.
 * @param {() => void} onKept Called once it works without a network.
 */
export async function goOffline(isUntouched, onKept) {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  serviceWorker.addEventListener("message", ({ data }) => {
    if (data === "kept") onKept();
  });
  // A page of the former version, or one that is not isolated yet.
  const stale = serviceWorker.controller !== null || !crossOriginIsolated;
  serviceWorker.addEventListener("controllerchange", () => {
    if (stale && isUntouched()) location.reload();
  });
  const registration = await serviceWorker.register("service-worker.js");
  const replace = () => {
    if (isUntouched()) registration.waiting?.postMessage("replace");
  };
  replace();
  registration.addEventListener("updatefound", () => {
    registration.installing?.addEventListener("statechange", replace);
  });
  const { active } = await serviceWorker.ready;
  active?.postMessage("keep");
}
