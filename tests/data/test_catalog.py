from __future__ import annotations

import subprocess
import sys

from raydd.data import catalog, load_data, names


def test_the_catalog_is_sorted_and_says_what_digits_are():
    assert names() == ["cifar10", "cifar100", "digits", "fashionmnist", "mnist", "svhn"]
    assert [info.name for info in catalog()] == names()
    digits = catalog()[2]
    data = load_data("digits")
    assert (digits.channels, digits.size, digits.classes) == (data.channels, data.size, data.classes)
    assert digits.train == len(data.train) + len(data.val) + len(data.test)


def test_listing_datasets_imports_neither_torch_nor_pillow_nor_scikit_learn():
    code = (
        "import sys; from raydd.data.catalog import catalog; catalog();"
        "print([m for m in ('torch', 'torchvision', 'PIL', 'sklearn', 'pydantic') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
