"""A network that is trained a batch at a time and can be stopped and continued between any two."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raydd.nets import Network, Passes


class OnlineNet:
    """A network with its SGD optimiser, whose whole state is a flat dict of tensors.

    Args:
        net: moved to the device of `passes`.
        passes: how the network is run.
        lr, momentum, weight_decay: of SGD.
    """

    def __init__(self, net: Network, passes: Passes, lr: float, momentum: float, weight_decay: float) -> None:
        self.net = passes.place(net).train()
        self.passes = passes
        self.optimiser = torch.optim.SGD(
            self.net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay
        )
        if momentum:
            # torch makes the buffers at the first step; zeros give the same bits and can be saved before it
            for parameter in self.net.parameters():
                self.optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step on the mean cross-entropy of a batch; the gradients are freed after it.

        Args:
            images: normalised, (N, C, S, S), on the device.
            targets: int64 (N,), or soft labels float32 (N, classes).

        Returns:
            The logits (N, classes) before the step, without a graph.
        """
        logits = self.passes.backward(self.net, images, targets)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)  # a queue has many networks that wait for their next step
        return logits

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """Copies of the parameters, by name."""
        return {name: parameter.clone() for name, parameter in self.net.named_parameters()}

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of `weights/<name>` and `velocity/<name>` on the CPU."""
        state = {f"weights/{name}": value.cpu() for name, value in self.weights().items()}
        for name, parameter in self.net.named_parameters():
            buffer = self.optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                state[f"velocity/{name}"] = buffer.detach().cpu().clone()
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict` bit for bit."""
        for name, parameter in self.net.named_parameters():
            parameter.copy_(state[f"weights/{name}"])
            buffer = self.optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                buffer.copy_(state[f"velocity/{name}"])
