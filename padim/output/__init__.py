"""Output files: rendered images, CSV tables, JSON documents, and exported ONNX and npz models."""
