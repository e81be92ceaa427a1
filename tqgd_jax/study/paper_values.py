"""What the paper's tables say, for the column beside what was measured.

Wang et al., 2025, Tables 1 to 4: precision, recall, F1 and mAP at IoU .5, by row. The row
of TQGDNet in Tables 1 and 2 is fold 1 of Table 4, the best of five.
"""

CONCORD = {
    "Y-PAN": (0.836, 0.765, 0.799, 0.832),
    "Y-FPN": (0.858, 0.757, 0.804, 0.820),
    "Y-QF": (0.849, 0.816, 0.832, 0.854),
    "Y-GD": (0.824, 0.831, 0.827, 0.870),
    "Y-QFGD": (0.858, 0.844, 0.851, 0.899),
    "T-PAN": (0.874, 0.767, 0.817, 0.865),
    "T-QF": (0.845, 0.805, 0.825, 0.888),
    "T-GD": (0.886, 0.809, 0.846, 0.906),
    "T-QFGD": (0.892, 0.846, 0.868, 0.918),
    "ZHAO": (0.896, 0.765, 0.825, 0.882),
    "FOELLMER": (0.852, 0.874, 0.863, 0.871),
    "SEGNET": (0.855, 0.855, 0.855, 0.843),
}
ORCASCORE = {
    "Y-PAN": (0.858, 0.841, 0.849, 0.860),
    "Y-FPN": (0.790, 0.856, 0.821, 0.841),
    "Y-QF": (0.880, 0.833, 0.856, 0.876),
    "Y-GD": (0.945, 0.818, 0.877, 0.895),
    "Y-QFGD": (0.902, 0.840, 0.870, 0.922),
    "T-PAN": (0.767, 0.972, 0.897, 0.895),
    "T-QF": (0.883, 0.861, 0.872, 0.913),
    "T-GD": (0.836, 0.932, 0.881, 0.929),
    "T-QFGD": (0.890, 0.864, 0.877, 0.948),
    "ZHAO": (0.833, 0.795, 0.813, 0.898),
    "FOELLMER": (0.806, 0.917, 0.858, 0.853),
    "SEGNET": (0.850, 0.850, 0.850, 0.925),
}
# Table 4: precision, recall and mAP of TQGDNet on each fold.
FOLDS = {
    "Concord": (
        (0.892, 0.846, 0.918),
        (0.813, 0.841, 0.875),
        (0.860, 0.774, 0.878),
        (0.853, 0.843, 0.905),
        (0.881, 0.793, 0.903),
    ),
    "OrCaScore": (
        (0.890, 0.864, 0.948),
        (0.794, 0.953, 0.938),
        (0.865, 0.918, 0.947),
        (0.815, 0.957, 0.917),
        (0.877, 0.810, 0.922),
    ),
}
# Fig. 2: labelled boxes by area, 0-10, 10-100, 100-200 and above 200 px.
AREAS = ("OrCaScore, development copy", (14, 172, 27, 11))
AREAS_SOURCE = (
    "The paper prints Fig. 2 without numbers; it says that most deposits of OrCaScore have "
    "10-100 px, and that more of Concord's have 0-10 px. Beside: as counted in a public "
    "development copy of its OrCaScore set (155 slices)."
)
ERRATA = (
    "Tables 1 and 2 give TQGDNet the figures of Group 1 of Table 4, the best of five "
    "folds on both data sets; the means are .896 (Concord) and .934 (OrCaScore).",
    "Table 2, OrCaScore, ThrConvs*B: F1 .897 does not follow from P .767 and R .972, "
    "which give .857.",
    "The abstract says mean pixel accuracy (mPA); the gains are those of mAP in Table 1.",
    "The text gives Queen-fusion a gain of .8 to 1.6 % on OrCaScore; Tables 1 and 2 give "
    "1.6 % on YOLOv5*B (.876 - .860) and 1.8 % on ThrConvs*B (.913 - .895).",
    'The text gives GD on YOLOv5*B "more than 3.5 % on both"; Tables 1 and 2 give 3.8 % '
    "on Concord (.870 - .832) and 3.5 %, not more, on OrCaScore (.895 - .860).",
    'Table 3 is captioned "implemented on TQGDNet"; its rows are those of YOLOv5*B.',
    "168 training images are said where 131 or 132 belong to a fold of 163.",
)
