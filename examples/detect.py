"""A detector of `tqgd export --format=onnx --nms` with onnxruntime, NumPy and Pillow alone.

python examples/detect.py MODEL.onnx SLICE.npy     # int16 Hounsfield units, [h, w]
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

if len(sys.argv) != 3:
    sys.exit("usage: python examples/detect.py MODEL.onnx SLICE.npy")
model = onnxruntime.InferenceSession(sys.argv[1])
meta = json.loads(model.get_modelmeta().custom_metadata_map["tqgd_jax"])
low, high = meta["pixels"]["shown_as_0"], meta["pixels"]["shown_as_1"]
hu, side = np.load(sys.argv[2]), meta["image_size"]
grey = np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)
gain = side / max(hu.shape)
h, w = (round(n * gain) for n in hu.shape)
y, x = (side - h) // 2, (side - w) // 2
image = np.full((1, side, side, meta["channels"]), meta["pad_value"], np.float32)
seen = Image.fromarray(grey).resize((w, h), Image.Resampling.BILINEAR)
image[0, y : y + h, x : x + w] = np.asarray(seen)[..., None]
boxes, scores, chosen = model.run(["boxes", "scores", "selected"], {"image": image})
for _, label, n in chosen:
    if scores[0, n, label] >= meta["threshold"]:
        box = (boxes[0, n] - [x, y, x, y]) / gain
        print(meta["classes"][label], scores[0, n, label], *box.round(1))
print(meta["note"])
