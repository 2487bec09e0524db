"""Images: decoding, preprocessing options, box files."""
