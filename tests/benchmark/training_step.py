"""The model of training-step.ts in PyTorch: one training step for each line of stdin, its cost as JSON on stdout.

Arguments, as one JSON object: width, dims, layers, hidden, heads, segments, batch, dropout, threads, trained.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

FUSION_HEADS = 4
TEMPERATURE = 0.03


class Encoder(nn.Module):
    """Pre-norm layers over (B, S, D), then a norm: `transformer` of model/viml.ts."""

    def __init__(self, dims: int, layers: int, hidden: int, heads: int, dropout: float):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            dims, heads, hidden, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dims), enable_nested_tensor=False)

    def forward(self, x: torch.Tensor, absent: torch.Tensor | None = None) -> torch.Tensor:
        return self.layers(x, src_key_padding_mask=absent)


class Sequence(nn.Module):
    """(B, S, width) to (B, D): `encode` of model/viml.ts."""

    def __init__(self, width: int, dims: int, segments: int, **encoder):
        super().__init__()
        self.projection = nn.Linear(width, dims)
        self.positions = nn.Parameter(0.02 * torch.randn(segments, dims))
        self.encoder = Encoder(dims, **encoder)

    def forward(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        y = self.encoder(self.projection(x) + self.positions[: x.shape[1]], there == 0)
        column = there[:, :, None]
        return (y * column).sum(1) / column.sum(1)


class Viml(nn.Module):
    def __init__(self, width: int, dims: int, segments: int, layers: int, hidden: int, heads: int, dropout: float):
        super().__init__()
        encoder = {"layers": layers, "hidden": hidden, "heads": heads, "dropout": dropout}
        self.video = Sequence(width, dims, segments, **encoder)
        self.music = Sequence(width, dims, segments, **encoder)
        self.text_projection = nn.Linear(width, dims)
        self.text = Encoder(dims, **encoder)
        self.fusion_positions = nn.Parameter(0.02 * torch.randn(2, dims))
        self.fusion = Encoder(dims, 2, hidden, FUSION_HEADS, dropout)

    def forward(self, video, text, music, there):
        y_v = self.video(video, there)
        y_t = self.text(self.text_projection(text)[:, None])[:, 0]
        y_vt = self.fusion(torch.stack([y_v, y_t], 1) + self.fusion_positions).sum(1)
        return F.normalize(y_vt, dim=-1), F.normalize(self.music(music, there), dim=-1)


def info_nce(queries: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
    scores = queries @ tracks.T / TEMPERATURE
    right = torch.arange(len(queries))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def cost_of(work) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return {"cpuMs": 1e3 * (time.process_time() - cpu), "wallMs": 1e3 * (time.perf_counter() - wall)}


def main() -> None:
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    torch.manual_seed(1)
    batch, width, segments = given["batch"], given["width"], given["segments"]
    model = Viml(width, given["dims"], segments, given["layers"], given["hidden"], given["heads"], given["dropout"])
    trained = sum(parameter.numel() for parameter in model.parameters())
    if trained != given["trained"]:
        sys.exit(f"the model has {trained} parameters here and {given['trained']} there")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.05)
    video, music = torch.rand(batch, segments, width) * 2 - 1, torch.rand(batch, segments, width) * 2 - 1
    text, there = torch.rand(batch, width) * 2 - 1, torch.ones(batch, segments)

    def gradients() -> None:
        optimiser.zero_grad()
        info_nce(*model(video, text, music, there)).backward()

    print(json.dumps({"version": torch.__version__}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"gradients": cost_of(gradients), "adamw": cost_of(optimiser.step)}), flush=True)


main()
