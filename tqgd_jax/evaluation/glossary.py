"""What each figure means, by the beginning of its key; printed with every result."""

GLOSSARY = {
    "ap.yolo": (
        "Average precision over all scores, YOLOv5 v7.0 rule: a detection chooses its "
        "best box, of those that chose one box the most confident is right; envelope "
        "through (0, 1), linear at 101 recalls, trapezoid. The number is the IoU."
    ),
    "ap.coco": (
        "Average precision over all scores, COCO rule: each detection in turn takes the "
        "best box still free; step precision at 101 recalls; at most 100 detections per "
        "image and class. The number is the IoU."
    ),
    "point": (
        "Precision, recall, F1 and counts over the detections at or above the frozen "
        "threshold. iou0.1, iou0.3, iou0.5: YOLOv5 matching at that IoU; centre: the "
        "centres are at most half the box's longer side apart."
    ),
    "optimistic": (
        "The same at the score of the highest F1 on these very images, IoU 0.5, by exact "
        "counts. What a test set gives away when the threshold is chosen on it; gain is "
        "the F1 above that of the frozen threshold."
    ),
    "froc": (
        "Sensitivity at 1/8 to 8 false positives per scan (or slice), LUNA16's "
        "definition: centre within half the lesion's longer side, several detections of "
        "one lesion count once. cpm: mean of the seven. scan, slice: boxes of slices are "
        "found; lesion: 3-D lesions are found, per scan."
    ),
    "size": (
        "Share of the boxes of a size found at the frozen threshold, by IoU 0.5 (recall) "
        "and by centre. px: area of the box in native pixels (the paper's Fig. 2); mm2: "
        "the same in square millimetres."
    ),
    "artery": "The same by labelled artery.",
    "scanner": "The same by scanner; ap50: YOLOv5 rule at IoU 0.5.",
    "class": "The same by class; ap50: YOLOv5 rule at IoU 0.5.",
    "lesion3d": (
        "Lesions in 3-D after orCaScore: boxes of neighbouring slices linked through the "
        "volume, at the frozen threshold; volume_*: of the boxes, not of the calcium."
    ),
    "kappa": "Linearly weighted Cohen's kappa of the risk categories.",
    "accuracy": "Share of scans in the right risk category.",
    "icc_a1": (
        "ICC(A,1), McGraw and Wong: two-way, absolute agreement, single measure; "
        "Shrout and Fleiss call it ICC(2,1)."
    ),
    "icc_c1": "ICC(C,1): consistency, single measure; Shrout and Fleiss's ICC(3,1).",
    "bias": "Mean of predicted minus reference (Bland and Altman).",
    "loa": "Limits of agreement: bias plus and minus 1.96 SD of the differences.",
    "log": "Bland and Altman's figures of log(score + 1).",
    "mae": "Mean absolute difference of the scans' scores.",
    "cut": (
        "Finding scans with a reference score at or above the cut: a score of exactly "
        "100 is positive at the cut 100, though the standard categories have it in "
        "11-100."
    ),
    "volume": "The same of the calcium volume, mm3.",
    "overlap": (
        "Share of the reference's calcium volume inside the prediction's (sensitivity) "
        "and of the prediction's inside the reference's (PPV), all scans together, after "
        "orCaScore."
    ),
    "mass": "The same of the calcium mass, mg, under the calibration factor.",
}
