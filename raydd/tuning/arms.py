"""What a confirmation compares: the settings that are distilled anew, the baselines beside them, and their seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raydd import jobs, registry
from raydd.distillation import baselines
from raydd.evaluation import equal_steps
from raydd.seeding import derive_seed
from raydd.tuning.labels import SAME_TEACHER, relabels

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.registry import Scalar
    from raydd.tuning.plan import Plan
    from raydd.tuning.studies import Study, TrialRecord


@dataclass(frozen=True)
class Arm:
    """One of the settings that are compared.

    Attributes:
        key: name of its folder under `confirm/`: a trial's number, `base`, or the baseline's name.
        name: `winner`, `default`, `base` or the baseline's name in the report; empty in the re-ranking.
        title: for tables.
        short: for verdict lines; empty where it is in none.
        method: method that distils, or None for a baseline.
        hyperparameters: that differ from the method's defaults.
        trial: number of the trial it stands for, or None.
        baseline: one of `confirm.baselines`, or None where a method distils.
        labelled_as: hyperparameters that differ from the study's method's defaults, by which a baseline is labelled and
            evaluated: the winner's, so that it differs from the winner by its images alone. Empty where the method has
            no labels to give, and for `full`.
    """

    key: str
    name: str
    title: str
    short: str
    method: str | None
    hyperparameters: dict[str, Scalar]
    trial: int | None = None
    baseline: str | None = None
    labelled_as: dict[str, Scalar] = field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """Whether it has a run for every report seed, which others can be compared with; `full` is one network."""
        return self.baseline != "full"


def trial_arm(trial: TrialRecord, plan: Plan, name: str = "") -> Arm:
    """The arm of one trial."""
    default = plan.method.default_name(plan.context)
    title = default if trial.number == 0 else f"{plan.method.name}, trial {trial.number}"
    short = "winner"
    if name == "default":
        short = "carried-over" if "carried over" in default else "default"
    return Arm(str(trial.number), name, title, short, plan.method.name, trial.values, trial.number)


def base_arm(plan: Plan) -> Arm | None:
    """The method that this one stands on, with its own default setting and the study's fixed values; None for a base
    itself.
    """
    name = plan.method.base_of(plan.context)
    if name is None:
        return None
    base = registry.get(name)
    its = jobs.context_for(base, plan.context)
    title = f"{base.title} ({base.default_name(its)})"
    return Arm("base", "base", title, base.short or base.name.upper(), name, dict(its.fixed))


def report_arms(study: Study, plan: Plan, winner: int) -> list[Arm]:
    """Winner, default (unless it is the winner), base and baselines."""
    arms = [trial_arm(study.trial(winner), plan, "winner")]
    if winner != 0 and study.trial(0).outcome == "complete":
        arms.append(trial_arm(study.trial(0), plan, "default"))
    base = base_arm(plan)
    arms += [base] if base else []
    return [*arms, *(baseline_arm(name, plan, arms[0]) for name in plan.config.confirm.baselines)]


def baseline_arm(name: str, plan: Plan, winner: Arm) -> Arm:
    """The arm of real images that nothing distils; its title says what its figures rest on."""
    config = plan.config
    fitted = plan.data.train_and_val() if config.confirm.fit == "train+val" else plan.data
    spec = baselines.feature_network(main_net(config), fitted, config.confirm.baseline_epochs)
    network = f"{spec.net} trained {spec.recipe['epochs']} epochs"
    coreset = f"features of {network} on all of them; one choice: its runs differ by their nets only"
    title, short = {
        "random": ("randomly chosen real images", "random"),
        "herding": (f"training images chosen by herding ({coreset})", "herding"),
        "k_center": (f"training images chosen by k-center ({coreset})", "k-center"),
        "full": (f"all training data, {network} (one net, not by the protocol above, in no difference)", ""),
    }[name]
    labelled_as = winner.hyperparameters if relabels(plan.method) and name != "full" else {}
    return Arm(name, name, title, short, None, {}, baseline=name, labelled_as=labelled_as)


def title_with_labels(arm: Arm, regime: str) -> str:
    """The arm's title; real images say it where they were evaluated with a teacher's labels."""
    if arm.baseline is None or regime != "soft":
        return arm.title
    images, bracket, rest = arm.title.partition(" (")
    return f"{images}{SAME_TEACHER}{bracket}{rest}"


def report_seeds(config: StudyConfig, count: int) -> list[int]:
    """The first `count` report seeds: fresh, the same for all arms."""
    return [derive_seed(config.seed, "report", index) & 0x7FFFFFFF for index in range(count)]


def main_net(config: StudyConfig) -> str:
    """The architecture that decides the winner and the headline."""
    return (config.confirm.nets or [config.evaluation.net])[0]


def compared_steps(plan: Plan, winner: Arm) -> int:
    """Optimisation steps of a network that is trained on the winner's images for the study's epochs."""
    config = plan.config
    values = jobs.resolve(plan.method, plan.context, winner.hyperparameters).model_dump()
    return equal_steps.optimisation_steps(
        config.evaluation.protocol or plan.method.protocol_for(plan.context),
        config.confirm.epochs or config.evaluation.epochs,
        plan.method.training_images(plan.context, values),
    )
