"""A study leaves its report at its end, in its folder and in MLflow; one that cannot be written costs a warning."""

import pytest

import raydd
from raydd import tuning

pytestmark = pytest.mark.integration


def refuse(study):
    raise RuntimeError("no pen")


def test_a_study_ends_with_a_report_in_its_folder_and_on_its_parent_run(small, tmp_path, runs_of, capfd):
    changes = {"search__trials": 2, "confirm__baselines": ["random"], "confirm__top": 1}
    result = raydd.search(small(tmp_path, "reported", **changes))
    study = tuning.Study.open(tmp_path, "reported")
    assert result.page == study.folder / "report" / "report.html"
    text = result.page.read_text()
    assert "The study is running" not in text
    assert f"{100 * study.report()['arms'][0]['mean']:.1f}" in text
    pngs = {path.name for path in result.page.parent.glob("*.png")}
    assert {"arms.png", "history.png", "curves.png"} <= pngs
    client, parent, _ = runs_of(study)
    kept = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    assert {f"report/{name}" for name in {"report.html", *pngs}} <= kept

    result.page.unlink()
    with tuning.Progress(live=False) as progress:
        again = tuning.confirm(study, progress, reporter=refuse)
    assert (again.exit_code, again.page) == (0, None)
    assert "report: not written (no pen); `raydd report reported" in "".join(capfd.readouterr())
    assert not result.page.exists()
