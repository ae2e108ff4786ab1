"""IDM's real side: a queue of networks that are trained on real data while pixels are matched (IDM_cifar10.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raydd.augment import Draw
from raydd.devices import Compute
from raydd.distillation.chained_side import ChainedRealSide
from raydd.distillation.real_side import Targets
from raydd.nets import Network, Passes
from raydd.seeding import generator
from raydd.training import OnlineNet

if TYPE_CHECKING:
    from raydd.data import DataSplits


@dataclass(frozen=True)
class QueueSettings:
    """The model queue; defaults are the authors'.

    Attributes:
        net_start: networks at the beginning, before the one of iteration 0.
        net_num: most networks in the queue, >= 1; the oldest leave when a new one comes.
        net_generate_interval: iterations between new networks; one comes at iteration 0 too.
        fetch_net_num: networks trained in an iteration.
        model_train_steps: steps of each of them.
        batch_train: real images of a step, of all classes, without augmentation.
        lr_net, momentum_net, weight_decay_net: of their SGD.
        acc_window: iterations after which the running training accuracies start afresh.
    """

    net_start: int = 3
    net_num: int = 100
    net_generate_interval: int = 30
    fetch_net_num: int = 2
    model_train_steps: int = 10
    batch_train: int = 256
    lr_net: float = 0.01
    momentum_net: float = 0.9
    weight_decay_net: float = 5e-4
    acc_window: int = 100


@dataclass
class _Member:
    number: int  # how many networks came before
    net: OnlineNet
    right: Tensor  # int64 (), on the network's device, so that counting a step waits for nothing
    seen: int = 0

    @property
    def hits(self) -> int:
        """Images classified correctly; reading it waits for the device."""
        return int(self.right)

    @property
    def accuracy(self) -> float:
        """In percent, 0 where nothing was counted."""
        return 100.0 * self.hits / self.seen if self.seen else 0.0


class QueueRealSide(ChainedRealSide):
    """Mean embeddings and local covariances under a random network of the queue.

    An iteration goes: a new network joins if it is time; one network is drawn and matched; `fetch_net_num`
    networks are drawn and trained. Covariances are always computed: they cost little beside the training,
    and IDM and IID on IDM then share one bank.

    Args:
        data, net_spec, batch_real, augmentation, seed, compute, bank: see `RealSide`.
        settings: of the queue.
    """

    base = "idm"
    version = 2

    def __init__(
        self,
        data: DataSplits,
        net_spec: str,
        batch_real: int,
        augmentation: str,
        settings: QueueSettings,
        seed: int,
        compute: Compute,
        bank: Path | None = None,
    ) -> None:
        super().__init__(data, net_spec, batch_real, augmentation, seed, compute, bank)
        self.settings = settings
        self.queue: list[_Member] = []
        self.count = 0  # networks that ever joined
        batch = min(settings.batch_train, len(data.train))
        self.training = Passes(compute, image_gradient=False, batch=batch, size=data.size)
        self._labels = torch.as_tensor(data.train.labels, dtype=torch.int64, device=compute.device)

    def facts(self) -> dict[str, Any]:
        """See `RealSide.facts`."""
        return {**super().facts(), "queue": vars(self.settings), "training_part": self.training.part}

    def start(self, iteration: int) -> int:
        """The queue is made once, at iteration 0."""
        return 0

    def begin(self, iteration: int) -> None:
        """The queue at iteration 0."""
        self.queue, self.count = [], 0
        for _ in range(self.settings.net_start):
            self._join()
        self._renew(0)

    def matched(self) -> tuple[Network, dict[str, Tensor]]:
        """A random network of the queue, and its `accuracy`."""
        stream = generator(self.seed, "queue_match", self.position or 0)
        member = self.queue[int(torch.randint(len(self.queue), (), generator=stream))]
        return member.net.net, {"accuracy": torch.tensor(member.accuracy, dtype=torch.float32)}

    def advance(self) -> None:
        """Train `fetch_net_num` random networks, then let the next iteration begin."""
        position = self.position or 0
        settings, train = self.settings, self.data.train
        order = torch.randperm(len(self.queue), generator=generator(self.seed, "queue_fetch", position))
        for turn, index in enumerate(order[: settings.fetch_net_num].tolist()):
            member = self.queue[index]
            for number in range(settings.model_train_steps):
                stream = generator(
                    self.seed, "queue_batch", position, turn * settings.model_train_steps + number
                )
                rows = torch.randperm(len(train), generator=stream)[: settings.batch_train]
                pixels = train.take(rows).to(self.compute.device)
                labels = self._labels[rows.to(self.compute.device)]
                logits = member.net.step(self.data.normalisation.apply(pixels), labels)
                member.right += (logits.argmax(dim=1) == labels).sum()
                member.seen += len(rows)
        self._renew(position + 1)

    @torch.no_grad()
    def statistics(self, net: Network, iteration: int, draws: list[Draw]) -> dict[str, Tensor]:
        """`means` and `covariances`."""
        return self.feature_statistics(net, iteration, draws, covariances=True)

    def targets(self, net: Network, draws: list[Draw], found: Mapping[str, Tensor]) -> Targets:
        """See `ChainedRealSide.targets`."""
        return Targets(net, draws, found["means"], found["covariances"], float(found["accuracy"]))

    def chain_state(self) -> dict[str, Tensor]:
        """Every network of the queue with its momentum and its counts."""
        numbers = [(member.number, member.hits, member.seen) for member in self.queue]
        state = {"members": torch.tensor(numbers, dtype=torch.int64), "count": torch.tensor(self.count)}
        for member in self.queue:
            state |= {f"{member.number}/{name}": value for name, value in member.net.state_dict().items()}
        return state

    def load_chain(self, state: Mapping[str, Tensor]) -> None:
        """See `ChainedRealSide.load_chain`."""
        self.count = int(state["count"])
        self.queue = []
        for number, hits, seen in state["members"].tolist():
            net = self._make(number)
            prefix = f"{number}/"
            net.load_state_dict(
                {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            )
            self.queue.append(_Member(number, net, self._counter(hits), seen))

    def _renew(self, iteration: int) -> None:
        """What happens before `iteration` is matched."""
        if iteration % self.settings.acc_window == 0:
            for member in self.queue:
                member.right, member.seen = self._counter(), 0
        if iteration % self.settings.net_generate_interval == 0:
            while len(self.queue) >= self.settings.net_num:  # more than one leave where net_start is larger
                self.queue.pop(0)
            self._join()

    def _join(self) -> None:
        self.queue.append(_Member(self.count, self._make(self.count), self._counter()))
        self.count += 1

    def _counter(self, hits: int = 0) -> Tensor:
        return torch.tensor(hits, dtype=torch.int64, device=self.compute.device)

    def _make(self, number: int) -> OnlineNet:
        settings = self.settings
        return OnlineNet(
            self.build_net("queue_net", number),
            self.training,
            settings.lr_net,
            settings.momentum_net,
            settings.weight_decay_net,
        )
