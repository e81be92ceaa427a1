"""The sentence that stands in every output."""

NOT_A_DEVICE = "Not a medical device."
