"""Which detections find which boxes, and the figures of COCO."""
