"""Which samples a step sees, and their pixels: from memory or through tf.data."""
