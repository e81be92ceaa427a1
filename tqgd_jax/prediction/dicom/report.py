"""Structured report (SR): boxes and calcium of each lesion, and the patient's score.

Comprehensive 3D SR after TID 1500 of PS3.16: a planar group (TID 1410) for each box, one
group (TID 1501) for the scan. docs/design/0033-dicom-objects.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from tqdm import tqdm

from tqgd_jax.evaluation.calcium.agatston import CalciumScore
from tqgd_jax.evaluation.calcium.conventions import LOWEST
from tqgd_jax.evaluation.calcium.scores import Amount
from tqgd_jax.prediction.dicom.findings import Box, Lesion
from tqgd_jax.prediction.dicom.series import (
    CALCIFICATION,
    MANUFACTURER,
    Algorithm,
    Tracked,
    arguments,
    new_uid,
    uid_of,
)
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

OWN_CODES = "99TQGDJAX"  # categories of risk, which DICOM has no codes for


def report(
    headers: Sequence[Dataset],
    lesions: Sequence[Lesion],
    score: CalciumScore,
    tracked: Mapping[int, Tracked],
    algorithm: Algorithm,
) -> sr.Comprehensive3DSR:
    """Preliminary and unverified; without lesions it says the score alone.

    Args:
      headers: of the source, a slice each.
      lesions: what was found.
      score: of the scan.
      tracked: by number of the lesion.
      algorithm: what made it.
    """
    how = sr.AlgorithmIdentification(
        algorithm.name,
        algorithm.version,
        [f"convention={score.convention}", f"weights={algorithm.weights_sha256}"],
    )
    groups = [
        _box_group(headers[box.z], box, amount, tracked[lesion.number])
        for lesion in tqdm(lesions, "SR", unit="lesion")
        for box, amount in zip(
            lesion.boxes, [lesion.amount, *[None] * len(lesion.boxes)], strict=False
        )
    ]
    observer = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid_of(algorithm.weights_sha256),
            MANUFACTURER,
            MANUFACTURER,
            algorithm.name,
            algorithm.weights_sha256,
        ),
    )
    content = sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=observer),
        codes.SCT.ComputedTomography,
        [*groups, _scan_group(score, how)],
    )
    return sr.Comprehensive3DSR(
        evidence=headers,
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **arguments("sr", headers[0], algorithm),
    )


def _box_group(
    header: Dataset,
    box: Box,
    amount: Amount | None,
    lesion: Tracked,
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410: a rectangle in one slice; `amount` is that of the whole lesion."""
    x0, y0, x1, y1 = box.box
    measured = [
        _measurement(
            codes.DCM.CertaintyOfFinding,
            round(100 * box.score, 4),  # has single precision
            codes.UCUM.Percent,
        )
    ]
    if box.voxels:
        hu = codes.UCUM.HounsfieldUnit
        measured += [
            _measurement(
                codes.DCM.AreaOfVascularCalcification,
                box.area_mm2,
                codes.UCUM.SquareMillimeter,
            ),
            _measurement(codes.DCM.MaximumAttenuationCoefficient, box.hu_max, hu),
            _measurement(codes.DCM.MeanAttenuationCoefficient, box.hu_mean, hu),
        ]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(lesion.uid, lesion.name),
        referenced_region=sr.ImageRegion(
            sr.GraphicTypeValues.POLYLINE,
            np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]),
            sr.SourceImageForRegion(header.SOPClassUID, header.SOPInstanceUID),
        ),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_type=Code(*CALCIFICATION),
        finding_sites=[sr.FindingSite(codes.SCT.CoronaryArtery)],
        measurements=measured + (_amounts(amount) if amount else []),
    )


def _scan_group(
    score: CalciumScore, how: sr.AlgorithmIdentification
) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501: the score of the whole scan, its threshold and its category."""
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(new_uid(), "whole scan"),
        finding_type=codes.DCM.CalciumScoringAnalysis,
        finding_sites=[sr.FindingSite(codes.SCT.CoronaryArtery)],
        algorithm_id=how,
        measurements=[
            *_amounts(score.amount),
            _measurement(
                codes.DCM.AgatstonScoreThreshold, LOWEST, codes.UCUM.HounsfieldUnit
            ),
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                codes.DCM.CalciumScore,
                Code(
                    score.category,
                    OWN_CODES,
                    f"Agatston score {score.category} ({score.scheme})",
                ),
            )
        ],
    )
    group[0].ContentSequence.append(
        sr.TextContentItem(
            codes.DCM.Comment,
            f"AI, unverified. {NOT_A_DEVICE}",
            sr.RelationshipTypeValues.CONTAINS,
        )
    )
    return group


def _measurement(
    name: Code, value: float, unit: Code, method: Code | None = None
) -> sr.Measurement:
    """Six decimals, so that 14.4 is not shown as 14.4000000000000."""
    return sr.Measurement(name, round(float(value), 6), unit, method=method)


def _amounts(amount: Amount) -> list[sr.Measurement]:
    measured = [
        _measurement(
            codes.SCT.CoronaryArteryCalciumScore,
            amount.agatston,
            codes.UCUM.NoUnits,
            method=codes.DCM.AgatstonScoringMethod,
        ),
        _measurement(
            codes.DCM.VolumeOfVascularCalcification,
            amount.volume_mm3,
            codes.UCUM.CubicMillimeter,
        ),
    ]
    if amount.mass_mg is not None:
        measured.append(
            _measurement(
                codes.DCM.MassOfVascularCalcification,
                amount.mass_mg,
                Code("mg", "UCUM", "milligram"),
            )
        )
    return measured
