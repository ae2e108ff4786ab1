"""A wheel of raydd that is sent to workers is what they import, methods and all."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raydd.config import ResourcesConfig
from raydd.tuning import cluster, preflight

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", str(folder)], check=True, timeout=300)
    (made,) = folder.glob("raydd-*.whl")
    return made


def test_the_published_numbers_are_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert "search_spaces/published_numbers.csv" in archive.namelist()


def test_workers_import_raydd_from_the_wheel_and_find_its_methods(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Ray puts the driver's working folder first on the workers' path
    monkeypatch.delenv("PYTHONPATH", raising=False)

    def look():  # nested, so that Ray sends it whole
        import raydd
        from raydd import registry
        from raydd.tuning import preflight

        return raydd.__file__, registry.names(), preflight.facts("iid")

    with cluster.session(ResourcesConfig(code=str(wheel))) as ray:
        file, names, facts = ray.get(ray.remote(num_cpus=0)(look).remote())
    assert "py_modules_files" in file  # where Ray keeps what was sent
    assert str(ROOT) not in file
    assert "iid" in names
    assert preflight.differing(preflight.facts("iid"), facts) == ""
