"""Training steps as CUDA graphs."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class CudaGraphStep:
    """An update replayed as a CUDA graph, one a batch shape: small models wait for Python's
    launches, not for the GPU.

    The first batch of a shape is trained on as it comes, the second is captured as it is trained
    on, all later ones are replayed: the numbers are those of the plain update.
    """

    def __init__(self, update: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]):
        self.update, self.stream, self.pool, self.graphs = update, torch.cuda.Stream(), None, {}

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        shape = tuple((name, tensor.shape) for name, tensor in batch.items())
        if shape not in self.graphs:
            self.graphs[shape] = None
            return self._aside(batch)
        if self.graphs[shape] is None:
            self.graphs[shape] = self._capture(
                {name: tensor.clone() for name, tensor in batch.items()}
            )
        graph, held, terms = self.graphs[shape]
        for name, tensor in batch.items():
            held[name].copy_(tensor)
        graph.replay()
        return terms

    def _aside(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the stream of the captures, because lazily made state (cuBLAS, optimizer) belongs to a
        stream.
        """
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            terms = self.update(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return terms

    def _capture(self, held: dict[str, Tensor]) -> tuple:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            terms = self.update(held)
        self.pool = graph.pool()  # replayed one after the other, all graphs can work in one memory
        return graph, held, terms
