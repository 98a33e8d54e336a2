"""Pretrained networks: registry, weights, ONNX graphs, and the feature extractor that runs them."""
