"""Images, annotations and detections in COCO json, and what is read of them."""

import json

from tqgd_jax.evaluation.inputs.detections import read

CATEGORIES = [{"id": 7, "name": "stent"}, {"id": 3, "name": "calcium"}]


def picture(key, **more):
    return {"id": key, "file_name": f"{key}.png", "height": 60, "width": 80, **more}


def box(key, image, bbox, category=3, **more):
    return {
        "id": key,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "iscrowd": 0,
        **more,
    }


def det(image, bbox, score, category=3):
    return {
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "score": score,
    }


def truth(images=None, annotations=None, categories=None, **more):
    return {
        "images": [picture(9), picture(2)] if images is None else images,
        "annotations": [box(1, 9, [1, 2, 3, 4])]
        if annotations is None
        else annotations,
        "categories": CATEGORIES if categories is None else categories,
        **more,
    }


def reader(folder):
    """A function that writes both files and reads them."""

    def write_and_read(document=None, dets=(), **options):
        gt, dt = folder / "gt.json", folder / "dt.json"
        for path, value in (
            (gt, truth() if document is None else document),
            (dt, dets),
        ):
            text = value if isinstance(value, str) else json.dumps(value)
            path.write_text(text, "utf-8")
        return read(gt, dt, **options)

    return write_and_read
