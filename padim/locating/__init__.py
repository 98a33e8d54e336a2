"""Find the part in an image, so that the model compares the same places of parts that lie differently."""
