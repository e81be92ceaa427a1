"""What the headers of volume files claim, and which claims are refused."""
