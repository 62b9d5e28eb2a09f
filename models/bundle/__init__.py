"""The files of a bundle: manifest, signature, reading and writing. Needs neither onnxruntime nor numpy."""
