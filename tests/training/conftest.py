"""Training tests run on one thread:
their models are tiny, and two threads on a busy machine mostly wait for each other.
"""

from __future__ import annotations

import torch

torch.set_num_threads(1)
