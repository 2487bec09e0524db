"""The networks of ``float_models`` as torch modules, with trained-like batch norms."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class Block(nn.Module):
    """Convolutions with batch norm, a depthwise one, a residual, pooling and a dense layer."""

    def __init__(self, act: Any = nn.ReLU) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.d, self.b2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.p, self.b3 = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.a1, self.a2, self.a3 = act(), act(), act()
        self.pool = nn.MaxPool2d(2)
        self.h = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        """Gives five numbers."""
        x = self.pool(self.a1(self.b1(self.c1(x))))
        y = self.a2(self.b2(self.d(x)))
        x = self.a3(self.b3(self.p(y)) + x)
        return self.h(x.mean((2, 3)))


def settled(module: nn.Module, samples: Iterable[Any]) -> nn.Module:
    """Gives the module with batch norms that saw the samples."""
    torch.manual_seed(0)
    module.train()
    with torch.no_grad():
        for x in samples:
            module(torch.from_numpy(x))
    return module.eval()
