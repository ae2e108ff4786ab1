import os

import numpy
import pytest
import safetensors.numpy

from raydd import files

TEACHER = "teacher-aaaaaaaaaaaaaaaa"
POOL = "pool-bbbbbbbbbbbbbbbb"
BASELINE = "features-cccccccccccccccc"
IDLE = "pool-dddddddddddddddd"


def items(home, *flags, field="items"):
    found = {}
    for item in home.told("gc", *flags)[field]:
        found.setdefault(item["kind"], []).append(os.path.relpath(item["path"], home.folder))
    return found


def whys(home):
    return {os.path.basename(item["path"]): item["why"] for item in home.told("gc")["items"] if item["why"]}


@pytest.fixture
def used(home, grow_old):
    """A finished study that needs three assets, each known in another way, and leftovers of all kinds."""
    study = home.study(search__trials=1)
    home.trial(study, [0.1], "complete")
    records = [{"key": POOL.partition("-")[2] + 48 * "0", "sha256": "11"}]
    files.write_json(study.folder / "assets.json", records)
    files.write_json(study.folder / "confirm" / "baselines.json", {"sha256": "22"})
    metadata = {"raydd": f'{{"labels":{{"teacher":{{"asset":"{TEACHER}"}}}}}}'}
    arrays = {"pixels": numpy.zeros(3, numpy.float32)}
    content = safetensors.numpy.save(arrays, metadata=metadata)
    files.write_bytes(home.folder / "sets" / "of-mine.safetensors", content)
    home.asset(TEACHER)
    home.asset(POOL, "11")
    home.asset(BASELINE, "22")
    home.asset(IDLE, "33")
    files.write_bytes(home.folder / "bank" / ("0" * 32) / "000000.safetensors", bytes(500))
    files.write_bytes(study.folder / "ray" / "tune" / "tuner.pkl", bytes(70))
    leftover = study.trial_folder(0) / ".end.json.abcd_123"
    leftover.write_text("half")
    grow_old(leftover)
    (home.folder / "mlflow.db").write_bytes(bytes(40))
    files.write_bytes(home.folder / "artifacts" / "1" / "x", bytes(30))
    return study


def test_everything_is_told_by_kind_and_nothing_is_deleted(home, used):
    files_before = sorted(home.folder.rglob("*"))
    assert items(home) == {
        "study": ["studies/first"],
        "asset in use": [f"assets/{name}" for name in (BASELINE, POOL, TEACHER)],
        "unused asset": [f"assets/{IDLE}"],
        "target bank": ["bank/" + "0" * 32],
        "ray leftover": ["studies/first/ray"],
        "temporary leftover": ["studies/first/trials/0/.end.json.abcd_123"],
        "mlflow store": ["mlflow.db"],
        "artifacts": ["artifacts"],
        "other": ["."],
    }
    sizes = {item["kind"]: item["size"] for item in home.told("gc")["items"]}
    assert (sizes["target bank"], sizes["ray leftover"], sizes["mlflow store"]) == (500, 70, 40)
    assert (sizes["artifacts"], sizes["temporary leftover"]) == (30, 4)
    in_all = sum(item["size"] for item in home.told("gc")["items"])
    assert in_all == sum(path.stat().st_size for path in home.folder.rglob("*") if path.is_file())
    said = home.said("gc")
    assert "target bank (limit 4 GiB)" in said
    assert "`raydd gc --delete` would free " in said
    assert sorted(home.folder.rglob("*")) == files_before


def test_delete_takes_what_nobody_needs_and_leaves_the_rest(home, used):
    before = {path for path in home.folder.rglob("*") if path.is_file()}
    gone = items(home, "--delete", field="deleted")
    assert gone == {
        "unused asset": [f"assets/{IDLE}"],
        "target bank": ["bank/" + "0" * 32],
        "ray leftover": ["studies/first/ray"],
        "temporary leftover": ["studies/first/trials/0/.end.json.abcd_123"],
    }
    after = {path for path in home.folder.rglob("*") if path.is_file()}
    deleted = [home.folder / path for paths in gone.values() for path in paths]
    assert before - after == {path for path in before if any(path.is_relative_to(root) for root in deleted)}
    assert after <= before
    assert not list(home.folder.rglob(".removed"))
    assert "there is nothing to delete" in home.said("gc")


