"""What travels between the rooms: batches, images with boxes, an evaluation set."""
