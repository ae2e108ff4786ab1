"""Features of real and synthetic images under one fixed network, which several figures are of.

The network is the one that baselines share (`raydd.distillation.baselines.feature_network`): trained on all training
images with a fixed recipe and seed, an asset of the study's home. It is trained if it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydd.errors import StudyError
from raydd.report.figures.captions import told_apart
from raydd.report.figures.choice import Choice
from raydd.tuning.studies import Study

if TYPE_CHECKING:
    import torch

    from raydd.jobs import Job
    from raydd.storage import DistilledSet

REAL_IMAGES = 200  # of a class: more would only make the figure slow
DISTILLED = ("base", "winner")
RANDOM = "random real"  # what randomly chosen real images are called


@dataclass(frozen=True)
class Features:
    """Features under the fixed network, and whose they are.

    Attributes:
        real: of training images, float32 (N, D); at most `REAL_IMAGES` of a class, drawn by the choice's seed.
        real_labels: int64 (N,).
        sets: by what a set is called, of every run: features (M, D) and labels (M,) of its training images.
        class_names: of the data.
        network: specification of the network.
    """

    real: torch.Tensor
    real_labels: torch.Tensor
    sets: Mapping[str, list[tuple[torch.Tensor, torch.Tensor]]]
    class_names: tuple[str, ...]
    network: str


def confirmed_sets(study: Study) -> dict[str, list[DistilledSet]]:
    """The distilled sets of a study's report by arm (`winner`, `base`, `default`, `random`, ...), a set a run.

    Raises:
        StudyError: the study has no report, or its sets were deleted.
    """
    from raydd.storage import DistilledSet

    report = study.report()
    if report is None:
        raise StudyError(
            f"study {study.name!r} is not confirmed yet, and this figure is of the report's sets; "
            f"`raydd confirm {study.name}` first"
        )
    found: dict[str, list[DistilledSet]] = {}
    for arm in report["arms"]:
        key = arm["name"] if arm["trial"] is None else str(arm["trial"])
        paths = [study.folder / "confirm" / key / f"report-{run}" for run in range(arm["n"])]
        sets = [DistilledSet.load(path / "distilled.safetensors") for path in paths if _has_set(path)]
        if sets and arm["name"] not in found:
            found[arm["name"]] = sets
    if "winner" not in found:
        raise StudyError(
            f"the sets of study {study.name!r}'s report are gone; `raydd confirm` makes them again"
        )
    return found


def _has_set(path: Any) -> bool:
    return bool((path / "distilled.safetensors").exists())


def features(studies: Sequence[Study], arms: Sequence[str], choice: Choice) -> Features:
    """Features of the training images and of the arms' sets of every study, called as `chosen` says.

    Raises:
        StudyError: a study has no report, or they are of different data.
    """
    import torch

    from raydd.nets import Passes
    from raydd.seeding import generator
    from raydd.tuning import tasks
    from raydd.tuning.arms import main_net

    confirmed = {study.name: confirmed_sets(study) for study in studies}  # before anything is trained
    net = main_net(studies[0].config)
    job, spec = tasks.open_baselines(studies[0].folder, net)
    network = job.assets.get(spec)[0]
    passes = Passes(job.compute, image_gradient=False, batch=500, size=job.data.size)
    passes.place(network)

    def embedded(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([passes.embed(network, part.to(job.device)).cpu() for part in images.split(500)])

    drawn = [
        job.data.train.sample(class_, REAL_IMAGES, generator(choice.seed, "figure", 0, class_))
        for class_ in range(job.data.classes)
    ]
    real = embedded(torch.cat([job.data.normalisation.apply(images) for images in drawn]))
    real_labels = torch.repeat_interleave(
        torch.arange(job.data.classes), torch.tensor([len(images) for images in drawn])
    )
    sets: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, (study, arm) in chosen(studies, arms, confirmed).items():
        found = confirmed[study.name][arm]
        if any(one.fingerprint != job.data.fingerprint for one in found):
            raise StudyError(
                f"study {study.name!r} was made from other data than {studies[0].name!r}; a figure of features is "
                "of one dataset"
            )
        sets[name] = [(embedded(one.images()), one.labels()) for one in found]
    return Features(real, real_labels, sets, _class_names(job), net)


def chosen(
    studies: Sequence[Study], arms: Sequence[str], confirmed: Mapping[str, Mapping[str, Sequence[Any]]]
) -> dict[str, tuple[Study, str]]:
    """Whose sets are shown: study and arm by what they are called, the study's name with it where several are alike.

    The winner of a study is shown in place of the base of another one that stands on its method.

    Args:
        studies: all of them.
        arms: that a figure is of.
        confirmed: by study, `confirmed_sets`.
    """
    found = [(study, arm) for study in studies for arm in arms if confirmed[study.name].get(arm)]
    tuned = [called(study, arm) for study, arm in found if arm == "winner"]
    shown = [(study, arm) for study, arm in found if not (arm == "base" and called(study, arm) in tuned)]
    names = told_apart([called(*one) for one in shown], [study for study, _ in shown])
    return dict(zip(names, shown))


def _class_names(job: Job) -> tuple[str, ...]:
    return tuple(map(str, job.data.class_names))


def called(study: Study, arm: str) -> str:
    """What an arm's set is called in a figure: the winner by its method, the base by its own."""
    report = study.report() or {"arms": []}
    method = next((one["method"] for one in report["arms"] if one["name"] == arm), None)
    if method is None:
        return {"random": RANDOM}.get(arm, arm)
    from raydd import registry

    name = registry.get(method).short or method.upper()
    return {"winner": name, "base": name}.get(arm, f"{name}, {arm}")
