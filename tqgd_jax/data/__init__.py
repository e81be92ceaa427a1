"""Images and boxes from disk to the device. TensorFlow and SimpleITK stay in here."""
