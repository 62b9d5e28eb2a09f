"""What a model is: the only code that training and serving share.

template.py  fields -> text               heads.py    outputs and their calibration
text.py      text -> token ids            errors.py   what can go wrong with models and stores
bundle/      the folder on disk           runtime/    ONNX sessions: devices, buckets, CUDA graphs
scorers/     cross-encoder, split model   slots/      encoded candidates, and a file of them
loading.py   a bundle becomes a scorer    tables/     CSV, JSON lines, Parquet: members and candidates
bulk/        many pairs, here or on Ray    audit/      lines of the audit log, and their sealed texts
"""

import os

# Official onnxruntime wheels send telemetry unless this is set before their first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
