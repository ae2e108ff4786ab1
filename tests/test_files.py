import json
import multiprocessing

import pytest

from raydd import files


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        files.write_json(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_atomic_folder_appears_whole_or_not_at_all(tmp_path):
    def write_half():
        with files.atomic_folder(tmp_path / "a") as folder:
            (folder / "x").write_text("1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with files.atomic_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "x").read_text() == "1"


def test_the_first_writer_of_a_folder_wins(tmp_path):
    with files.atomic_folder(tmp_path / "a") as second:
        (second / "x").write_text("second")
        with files.atomic_folder(tmp_path / "a") as first:
            (first / "x").write_text("first")
    assert (tmp_path / "a" / "x").read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_jsonl_skips_a_line_that_a_crash_cut_off(tmp_path):
    path = tmp_path / "h.jsonl"
    files.append_jsonl(path, {"a": 1})
    files.append_jsonl(path, {"a": 2})
    with path.open("a") as file:
        file.write('{"a": 3')
    assert files.read_jsonl(path) == [{"a": 1}, {"a": 2}]
    files.append_jsonl(path, {"a": 4})
    assert files.read_jsonl(path) == [{"a": 1}, {"a": 2}, {"a": 4}]
    assert files.read_jsonl(tmp_path / "none.jsonl") == []


def test_digest_ignores_the_order_of_keys_and_sees_values():
    assert files.digest({"a": 1, "b": [1, 2]}) == files.digest({"b": [1, 2], "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 2})


def _try_lock(path, answers):
    answers.put(files.FileLock(path).acquire())


def test_the_lock_excludes_other_processes_until_it_is_released(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    lock = files.FileLock(tmp_path / "lock")
    assert lock.acquire()
    for expected in (False, True):
        process = context.Process(target=_try_lock, args=(tmp_path / "lock", answers))
        process.start()
        assert answers.get(timeout=60) is expected
        process.join()
        lock.release()


def test_those_who_only_look_do_not_take_each_other_for_the_holder(tmp_path):
    looking, other, holder = (files.FileLock(tmp_path / "lock") for _ in range(3))
    assert looking.acquire(shared=True)
    assert other.acquire(shared=True)
    assert not holder.acquire()
    looking.release()
    other.release()
    assert holder.acquire()
    assert not looking.acquire(shared=True)
