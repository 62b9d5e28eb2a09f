"""What a model is: the only code that training and serving share.

text.py     fields -> text -> token ids         bundle.py   the folder on disk: save, load, verify
session.py  one ONNX session on one device      scorer.py   what every scorer can do
cross.py    a scorer that reads each pair whole errors.py   what can be wrong
split.py    a scorer that reads each side once and keeps candidates
buckets.py  few shapes for any batch            bound.py    a session in buckets, with CUDA graphs
shapes.py   a graph's arrays and their axes     providers.py  what onnxruntime is told of a device
slots.py    a candidate as it is stored         slot_file.py  a file of them
"""

import os

# Official onnxruntime wheels send telemetry unless told otherwise before their first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
