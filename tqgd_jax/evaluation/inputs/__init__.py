"""What is evaluated: detections and ground truth of any detector, from files or runs."""
