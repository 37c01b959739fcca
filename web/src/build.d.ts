/** Put into the service worker by `build.js`. */
declare const BUILD: { version: string; page: string[]; rest: string[] };
