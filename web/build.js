/**
 * Builds the page: `node build.js [FOLDER]`, without a folder into `dist/`.
 *
 * The folder then holds plain files for any static host: the page, ONNX Runtime, the
 * released models with `models.json`, and `restore.js` for pages of one's own.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const source = join(here, "src");
const zoo = join(here, "..", "saved_models");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
const target = process.argv[2] ?? join(here, "dist");

/** Of ONNX Runtime: what the processor needs, and what the graphics card needs. */
const PROCESSOR = [
  "ort.wasm.min.mjs",
  "ort-wasm-simd-threaded.mjs",
  "ort-wasm-simd-threaded.wasm",
];
const GRAPHICS = [
  "ort.webgpu.min.mjs",
  "ort-wasm-simd-threaded.asyncify.mjs",
  "ort-wasm-simd-threaded.asyncify.wasm",
];

await rm(target, { recursive: true, force: true });
await mkdir(join(target, "models"), { recursive: true });
const options = { bundle: true, minify: true, target: "es2022", outdir: target };
const entries = ["page.js", "worker.js", "restore.js", "style.css"];
await build({
  ...options,
  entryPoints: entries.map((name) => join(source, name)),
  format: "esm",
});
const compiler = join(here, "node_modules", "typescript", "bin", "tsc");
const types = ["--project", join(here, "tsconfig.types.json"), "--outDir"];
execFileSync(process.execPath, [compiler, ...types, join(target, "types")]);
await writeFile(join(target, "restore.d.ts"), 'export * from "./types/restore.js";\n');
for (const name of ["index.html", "icon.svg"]) {
  await cp(join(source, name), join(target, name));
}
await cp(join(here, "example.png"), join(target, "example.png"));
for (const name of [...PROCESSOR, ...GRAPHICS]) {
  await cp(join(runtime, name), join(target, "ort", name));
}
await writeFile(join(target, "models.json"), JSON.stringify(await models(), null, 1));
await writeFile(join(target, "licenses.txt"), await licenses());
await writeServiceWorker();

/** Copies the ready files of the released models, and gives what the page has to know. */
async function models() {
  const cards = [];
  for (const name of (await readdir(zoo)).sort()) {
    const card = JSON.parse(await readFile(join(zoo, name, "card.json"), "utf8"));
    const bytes = await readFile(join(zoo, name, "model.onnx"));
    if (digest(bytes) !== card.sha256["model.onnx"]) {
      throw new Error(`saved_models/${name}/model.onnx is not the one of its card.`);
    }
    const file = `models/${name}.onnx`;
    await writeFile(join(target, file), bytes);
    const { task, network, channels, parameters, radius, license } = card;
    cards.push({
      ...{ name, task, network, channels, parameters, radius, license },
      ...{ scale: card.scale ?? 1, stride: card.stride ?? 1 },
      ...{ sigma: card.sigma ?? [], quality: card.quality ?? [] },
      ...{ psnr: card.scores?.[0]?.psnr ?? 0, file, bytes: bytes.length },
    });
  }
  return cards;
}

/** All licenses of what is shipped, in one file. */
async function licenses() {
  const folder = join(here, "licenses");
  const own = await readFile(join(here, "..", "LICENSE"), "utf8");
  const parts = [await readFile(join(folder, "overview.txt"), "utf8")];
  for (const name of (await readdir(folder)).sort()) {
    if (name !== "overview.txt") parts.push(await readFile(join(folder, name), "utf8"));
  }
  return [...parts, own].join(`\n${"-".repeat(72)}\n\n`);
}

/** Tells the service worker which files there are: what it keeps, and of what version. */
async function writeServiceWorker() {
  const all = await readdir(target, { recursive: true, withFileTypes: true });
  const paths = all
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
  const names = paths.map((path) => relative(target, path).replaceAll("\\", "/"));
  const hash = createHash("sha256").update(names.join());
  for (const path of paths) hash.update(await readFile(path));
  const later = names.filter((name) => /^(models|ort)\//.test(name));
  const graphics = GRAPHICS.map((name) => `ort/${name}`);
  const others = /^types\/|^restore\./; // For pages of one's own.
  const shell = names.filter((name) => !later.includes(name) && !others.test(name));
  const files = {
    version: hash.digest("hex").slice(0, 16),
    page: ["./", ...shell],
    rest: later.filter((name) => !graphics.includes(name)),
  };
  await build({
    ...options,
    entryPoints: [join(source, "service-worker.js")],
    format: "iife",
    define: { BUILD: JSON.stringify(files) },
  });
}

/** @param {Uint8Array} bytes */
function digest(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
