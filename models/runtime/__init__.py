"""One ONNX session: device, shapes, buckets, IO binding."""
