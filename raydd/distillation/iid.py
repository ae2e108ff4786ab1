"""IID: class centralisation and local covariance matching added to DM or to IDM (Deng et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from raydd.distillation.dm import DM
from raydd.distillation.idm import IDM
from raydd.distillation.iid_terms import IIDTerms

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.nets import Network
    from raydd.registry import Context
    from trainables.iid import IIDHyperparameters


def iid_terms(hyperparameters: IIDHyperparameters, pool: Sequence[Network]) -> IIDTerms:
    """The terms with the weights and the form of `hyperparameters`."""
    return IIDTerms(
        hyperparameters.lambda_cc,
        hyperparameters.lambda_cm,
        hyperparameters.cc_form,
        hyperparameters.alpha,
        hyperparameters.beta,
        pool,
    )


class IID(DM):
    """L = L_DM + lambda_cc * L_CC + lambda_cm * L_CM.

    Args:
        hyperparameters: every number of the method.
        context, data, seed, device, bank: see `DM`.
        pool: see `IIDTerms`.
    """

    method: ClassVar[str] = "iid"

    def __init__(
        self,
        hyperparameters: IIDHyperparameters,
        context: Context,
        data: DataSplits,
        pool: Sequence[Network],
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        super().__init__(hyperparameters, context, data, seed, device, bank, iid_terms(hyperparameters, pool))


class IIDOnIDM(IDM):
    """L = L_IDM + lambda_cc * L_CC + lambda_cm * L_CM, of the decoded images; arguments as `IID`'s."""

    method: ClassVar[str] = "iid"

    def __init__(
        self,
        hyperparameters: IIDHyperparameters,
        context: Context,
        data: DataSplits,
        pool: Sequence[Network],
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        super().__init__(hyperparameters, context, data, seed, device, bank, iid_terms(hyperparameters, pool))
