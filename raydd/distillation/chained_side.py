"""A real side whose networks are trained on real data from iteration to iteration: the base of IDM's and IDC's."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raydd.augment import Draw
from raydd.distillation.real_side import RealSide, Targets
from raydd.nets import Network

STATE = "real/"
WEIGHTS = "net/"


class ChainedRealSide(RealSide):
    """Statistics under networks that depend on all iterations before, and still on (seed, iteration) alone.

    The networks are a chain: state at iteration 0, trained after every iteration. Where the bank holds an
    iteration's block, its statistics and its matching network are read and nothing is trained. Otherwise the
    chain is brought there from the nearest state behind it: the one in memory (which a checkpoint
    carries), the nearest one that the bank holds, or the last iteration where it starts afresh.
    """

    position: int | None = None
    """Iteration that the chain in memory stands at: trained by all iterations before it. None: no chain."""

    def at(self, iteration: int) -> Targets:
        """Targets of `iteration` (>= 0)."""
        draws = self.draws(iteration)
        net: Network | None = None

        def compute() -> Mapping[str, Tensor]:
            nonlocal net
            self._reach(iteration)
            trained, extra = self.matched()
            # the chain's own is trained on; and one made in one way, computed or read, has the same bits compiled
            net = self._network(dict(trained.named_parameters()))
            weights = {f"{WEIGHTS}{name}": value for name, value in net.named_parameters()}
            return {**self.statistics(net, iteration, draws), **extra, **weights}

        found = compute() if self.bank is None else self.bank.get(iteration, compute, self._chain_state)
        if net is None:
            read = {name: value for name, value in found.items() if name.startswith(WEIGHTS)}
            net = self._network({name.removeprefix(WEIGHTS): value for name, value in read.items()})
        return self.targets(net, draws, found)

    @abstractmethod
    def start(self, iteration: int) -> int:
        """The last iteration <= `iteration` (>= 0) at which the chain starts afresh."""

    @abstractmethod
    def begin(self, iteration: int) -> None:
        """Make the chain as it stands at `iteration`, one that `start` names."""

    @abstractmethod
    def advance(self) -> None:
        """Do the training of iteration `position`."""

    @abstractmethod
    def matched(self) -> tuple[Network, dict[str, Tensor]]:
        """The network to match with at `position`, and tensors that the targets need besides its statistics."""

    @abstractmethod
    def statistics(self, net: Network, iteration: int, draws: list[Draw]) -> dict[str, Tensor]:
        """Statistics of the real batches under the frozen `net`."""

    @abstractmethod
    def targets(self, net: Network, draws: list[Draw], found: Mapping[str, Tensor]) -> Targets:
        """Targets from statistics, whether computed or read."""

    @abstractmethod
    def chain_state(self) -> dict[str, Tensor]:
        """The chain at `position` as tensors on the CPU; copies."""

    @abstractmethod
    def load_chain(self, state: Mapping[str, Tensor]) -> None:
        """The chain from `chain_state`."""

    def state_dict(self) -> dict[str, Any]:
        """The chain, if there is one in memory."""
        return {f"{STATE}{name}": value for name, value in self._chain_state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the chain of a `state_dict`, or none."""
        chain = {name.removeprefix(STATE): value for name, value in state.items() if name.startswith(STATE)}
        self.position = None
        if chain:
            self._load(chain)

    def _chain_state(self) -> dict[str, Tensor]:
        if self.position is None:
            return {}
        return {"position": torch.tensor(self.position), **self.chain_state()}

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self.load_chain(state)
        self.position = int(state["position"])

    def _reach(self, iteration: int) -> None:
        afresh = self.start(iteration)
        here = -1 if self.position is None or self.position > iteration else self.position
        kept = None if self.bank is None else self.bank.chain(iteration, after=max(here, afresh))
        if kept is not None:
            self._load(kept)
            here = int(kept["position"])
        if here < afresh:
            self.begin(afresh)
            self.position = here = afresh
        for position in range(here, iteration):
            self.advance()
            self.position = position + 1

    @torch.no_grad()
    def _network(self, weights: Mapping[str, Tensor]) -> Network:
        """A frozen network with copies of the parameters `weights`."""
        if self._skeleton is None:
            self._skeleton = self.build_net("skeleton", 0).requires_grad_(False)
        net = copy.deepcopy(self._skeleton)
        for name, parameter in net.named_parameters():
            parameter.copy_(weights[name])
        return net

    _skeleton: Network | None = None