def test_nothing_that_a_running_study_may_use_is_deleted(home, used):
    used.lock()
    assert items(home, "--delete", field="deleted") == {}
    why = "study first is running and may be about to use it"
    assert whys(home) == {
        IDLE: why,
        "0" * 32: "study first is running and may be reading it",
        "ray": "its study is running",
        ".end.json.abcd_123": "its study is running",
    }
    assert f"stays: unused asset {home.folder}/assets/{IDLE}, because {why}" in home.said("gc")


def test_assets_stay_while_a_study_has_not_written_down_its_own(home, used):
    home.study("begun", measured=False)
    assert whys(home) == {IDLE: "study begun has not written down its assets yet; resume or remove it first"}
    assert "unused asset" not in items(home, "--delete", field="deleted")
    assert (home.folder / "assets" / IDLE).exists()


def test_assets_stay_while_it_is_not_known_who_needs_them(home, used, monkeypatch):
    (used.folder / "assets.json").write_text("{")
    assert set(whys(home).values()) == {"study first has a damaged file that says what it needs"}
    monkeypatch.setenv("RAYDD_ASSETS", str(home.folder / "assets"))
    shared = f"{home.folder}/assets is a folder that other homes may share"
    assert whys(home) == dict.fromkeys((IDLE, POOL, BASELINE), shared)
    home.said("gc", "--delete")
    assert (home.folder / "assets" / IDLE).exists()


def test_what_was_written_within_the_hour_stays(home, used, grow_old):
    fresh = used.trial_folder(0) / ".end.json.abcd_999"
    fresh.write_text("half")
    grow_old(home.folder / "assets" / IDLE, 600)
    assert whys(home) == {IDLE: "it was made within the last hour"}
    home.said("gc", "--delete")
    assert fresh.exists()
    assert (home.folder / "assets" / IDLE).exists()


@pytest.mark.parametrize("name", [".mine", ".mlflow.db.lock", ".notes.settings", "end.json.abcd_123"])
def test_a_file_that_is_no_leftover_of_ours_stays(home, used, grow_old, name):
    own = used.folder / name
    own.write_text("x")
    grow_old(own)
    home.said("gc", "--delete")
    assert own.exists()


def test_a_removal_that_was_cut_off_is_finished(home, used, grow_old):
    half = home.folder / "studies" / ".removed" / "gone.0123abcd"
    files.write_json(half / "study.yaml", {})
    grow_old(half)
    assert [row["name"] for row in home.told("list")] == ["first"]
    assert "studies/.removed/gone.0123abcd" in items(home, "--delete", field="deleted")["temporary leftover"]
    assert not half.parent.exists()


def test_links_to_elsewhere_are_left_alone(home, used, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    used.folder.rename(elsewhere)
    used.folder.symlink_to(elsewhere)
    (home.folder / "bank").rename(tmp_path / "bank")
    (home.folder / "bank").symlink_to(tmp_path / "bank")
    home.said("gc", "--delete")
    assert (elsewhere / "ray" / "tune" / "tuner.pkl").exists()
    assert (tmp_path / "bank" / ("0" * 32)).exists()


def test_a_home_that_is_not_there_is_refused(home):
    assert home.refused("gc") == f"home: there is no folder {home.folder}"


def test_a_study_that_begins_after_the_look_keeps_what_it_may_need(home, used):
    from raydd.tuning import cleaning

    found = cleaning.survey(home.folder)
    late = home.study(name="late", running=True)
    kept = {item.path.name: item.why for item in cleaning.sweep(found) if not item.deletable}
    assert "a study has been started meanwhile" in kept[IDLE]
    assert late.folder.exists()
    assert (home.folder / "assets" / IDLE).exists()


def test_comparisons_are_told_and_stay_and_what_a_killed_writer_left_of_them_goes(home, grow_old):
    page = home.folder / "reports" / "first-second" / "report.html"
    files.write_bytes(page, bytes(60))
    cut_off = page.with_name(".report.html.abcd_123")
    cut_off.write_bytes(bytes(20))
    grow_old(cut_off)
    assert items(home) == {
        "comparison": ["reports/first-second"],
        "temporary leftover": ["reports/first-second/.report.html.abcd_123"],
    }
    assert items(home, "--delete", field="deleted") == {
        "temporary leftover": ["reports/first-second/.report.html.abcd_123"]
    }
    assert page.exists()
    assert not cut_off.exists()
