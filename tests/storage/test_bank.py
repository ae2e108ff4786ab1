import shutil
import weakref

import pytest
import torch

from raydd.storage import TargetBank
from raydd.storage.bank import BLOCK, CHAIN_EVERY

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


KIB = 2**10


def chained(bank, iterations, state=KIB, statistics=4 * KIB):
    """Compute `iterations` whose statistics and states have so many bytes each.

    Returns:
        The positions whose states were made.
    """
    made = []
    for iteration in iterations:

        def make_state(iteration=iteration):
            made.append(iteration)
            return {
                "position": torch.tensor(iteration),
                "weights": torch.full((state // 4,), float(iteration)),
            }

        bank.get(iteration, lambda: {"means": torch.zeros(statistics // 4)}, make_state)
    return made


def kept(bank):
    return sorted(int(path.stem) for path in (bank.folder / "chain").glob("*.safetensors"))


def blocks(bank):
    return sorted(int(path.stem) for path in bank.folder.glob("*.safetensors"))


def held_after_an_iteration(bank):
    """Whether the bank holds the statistics of the first iteration, which nobody else does."""
    made = {"means": torch.zeros(5)}
    seen = weakref.ref(made["means"])
    bank.get(0, lambda made=made: made)
    del made
    return seen() is not None


def test_statistics_are_held_only_while_their_block_can_become_a_file(tmp_path, monkeypatch):
    assert held_after_an_iteration(TargetBank(tmp_path, {}, CPU))
    monkeypatch.setenv("RAYDD_BANK_GB", "0")
    assert not held_after_an_iteration(TargetBank(tmp_path, {}, CPU))
    monkeypatch.undo()
    late = TargetBank(tmp_path, {}, CPU)
    late.get(1, lambda: {"means": torch.zeros(5)})
    assert held_after_an_iteration(
        late
    )  # asked back for the first iteration: the block can still become whole


def test_a_block_that_is_entered_late_holds_nothing(tmp_path):
    made = {"means": torch.zeros(5)}
    seen = weakref.ref(made["means"])
    bank = TargetBank(tmp_path, {}, CPU)
    bank.get(BLOCK + 1, lambda made=made: made)
    del made
    assert seen() is None


@pytest.mark.parametrize(("bytes_", "stored"), [(4 * KIB, [0, 1]), (4 * KIB + 4, [])])
def test_of_a_block_that_is_too_large_nothing_is_kept(tmp_path, monkeypatch, bytes_, stored):
    monkeypatch.setattr("raydd.storage.bank.BLOCK_BYTES", BLOCK * 4 * KIB)
    bank = TargetBank(tmp_path, {}, CPU)
    chained(bank, range(2 * BLOCK), statistics=bytes_)
    assert blocks(bank) == stored
    assert len(kept(bank)) == min(1, len(stored))


def test_of_whole_blocks_only_the_newest_state_is_kept(tmp_path):
    bank = TargetBank(tmp_path, {}, CPU)
    chained(bank, range(3 * BLOCK))
    assert kept(bank) == [3 * BLOCK - 1]


def test_a_state_stays_while_the_block_behind_it_is_missing(tmp_path):
    chained(TargetBank(tmp_path, {}, CPU), range(2 * BLOCK))
    bank = TargetBank(tmp_path, {}, CPU)
    chained(bank, range(2 * BLOCK + 5, 5 * BLOCK))  # continued within block 2
    assert blocks(bank) == [0, 1, 3, 4]
    assert kept(bank) == [2 * BLOCK - 1, 5 * BLOCK - 1]
    assert float(bank.chain(2 * BLOCK)["weights"][0]) == 2 * BLOCK - 1
    other = TargetBank(tmp_path, {}, CPU)
    chained(other, range(3 * BLOCK))  # fills block 2, whose own state nobody needs
    assert blocks(bank) == [0, 1, 2, 3, 4]
    assert kept(bank) == [5 * BLOCK - 1]


def test_states_larger_than_their_blocks_come_every_so_many_blocks(tmp_path):
    bank = TargetBank(tmp_path, {}, CPU)
    made = chained(bank, range(2 * CHAIN_EVERY * BLOCK - 1), state=2 * BLOCK * KIB, statistics=KIB)
    assert kept(bank) == [CHAIN_EVERY * BLOCK - 1]
    assert made == [BLOCK - 1, CHAIN_EVERY * BLOCK - 1]  # the first shows how large they are
    chained(bank, [2 * CHAIN_EVERY * BLOCK - 1], state=2 * BLOCK * KIB, statistics=KIB)
    assert kept(bank) == [2 * CHAIN_EVERY * BLOCK - 1]


def test_the_nearest_state_that_can_be_read_is_found(tmp_path):
    bank = TargetBank(tmp_path, {}, CPU)
    chained(bank, range(BLOCK))
    folder = bank.folder / "chain"
    (folder / "000019.safetensors").symlink_to(
        tmp_path / "gone"
    )  # listed, and no longer there when it is read
    (folder / "000029.safetensors").write_bytes(b"damaged")
    assert int(bank.chain(35)["position"]) == BLOCK - 1
    assert bank.chain(BLOCK - 2) is None
    assert bank.chain(35, after=BLOCK - 1) is None
    assert chained(bank, range(BLOCK, 2 * BLOCK)) == [2 * BLOCK - 1]  # neither is in the way


def test_states_count_for_the_limit_of_all_banks(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYDD_BANK_GB", str(100 * KIB / 2**30))
    first, second = TargetBank(tmp_path, {"seed": 0}, CPU), TargetBank(tmp_path, {"seed": 1}, CPU)
    chained(first, range(BLOCK), state=39 * KIB, statistics=4 * KIB)
    assert (blocks(first), kept(first)) == ([0], [BLOCK - 1])
    chained(second, range(BLOCK), statistics=4 * KIB)  # 40 and 39 KiB are taken, 40 wanted
    assert (blocks(second), kept(second)) == ([], [])
    shutil.rmtree(first.folder / "chain")
    chained(TargetBank(tmp_path, {"seed": 1}, CPU), range(BLOCK), statistics=4 * KIB)
    assert blocks(second) == [0]


def test_a_state_without_room_is_not_kept_and_one_may_take_its_predecessors_place(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYDD_BANK_GB", str(130 * KIB / 2**30))
    bank = TargetBank(tmp_path, {}, CPU)
    chained(
        bank, range(2 * BLOCK), state=39 * KIB, statistics=4 * KIB
    )  # 80 KiB of blocks; two states do not fit
    assert (blocks(bank), kept(bank)) == ([0, 1], [2 * BLOCK - 1])
    monkeypatch.setenv("RAYDD_BANK_GB", str(70 * KIB / 2**30))
    small = TargetBank(tmp_path / "small", {}, CPU)
    chained(small, range(BLOCK), state=39 * KIB, statistics=4 * KIB)
    assert (blocks(small), kept(small)) == ([0], [])


def test_what_is_kept_free_on_the_disk_is_kept_free_of_states_too(tmp_path, monkeypatch):
    monkeypatch.setattr("raydd.storage.bank.KEEP_FREE_GB", 1.0)
    bank = TargetBank(tmp_path, {}, CPU)

    def usage(_):
        stored = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
        return shutil._ntuple_diskusage(2**40, 0, 2**30 + 70 * KIB - stored)

    monkeypatch.setattr("raydd.storage.bank.shutil.disk_usage", usage)
    chained(bank, range(BLOCK), state=39 * KIB, statistics=4 * KIB)
    assert (blocks(bank), kept(bank)) == ([0], [])
