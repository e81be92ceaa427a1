"""Presentation state (GSPS): boxes and scores drawn over the source images."""

from collections.abc import Mapping, Sequence

import numpy as np
from highdicom import pr
from highdicom.content import ModalityLUTTransformation
from pydicom import Dataset

from tqgd_jax.evaluation.calcium.agatston import CalciumScore
from tqgd_jax.prediction.dicom.findings import Box, Findings
from tqgd_jax.prediction.dicom.series import (
    Algorithm,
    Tracked,
    arguments,
)
from tqgd_jax.prediction.dicom.source import body_part
from tqgd_jax.report.html.pixels import HU_WINDOW
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

PIXEL, DISPLAY = pr.AnnotationUnitsValues.PIXEL, pr.AnnotationUnitsValues.DISPLAY
CORNER = (0.01, 0.93, 0.99, 0.99)  # of the displayed area: left, top, right, bottom


def presentation(
    headers: Sequence[Dataset],
    calcium: Findings,
    score: CalciumScore,
    tracked: Mapping[int, Tracked],
    algorithm: Algorithm,
) -> pr.GrayscaleSoftcopyPresentationState:
    """A rectangle a box, with its confidence, and the slice's part of the score.

    Args:
      headers: of the source, a slice each.
      calcium: one lesion at least.
      score: of the scan.
      tracked: by number of the lesion.
      algorithm: what made it.
    """
    layer = pr.GraphicLayer("CALCIUM", 1, "Calcium boxes (AI, unverified)")
    by_slice: dict[int, list[tuple[Box, Tracked]]] = {}
    for lesion in calcium.lesions:
        for box in lesion.boxes:
            by_slice.setdefault(box.z, []).append((box, tracked[lesion.number]))
    low, high = HU_WINDOW
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=headers,
        content_label="CALCIUM",
        content_description=f"AI, unverified. {NOT_A_DEVICE}",
        graphic_layers=[layer],
        graphic_annotations=[
            pr.GraphicAnnotation(
                [headers[z]],
                layer,
                graphic_objects=[_rectangle(*one) for one in boxes],
                text_objects=[
                    *(_confidence(*one) for one in boxes),
                    pr.TextObject(
                        f"Agatston {calcium.by_slice[z]:.1f} of {score.agatston:.1f}. "
                        f"AI, unverified. {NOT_A_DEVICE}",
                        DISPLAY,
                        bounding_box=CORNER,
                        text_justification=pr.TextJustificationValues.LEFT,
                    ),
                ],
            )
            for z, boxes in sorted(by_slice.items())
        ],
        modality_lut_transformation=ModalityLUTTransformation(
            rescale_intercept=headers[0].RescaleIntercept,
            rescale_slope=headers[0].RescaleSlope,
            rescale_type="HU",  # highdicom takes a missing type as unspecified
        ),
        voi_lut_transformations=[
            pr.SoftcopyVOILUTTransformation((low + high) / 2, high - low)
        ],
        **arguments("gsps", headers[0], algorithm),
    )
    # Without it Laterality would be needed, PS3.3 C.7.3.1; highdicom does not copy it.
    state.BodyPartExamined = body_part(headers[0])
    return state


def same_rescale(headers: Sequence[Dataset]) -> bool:
    """Whether one state can show all slices: it has one modality LUT (PS3.3 C.11.1)."""
    return len({(one.RescaleSlope, one.RescaleIntercept) for one in headers}) == 1


def _rectangle(box: Box, lesion: Tracked) -> pr.GraphicObject:
    x0, y0, x1, y1 = box.box
    return pr.GraphicObject(
        pr.GraphicTypeValues.POLYLINE,
        np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]),
        PIXEL,
        tracking_id=lesion.name,
        tracking_uid=lesion.uid,
    )


def _confidence(box: Box, lesion: Tracked) -> pr.TextObject:
    return pr.TextObject(
        f"{lesion.name}: {100 * box.score:.0f} %",
        PIXEL,
        anchor_point=(box.box[2], box.box[1]),
        anchor_point_visible=False,
        text_justification=pr.TextJustificationValues.LEFT,
        tracking_id=lesion.name,
        tracking_uid=lesion.uid,
    )
