"""Small randomly initialised networks of `transformers`, built without a download: outputs are dataclasses, some layers
return tuples, tokens are [B, N, C].

The library takes seconds to import, so that it is imported by the first network that is made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Kind

HUGGING = Kind("transformers")
SMALL: dict[str, Any] = {"num_labels": CLASSES, "initializer_range": 0.3}
MIXED: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}


@HUGGING.add(logits=lambda out: out.logits, picture="vit.layers.0")
def vision_transformer() -> nn.Module:
    import transformers

    config = transformers.ViTConfig(image_size=8, patch_size=2, **MIXED, **SMALL)
    return transformers.ViTForImageClassification(config)


@HUGGING.add(logits=lambda out: out.logits, picture="swin.layernorm")
def shifted_windows() -> nn.Module:
    """Swin, which computes with channels last in places."""
    import transformers

    settings = {"embed_dim": 8, "depths": [2, 1], "num_heads": [2, 2], "window_size": 2}
    return transformers.SwinForImageClassification(
        transformers.SwinConfig(image_size=8, patch_size=2, **settings, **SMALL)
    )


@HUGGING.add(logits=lambda out: out.logits, picture="convnext.encoder.stages.0")
def convolutions_with_layer_norms() -> nn.Module:
    """ConvNeXt, which turns its channels to the end and back in every layer."""
    import transformers

    settings = {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "patch_size": 2}
    return transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**settings, **SMALL))


@HUGGING.add(logits=lambda out: out.logits, shape=(6, 16), bounds=(-float("inf"), float("inf")), search_tolerance=5e-4)
def embedded_words() -> nn.Module:
    """BERT, given the embeddings of its words, which have no bounds."""
    import transformers

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = transformers.BertConfig(vocab_size=20, max_position_embeddings=8, **MIXED, **SMALL)
            self.body = transformers.BertForSequenceClassification(config)

        def forward(self, x: Tensor) -> Any:
            return self.body(inputs_embeds=x, attention_mask=torch.ones(x.shape[:2], dtype=torch.int64))

    return Embedded()
