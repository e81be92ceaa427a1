"""Annotations of other programs that no reader here reads: their name, and what converts.

Each is recognised by how its file begins.
"""

from pathlib import Path

HEAD = 2**16  # bytes
LABELME = (
    "json of LabelMe is not read; convert it to COCO: pip install labelme2coco, then "
    "labelme2coco DIR --export_dir DIR"
)
CVAT = (
    "XML of CVAT ('CVAT for images') is not read; export the task as 'COCO 1.0' or "
    "'Pascal VOC 1.1', or: pip install 'datumaro[cli]', then "
    "datum convert -if cvat -i DIR -f coco_instances -o OUT -- --save-media"
)
PLIST = (
    "a property list, such as of Stanford's COCA, is read with its DICOM series only: "
    "calcium_xml/NAME.xml and patient/NAME/ in one folder, data.format=dicom"
)


def recognised(file: Path) -> str:
    """What an XML or json file is and the way out, or nothing."""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    if file.suffix.lower() == ".json" and b'"shapes"' in head:
        return LABELME
    if b"<annotations" in head:
        return CVAT
    return PLIST if b"<plist" in head else ""
