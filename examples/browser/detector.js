// A detector of tqgd_jax by onnxruntime-web: Hounsfield units in, boxes out.
import * as ort from "onnxruntime-web/wasm";

const clip = (v, low, high) => Math.min(Math.max(v, low), high);

// Reads a .npy file of int16, [height, width].
export function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] > 1;
  const start = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(1, start));
  const shape = header.match(/'shape': \((\d+), (\d+)\)/);
  if (!header.startsWith("NUMPY") || !header.includes("'<i2'") || !shape ||
      !header.includes("'fortran_order': False")) {
    throw new Error("not a .npy file of int16, [height, width]");
  }
  const [height, width] = [Number(shape[1]), Number(shape[2])];
  return { height, width, hu: new Int16Array(bytes.slice(start).buffer, 0, height * width) };
}

// Weights of stored pixels along one axis for each network pixel, and the share of the
// image in it: areas averaged where it shrinks, bilinear where it grows.
function weights(side, length, gain, pad) {
  const end = pad + length * gain;
  return Array.from({ length: side }, (_, i) => {
    const centre = i + 0.5;
    const share = clip(Math.min(centre + 0.5, end) - Math.max(centre - 0.5, pad), 0, 1);
    const at = (clip(centre, pad + 0.5, end - 0.5) - pad) / gain;
    const taps = [];
    if (gain < 1) {
      const [a, b] = [at - 0.5 / gain, at + 0.5 / gain].map((v) => clip(v, 0, length));
      for (let j = Math.floor(a); j < Math.min(Math.ceil(b), length); j++) {
        taps.push([j, (share * (Math.min(b, j + 1) - Math.max(a, j))) / (b - a)]);
      }
    } else {
      const index = clip(at - 0.5, 0, length - 1), j = Math.floor(index);
      taps.push([j, share * (1 - index + j)]);
      if (index > j) taps.push([j + 1, share * (index - j)]);
    }
    return { share, taps };
  });
}

// The slice in the middle of the network input, in [0, 1], the same in all channels.
export function letterbox({ hu, height, width }, meta) {
  const side = meta.image_size, long = Math.max(height, width);
  const gain = side / long;
  const [padY, padX] = [height, width].map((n) => Math.floor((side * (long - n)) / (2 * long)));
  const { shown_as_0: low, shown_as_1: high } = meta.pixels;
  const [rows, columns] = [weights(side, height, gain, padY), weights(side, width, gain, padX)];
  const image = new Float32Array(side * side * meta.channels);
  rows.forEach((row, y) => columns.forEach((column, x) => {
    let value = meta.pad_value * (1 - row.share * column.share);
    for (const [j, a] of row.taps) {
      for (const [k, b] of column.taps) {
        value += a * b * clip((hu[j * width + k] - low) / (high - low), 0, 1);
      }
    }
    const at = (y * side + x) * meta.channels;
    image.fill(clip(value, 0, 1), at, at + meta.channels);
  }));
  return { image, gain, padY, padX };
}

// onnxruntime with the WebAssembly of the page; metadata of the model as it was exported.
export async function load(model, runtime) {
  ort.env.wasm.wasmBinary = runtime;
  ort.env.wasm.numThreads = 1; // more need headers that a file does not have
  return ort.InferenceSession.create(model);
}

// Boxes (x0, y0, x1, y1) in px of the slice, the best first.
export async function detect(session, meta, slice) {
  const { image, gain, padY, padX } = letterbox(slice, meta);
  const side = meta.image_size;
  const input = new ort.Tensor("float32", image, [1, side, side, meta.channels]);
  const outputs = await session.run({ image: input });
  if (!outputs.selected) throw new Error("export the model with --nms");
  const { boxes, scores, selected } = outputs;
  const classes = meta.classes.length;
  const found = [];
  for (let i = 0; i < selected.dims[0]; i++) {
    const [, label, n] = [...selected.data.slice(3 * i, 3 * i + 3)].map(Number);
    const box = [...boxes.data.slice(4 * n, 4 * n + 4)].map((v, k) =>
      clip((v - (k % 2 ? padY : padX)) / gain, 0, k % 2 ? slice.height : slice.width));
    found.push({ box, score: scores.data[n * classes + label], label: meta.classes[label] });
  }
  return found.sort((a, b) => b.score - a.score).slice(0, meta.max_detections);
}
