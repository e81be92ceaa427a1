// One HTML file that holds page, onnxruntime-web, model and a slice: it opens from a
// folder, without a server and without a network.
//
//   npm install && npm run build -- MODEL.onnx SLICE.npy [OUT.html]
//
// MODEL.onnx is of `tqgd export --format=onnx --nms`; SLICE.npy holds one CT slice, int16
// Hounsfield units, [height, width].
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [model, slice, out = "dist/index.html"] = process.argv.slice(2);
if (!model || !slice) {
  console.error("usage: npm run build -- MODEL.onnx SLICE.npy [OUT.html]");
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const runtime = createRequire(import.meta.url).resolve(
  "onnxruntime-web/ort-wasm-simd-threaded.wasm",
);
const bundle = await build({
  entryPoints: [join(here, "page.js")],
  bundle: true,
  minify: true,
  format: "esm",
  write: false,
});
const base64 = async (path) => (await readFile(path)).toString("base64");
const parts = {
  SCRIPT: bundle.outputFiles[0].text.replaceAll("</script", "<\\/script"),
  RUNTIME: await base64(runtime),
  MODEL: await base64(model),
  SLICE: await base64(slice),
};
const page = await readFile(join(here, "page.html"), "utf8");
await mkdir(dirname(out), { recursive: true });
await writeFile(
  out,
  page.replace(/@@(\w+)@@/g, (_, name) => parts[name]),
);
console.log(`${out}: open it in a browser`);
