"""The encoder in a bundle as a start of training: weights of its fp16 graph, back as a Hugging Face folder.

Exporting transposes each product's weights and gives them new names, but keeps the names of biases: a weight is found
by the addition of its bias. An encoder that was never trained has equal biases, which a graph holds once. Knows BERT
encoders, as `onnx_export.py` writes them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertModel

from training.errors import UserError
from training.files import complete

PREFIX = "student.backbone."
ATTENTION_HEADS = 12
"""Of MiniLM; a graph does not state their number."""


def write_bundle_encoder(bundle: Path, folder: Path, attention_heads: int = ATTENTION_HEADS) -> str:
    """Write config, weights and tokenizer of the bundle's encoder to `folder` unless it exists; returns its name.

    Raises UserError for a bundle without an fp16 graph of an encoder.
    """
    if folder.exists():
        return str(folder)
    path = bundle / "encoder.fp16.onnx"
    if not path.exists():
        raise UserError(f"{path} is missing: training starts from the fp16 encoder of a bundle")
    weights = _weights(onnx.load(path).graph)
    count = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    vocabulary, width = weights["embeddings.word_embeddings.weight"].shape
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=count,
        num_attention_heads=attention_heads,
        intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights["embeddings.token_type_embeddings.weight"]),
    )
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})  # a graph holds buffers too
    with complete(folder) as partial:
        model.save_pretrained(partial)
        shutil.copy(bundle / "tokenizer.json", partial)
    return str(folder)


def _weights(graph: onnx.GraphProto) -> dict[str, torch.Tensor]:
    arrays = {each.name: each for each in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    found = {name.removeprefix(PREFIX): _tensor(each) for name, each in arrays.items() if name.startswith(PREFIX)}
    for node in graph.node:
        biases = [name for name in node.input if node.op_type == "Add" and name.startswith(PREFIX)]
        if not biases:
            continue
        [product] = [name for name in node.input if name not in biases]
        weight = maker[product].input[1]
        name = biases[0].removeprefix(PREFIX).removesuffix(".bias") + ".weight"
        found[name] = _tensor(arrays[weight]).T.contiguous()
    return found


def _tensor(array: onnx.TensorProto) -> torch.Tensor:
    return torch.from_numpy(numpy_helper.to_array(array).copy()).float()
