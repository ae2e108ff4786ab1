import shutil

import pytest
import torch

from raydd.storage import TargetBank
from raydd.storage.bank import BLOCK

CPU = torch.device("cpu")


def statistics(iteration):
    return {"means": torch.full((2, 3), float(iteration)), "covariances": torch.eye(3) * iteration}


def fill(bank, iterations, made):
    for iteration in iterations:

        def compute(iteration=iteration):
            made.append(iteration)
            return statistics(iteration)

        found = bank.get(iteration, compute)
        assert all(torch.equal(found[name], tensor) for name, tensor in statistics(iteration).items())


def test_the_second_reader_computes_nothing(tmp_path):
    first, second = [], []
    fill(TargetBank(tmp_path, {"seed": 0}, CPU), range(2 * BLOCK), first)
    fill(TargetBank(tmp_path, {"seed": 0}, CPU), range(2 * BLOCK), second)
    assert first == list(range(2 * BLOCK))
    assert second == []


def test_other_facts_are_another_bank(tmp_path):
    fill(TargetBank(tmp_path, {"seed": 0}, CPU), range(BLOCK), [])
    made = []
    fill(TargetBank(tmp_path, {"seed": 1}, CPU), range(BLOCK), made)
    assert made == list(range(BLOCK))


def test_a_block_that_was_not_finished_is_computed_again(tmp_path):
    fill(TargetBank(tmp_path, {}, CPU), range(BLOCK + 3), [])
    made = []
    fill(TargetBank(tmp_path, {}, CPU), range(2 * BLOCK), made)
    assert made == list(range(BLOCK, 2 * BLOCK))


def test_a_damaged_block_is_computed_again(tmp_path):
    bank = TargetBank(tmp_path, {}, CPU)
    fill(bank, range(BLOCK), [])
    (bank.folder / "000000.safetensors").write_bytes(b"damaged")
    made = []
    fill(TargetBank(tmp_path, {}, CPU), range(BLOCK), made)
    assert made == list(range(BLOCK))


@pytest.mark.parametrize("reason", ["limit", "disk"])
def test_a_full_bank_stores_nothing_and_gives_the_same_statistics(tmp_path, monkeypatch, reason):
    if reason == "limit":
        monkeypatch.setenv("RAYDD_BANK_GB", "0")
    else:
        full = shutil._ntuple_diskusage(10, 10, 0)
        monkeypatch.setattr("raydd.storage.bank.shutil.disk_usage", lambda _: full)
    bank = TargetBank(tmp_path, {}, CPU)
    fill(bank, range(2 * BLOCK), [])
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "bank").write_text("a file where the folder should be")
    fill(TargetBank(tmp_path / "bank", {}, CPU), range(BLOCK), [])
