"""IDM against a literal loop in the authors' order, and what IID on IDM shares with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.augment import DSA
from raydd.data import DataSplits
from raydd.distillation import IDM, IIDOnIDM
from raydd.formation import initial_images
from raydd.nets import Network
from raydd.registry import Context
from raydd.seeding import generator
from trainables.idm import IDMHyperparameters
from trainables.iid import ON_IDM, IIDHyperparameters

CPU = torch.device("cpu")
BASE: dict[str, Any] = {
    "net": "convnet-w8",
    "batch_real": 10,
    "lr_img": 0.2,
    "ce_weight": 0.3,
    "net_generate_interval": 2,
    "net_num": 4,
    "batch_train": 16,
    "model_train_steps": 3,
    "acc_window": 3,
}


def idm(data: DataSplits, context: Context, **values: Any) -> IDM:
    return IDM(IDMHyperparameters(**{**BASE, **values}), context, data, 0, CPU)


def iid(data: DataSplits, context: Context, pool: list[Network], **values: Any) -> IIDOnIDM:
    model = IIDHyperparameters(**{"base": "idm", **ON_IDM, **BASE, **values})
    return IIDOnIDM(model, context, data, pool, 0, CPU)


def run(distiller: IDM, steps: int) -> torch.Tensor:
    for _ in range(steps):
        distiller.step()
    return distiller.pixels.flatten(0, 1).clone()


def literal(
    data: DataSplits, context: Context, iterations: int
) -> tuple[torch.Tensor, list[float], list[float]]:
    """Images, sums of the cross-entropies and accuracies, in float64, a class and a step at a time."""
    augment, ipc, side = DSA(context.augmentation), context.ipc, context.size
    kind = {"channels": 3, "size": side, "classes": 3}
    pixels = (
        initial_images(data.train, ipc, data.normalisation, 0, "mix", factor=2, resize="bilinear")
        .double()
        .requires_grad_()
    )
    optimiser = torch.optim.SGD([pixels], lr=BASE["lr_img"], momentum=0.5)
    queue: list[dict[str, Any]] = []

    def join() -> None:
        net = nets.build(BASE["net"], **kind, generator=generator(0, "queue_net", join.count)).double()
        join.count += 1
        sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        queue.append({"net": net, "sgd": sgd, "hits": 0, "seen": 0})

    join.count = 0
    for _ in range(3):
        join()
    entropies, accuracies = [], []
    for iteration in range(iterations):
        if iteration % BASE["acc_window"] == 0:
            for member in queue:
                member["hits"] = member["seen"] = 0
        if iteration % BASE["net_generate_interval"] == 0:
            if len(queue) == BASE["net_num"]:
                queue.pop(0)
            join()
        chosen = queue[int(torch.randint(len(queue), (), generator=generator(0, "queue_match", iteration)))]
        net = chosen["net"]
        accuracy = 100 * chosen["hits"] / chosen["seen"] if chosen["seen"] else 0.0
        accuracies.append(accuracy)
        entropies.append(0.0)
        for c in range(3):
            draw = augment.draw(generator(0, "augmentation", iteration, c))
            real = data.train.sample(c, BASE["batch_real"], generator(0, "real_batch", iteration, c))
            real = augment(data.normalisation.apply(real).double(), draw)
            stored, half = pixels[c * ipc : (c + 1) * ipc], side // 2
            quarters = [stored[:, :, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
            grown = [F.interpolate(q, scale_factor=2, mode="bilinear", align_corners=False) for q in quarters]
            syn = augment(torch.cat(grown), draw)
            loss = ((net.embed(real).mean(0).detach() - net.embed(syn).mean(0)) ** 2).sum()
            entropy = F.cross_entropy(net(syn), torch.full((4 * ipc,), c))
            loss = loss + BASE["ce_weight"] * accuracy * entropy
            entropies[-1] += entropy.item()
            optimiser.zero_grad(set_to_none=False)
            loss.backward()
            optimiser.step()
        order = torch.randperm(len(queue), generator=generator(0, "queue_fetch", iteration))[:2]
        for turn, index in enumerate(order.tolist()):
            member = queue[index]
            for number in range(BASE["model_train_steps"]):
                stream = generator(0, "queue_batch", iteration, turn * BASE["model_train_steps"] + number)
                rows = torch.randperm(len(data.train), generator=stream)[: BASE["batch_train"]]
                labels = torch.as_tensor(data.train.labels)[rows]
                logits = member["net"](data.normalisation.apply(data.train.take(rows)).double())
                member["sgd"].zero_grad()
                F.cross_entropy(logits, labels).backward()
                member["sgd"].step()
                member["hits"] += int((logits.argmax(1) == labels).sum())
                member["seen"] += len(rows)
    return pixels.detach(), entropies, accuracies


def test_images_losses_and_accuracies_are_those_of_the_authors_loop(
    data: DataSplits, context: Context
) -> None:
    expected, entropies, accuracies = literal(data, context, 7)
    assert max(accuracies) > 0
    assert min(accuracies) == 0
    distiller = idm(data, context)
    start = distiller.pixels.flatten(0, 1).clone()
    for entropy, accuracy in zip(entropies, accuracies):
        assert distiller.real_side.at(distiller.iteration).accuracy == pytest.approx(accuracy, abs=1e-4)
        terms = distiller.step()
        if accuracy:
            assert terms["ce"] == pytest.approx(entropy, rel=1e-3)
            assert terms["total"] == pytest.approx(terms["dm"] + 0.3 * accuracy * terms["ce"], rel=1e-5)
        else:
            assert set(terms) == {"dm", "total"}  # a net never trained has no say in the labels
    moved = (expected - start).norm()
    error = (distiller.pixels.flatten(0, 1).double() - expected).norm() / moved
    assert error.item() < 1e-2  # fp32 rounding moves a few ReLU masks


def test_a_joint_step_moves_the_images_elsewhere_from_the_second_iteration_on(
    data: DataSplits, context: Context
) -> None:
    first, joint = idm(data, context), idm(data, context, update="joint")
    assert first.step()["dm"] == joint.step()["dm"]
    # at the first turn nothing has momentum; then the classes drift at the turns of the others
    assert (first.pixels - joint.pixels).abs().max() > 1e-4


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_the_set_decodes_into_the_images_that_were_matched(
    data: DataSplits, context: Context, factor: int
) -> None:
    distiller = idm(data, context, factor=factor)
    distilled = distiller.distilled()
    assert distilled.images().shape == (3 * 4 * factor**2, 3, 8, 8)
    assert distilled.labels().tolist() == sorted(distilled.labels().tolist())
    assert torch.equal(distilled.images(), distiller.decode(distiller.pixels).flatten(0, 1))
    assert distilled.recipe["protocol"] == "dsa"


def test_an_interrupted_run_continues_bit_for_bit(data: DataSplits, context: Context) -> None:
    whole = run(idm(data, context), 6)
    first = idm(data, context)
    run(first, 3)
    second = idm(data, context)
    second.load_state_dict(first.state_dict())
    run(first, 1)  # a state is a copy
    assert torch.equal(run(second, 3), whole)


def test_with_both_weights_zero_iid_is_idm_bit_for_bit(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    assert torch.equal(
        run(iid(data, context, [], lambda_cc=0.0, lambda_cm=0.0), 4), run(idm(data, context), 4)
    )
    for values in ({"lambda_cc": 0.5, "lambda_cm": 0.0}, {"lambda_cc": 0.0, "lambda_cm": 0.5}):
        assert (run(iid(data, context, pool, **values), 4) - run(idm(data, context), 4)).abs().max() > 1e-4


def test_at_ipc_1_iids_terms_act_on_sub_images_and_not_on_whole_ones(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    single = dataclasses.replace(context, ipc=1)
    values = {"lambda_cc": 0.5, "lambda_cm": 0.5}
    assert {"cc", "cm"} <= set(iid(data, single, pool, **values).step())
    assert (run(iid(data, single, pool, **values), 3) - run(idm(data, single), 3)).abs().max() > 1e-4
    whole = {"factor": 1, "init": "real"}
    assert torch.equal(run(iid(data, single, [], **values, **whole), 3), run(idm(data, single, **whole), 3))


def test_iid_on_idm_compares_all_parts_of_a_class(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    distiller = iid(data, context, pool, lambda_cc=0.5, lambda_cm=0.2)
    start = distiller.decode(distiller.pixels)
    targets = distiller.real_side.at(0)
    augment = DSA(context.augmentation)
    psi = distiller.iid.extractor(0)
    cc = cm = 0.0
    for c, draw in enumerate(targets.draws):
        images = augment(start[c], draw)
        features = psi.embed(images).double()
        cc += float(((features - features.mean(0)) ** 2).sum())
        local = targets.net.local_features(images).double()
        centred = local - local.mean(0)
        sigma = torch.einsum("nip,njp->ij", centred, centred) / len(images)
        cm += float(((targets.covariances[c] - sigma) ** 2).sum())
    terms = distiller.step()
    assert terms["cc"] == pytest.approx(cc, rel=1e-4)
    assert terms["cm"] == pytest.approx(cm, rel=1e-4)
