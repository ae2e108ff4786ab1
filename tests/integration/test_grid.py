"""A grid on a real Ray: every setting with every seed, the confirmation, more replicates, figures and the table."""

import pytest
from click.testing import CliRunner

from raydd import files, tuning
from raydd.cli import main
from raydd.report.figures import heat_map
from raydd.report.figures.choice import Choice

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def swept(tmp_path_factory, small, run):
    home = tmp_path_factory.mktemp("grid")
    search = {
        "grid": {"lambda_cc": [0.0, 0.05], "lambda_cm": [0.0, 0.01]},
        "replicates": 2,
        "concurrency": 1,
        "fix": {
            "net": "convnet-w8",
            "batch_real": 16,
            "pool_net": "convnet-w8",
            "pool_size": 1,
            "pool_epochs": 1,
            "cc_form": "sum",
        },
    }
    return run(small(home, "swept", search=search, confirm__top=2, confirm__baselines=["random"]))


def drawn(study):
    rows = [
        files.read_json(study.trial_folder(number) / "hyperparameters.json") for number in study.numbers()
    ]
    return [
        (row["values"]["lambda_cc"], row["values"]["lambda_cm"], row["replicate"], row["seed"])
        for row in rows
    ]


def test_every_setting_is_run_with_every_seed(swept, runs_of, pixels):
    study, result = swept
    assert result.exit_code == 0
    rows = drawn(study)
    assert rows[0] == (0.05, 0.01, 0, 0)
    assert sorted(rows) == sorted((cc, cm, r, r) for cc in (0.0, 0.05) for cm in (0.0, 0.01) for r in (0, 1))
    assert {trial.outcome for trial in study.trials()} == {"complete"}
    _, _, children = runs_of(study)
    tags = [
        (child.data.tags["raydd.replicate"], child.data.tags["raydd.seed"], child.data.tags["raydd.source"])
        for child in children
    ]
    assert [tag[:2] for tag in tags] == [(str(row[2]), str(row[3])) for row in rows]
    assert [tag[2] for tag in tags] == ["default"] + ["grid"] * 7
    twice = rows.index((0.05, 0.01, 1, 1))
    assert not (pixels(study, 0) == pixels(study, twice)).all()


def test_the_confirmation_takes_settings_and_not_their_replicates(swept):
    study, _ = swept
    candidates = [row["trial"] for row in study.report()["rerank"] if row["trial"] is not None]
    settings = [study.trial(number).hyperparameters for number in candidates]
    assert len(settings) in (2, 3)  # the best two, and trial 0 where it is not among them
    assert all(study.trial(number).replicate == 0 for number in candidates)
    assert all(settings.count(one) == 1 for one in settings)


def test_the_map_has_a_mean_over_replicates_in_every_cell(swept):
    study, _ = swept
    found = heat_map.heat_map(study, "lambda_cc", "lambda_cm", Choice("grid"))
    assert found.n.tolist() == [[2, 2], [2, 2]]
    own = [
        trial.val_accuracy
        for trial in study.trials()
        if (trial.values["lambda_cc"], trial.values["lambda_cm"]) == (0.05, 0.01)
    ]
    assert found.mean[1, 1] == pytest.approx(sum(own) / 2)


@pytest.mark.parametrize("kind", ["iid-ablation", "feature-distance", "tsne", "class-distribution"])
def test_figures_are_drawn_from_it(swept, tmp_path, kind):
    study, _ = swept
    out = tmp_path / "figure.png"
    result = CliRunner().invoke(
        main, ["figure", kind, "swept", "--out", str(out), "--home", str(study.home)], catch_exceptions=False
    )
    assert result.output == f"wrote {out}\n"
    assert out.stat().st_size > 10_000


def test_the_table_has_its_figures(swept):
    study, _ = swept
    text = (
        CliRunner().invoke(main, ["table", "swept", "--home", str(study.home)], catch_exceptions=False).output
    )
    winner = study.report()["arms"][0]
    assert f"{100 * winner['mean']:.1f} [" in text or f"**{100 * winner['mean']:.1f}** [" in text
    assert "| digits | 10 |" not in text
    assert "| digits | 2 | IID" in text


def test_more_replicates_go_on_where_the_grid_has_ended(swept):
    study, _ = swept
    before = drawn(study)
    with tuning.Progress(live=False) as progress:
        result = tuning.resume(study, progress, tuning.More(replicates=3))
    assert result.exit_code == 0
    assert drawn(study)[:8] == before
    further = drawn(study)[8:]
    assert sorted(further) == [(0.0, 0.0, 2, 2), (0.0, 0.01, 2, 2), (0.05, 0.0, 2, 2), (0.05, 0.01, 2, 2)]
