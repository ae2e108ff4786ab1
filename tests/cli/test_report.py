import os

import pytest
from click.testing import CliRunner

from raydd import config as configuration
from raydd.cli import main
from raydd.report.page import comparison_folder
from raydd.tuning.studies import Study


@pytest.fixture
def home(tmp_path):
    """Two studies that were just made."""
    for name in ("first", "second"):
        values = {"method": "iid", "name": name, "home": str(tmp_path), "iterations": 4}
        Study.create(configuration.build(values), {"study_id": "0"}).unlock()
    return tmp_path


def report(home, *arguments):
    return CliRunner().invoke(main, ["report", *arguments, "--home", str(home)])


def test_a_report_goes_into_the_studys_folder_and_its_path_is_printed(home):
    result = report(home, "first")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(home / "studies" / "first" / "report" / "report.html")
    assert "No trial has begun yet." in (home / "studies/first/report/report.html").read_text()


def test_several_studies_go_into_one_page_of_the_home_or_where_one_says(home):
    assert report(home, "first", "second").stdout.strip() == str(home / "reports/first+second/report.html")
    assert report(home, "first", "second", "--out", str(home / "o")).stdout.strip() == str(
        home / "o/report.html"
    )


def test_every_comparison_has_a_folder_of_its_own(home):
    def folder(*names):
        return comparison_folder([Study(home / "studies" / name) for name in names])

    assert folder("a-b", "c") == home / "reports" / "a-b+c"
    assert folder("a", "b-c") == home / "reports" / "a+b-c"
    long = [letter * 64 for letter in "abcd"]
    assert folder(*long[:3]) != folder(*long[:2], long[3])
    assert len(folder(*long).name) == 120


@pytest.mark.parametrize("names", [["first"], ["first", "second"]])
@pytest.mark.parametrize("mine", ["contours.png", "results-soft.png", "report.html"])
def test_files_of_somebody_else_are_neither_replaced_nor_deleted(home, names, mine):
    folder = home / "paper"
    folder.mkdir()
    (folder / mine).write_text("mine")
    result = report(home, *names, "--out", str(folder))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--out: {folder} holds a {mine} that no report has left there" in result.stderr
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(mine, "mine")]
    (folder / mine).rename(folder / "other.png")
    assert report(home, *names, "--out", str(folder)).exit_code == 0
    assert report(home, *names, "--out", str(folder)).exit_code == 0  # over its own
    assert (folder / "other.png").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_named(home):
    (home / "file").write_text("mine")
    result = report(home, "first", "--out", str(home / "file"))
    assert (result.exit_code, result.stderr) == (2, f"error: {home / 'file'}: File exists\n")


def test_a_study_that_is_not_there_is_named_and_nothing_is_written(home):
    result = report(home, "first", "scond")
    assert result.exit_code == 2
    assert "error: " in result.stderr
    assert "scond" in result.stderr
    assert not (home / "reports").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(home):
    (home / "closed").mkdir(mode=0o500)
    result = report(home, "first", "--out", str(home / "closed" / "x"))
    assert result.exit_code == 2
    assert "closed" in result.stderr
