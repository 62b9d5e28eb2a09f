"""Precision of training's matrix products: bf16 where the device supports it, else fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device) -> torch.autocast:
    """bf16 inside, where it is native. A CPU without AVX512-BF16 or AMX emulates it, many times slower than fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_has_bf16(device))


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """fp32 inside `autocast`, for outputs that bf16 would round to each other. A meta device computes nothing."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def weights_dtype(device: torch.device) -> torch.dtype:
    """Of frozen weights: half of the memory where products run in bf16 anyway."""
    return torch.bfloat16 if _has_bf16(device) else torch.float32


def _has_bf16(device: torch.device) -> bool:
    able = torch.cpu.get_capabilities()
    return device.type != "cpu" or bool(able.get("avx512_bf16") or able.get("amx_bf16"))
