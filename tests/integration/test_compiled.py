"""A study whose networks are compiled and computed in bfloat16 where that is allowed, on a real Ray."""

import pytest

from raydd import DistilledSet, compiling, files
from raydd.tuning.search import reopen
from raydd.tuning.studies import Study

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COMPUTED = {"precision": "mixed", "path": "compiled"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, small, run):
    """A finished study of DM with `--precision mixed --compile on`; read only."""
    if compiling.obstacle() is not None:
        pytest.skip(compiling.obstacle())
    home = tmp_path_factory.mktemp("home")
    changes = {"search__fix": {"net": "convnet-w8", "batch_real": 16}, "search__trials": 2}
    return run(small(home, "first", method="dm", precision="mixed", compile="on", **changes))


def test_trials_re_ranking_and_report_are_all_computed_as_the_study_says(compiled):
    study, result = compiled
    assert result.exit_code == 0
    sets = sorted(study.folder.rglob("distilled.safetensors"))
    # two trials, two re-ranked with one seed each, and two or three arms of the report with two seeds each
    assert len(sets) >= 2 + 2 + 4
    assert [DistilledSet.load(path).manifest["computed"] for path in sets] == [COMPUTED] * len(sets)
    assert {trial.outcome for trial in study.trials()} == {"complete"}


def test_the_study_remembers_how_it_is_computed_and_goes_on_so(compiled):
    study, _ = compiled
    assert (study.config.precision, study.config.compile) == ("mixed", "on")
    assert files.read_json(study.folder / "provenance.json")["computed"] == COMPUTED
    again = Study.open(study.home, study.name)
    plan = reopen(again)
    again.unlock()
    # so brief a study would be eager if it were decided anew
    assert (plan.config.compile, plan.context.compiled, plan.context.precision) == ("on", True, "mixed")


def test_all_trials_share_the_kernels_of_one_folder(compiled):
    assert any(compiling.cache_folder().rglob("*.so"))
