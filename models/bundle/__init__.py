"""The files of a bundle: manifest, signature, reading and writing. No onnxruntime here."""
