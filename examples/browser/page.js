// The page: a slice on a canvas, boxes over it, a table beside it.
import { detect, load, readNpy } from "./detector.js";

const find = (id) => document.getElementById(id);
const bytes = (id) => Uint8Array.from(atob(find(id).textContent.trim()), (c) => c.charCodeAt(0));

// `tqgd_jax` of metadata_props; onnxruntime-web does not offer it, so it is looked for in
// the file: the key, then tag 0x12, the length as a varint, JSON.
function properties(model) {
  const key = new TextEncoder().encode("\x0a\x08tqgd_jax\x12");
  const at = model.findLastIndex((_, i) => key.every((v, k) => model[i + k] === v));
  if (at < 0) throw new Error("no file of tqgd export");
  let [i, length, shift] = [at + key.length, 0, 0];
  for (; model[i] > 127; i++, shift += 7) length += (model[i] & 127) << shift;
  length += model[i++] << shift;
  return JSON.parse(new TextDecoder().decode(model.subarray(i, i + length)));
}

function draw(slice, meta, found) {
  const canvas = find("slice"), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [slice.width, slice.height];
  const picture = pen.createImageData(slice.width, slice.height);
  const { shown_as_0: low, shown_as_1: high } = meta.pixels;
  slice.hu.forEach((hu, i) => {
    const grey = (255 * (hu - low)) / (high - low);
    picture.data.set([grey, grey, grey, 255], 4 * i);
  });
  pen.putImageData(picture, 0, 0);
  pen.strokeStyle = "#ffd400";
  for (const { box: [x0, y0, x1, y1] } of found) pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  find("rows").replaceChildren(...found.map(({ box, score, label }) => {
    const row = document.createElement("tr");
    for (const text of [label, score.toFixed(4), ...box.map((v) => v.toFixed(1))]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return row;
  }));
}

async function main() {
  const model = bytes("model"), meta = properties(model);
  const session = await load(model, bytes("runtime"));
  let slice = readNpy(bytes("first"));
  find("least").value = meta.threshold;
  async function show() {
    const start = performance.now();
    const every = await detect(session, meta, slice);
    const found = every.filter(({ score }) => score >= Number(find("least").value));
    draw(slice, meta, found);
    const took = (performance.now() - start).toFixed(0);
    find("state").textContent = `${found.length} of ${every.length} boxes, ${took} ms`;
    window.detections = found;
  }
  find("least").onchange = show;
  find("file").onchange = async ({ target }) => {
    slice = readNpy(new Uint8Array(await target.files[0].arrayBuffer()));
    await show();
  };
  await show();
}

main().catch((error) => {
  find("state").textContent = error.message;
});
