"""ONNX export, quantization, pruning, and what each costs in quality."""
