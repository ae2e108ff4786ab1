"""Whether to compile follows from numbers; that compiling works is proved by compiling."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from raydd import compiling
from raydd.errors import ConfigError

LONG, SHORT = 600_000.0, 500.0


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine on whose PATH there is nothing."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    compiling.obstacle.cache_clear()
    yield
    compiling.obstacle.cache_clear()


@pytest.mark.parametrize(
    ("gigaflops", "threads", "device", "pays"),
    [
        # 60,000 GFLOP are 600 s of one thread, of which compiling saves 90 s: what it takes.
        (60_000, 1, "cpu", False),
        (60_200, 1, "cpu", True),
        (120_000, 2, "cpu", False),
        (120_200, 2, "cpu", True),
        (6_000_000, 1, "cuda", False),
        (6_020_000, 64, "cuda", True),
        (0, 1, "cpu", False),
    ],
)
def test_compiling_pays_when_it_saves_more_than_90_seconds(gigaflops, threads, device, pays):
    assert compiling.worth(gigaflops, threads, device) is pays


def test_in_bfloat16_compiling_pays_much_sooner_on_a_cpu_and_no_sooner_on_a_gpu():
    # 6,750 GFLOP are 112.5 s of one thread, of which compiling saves 90 s.
    assert [compiling.worth(work, 1, "cpu", "mixed") for work in (6_750, 6_800)] == [False, True]
    assert not compiling.worth(6_800, 1, "cpu", "fp32")
    assert not compiling.worth(6_000_000, 1, "cuda", "mixed")


@pytest.mark.parametrize(
    ("gigaflops", "text"),
    [
        (0.2, "less than 1 GFLOP"),
        (503.7, "about 500 GFLOP"),
        (1_234_567, "about 1,200,000 GFLOP"),
    ],
)
def test_amounts_have_two_digits(gigaflops, text):
    assert compiling.amount(gigaflops) == text


@pytest.mark.usefixtures("no_compiler")
def test_a_short_run_stays_eager_without_looking_for_a_compiler():
    compiled, why = compiling.resolve("auto", SHORT, 1)
    assert not compiled
    assert why == "about 500 GFLOP of network arithmetic, too little for compiling to pay"
    assert compiling.resolve("off", LONG, 1) == (False, "as asked for")
    assert compiling.obstacle.cache_info().currsize == 0


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_auto_is_off_and_on_is_refused():
    compiler = "clang++" if sys.platform == "darwin" else "g++"
    said = f"there is no C++ compiler here: {compiler} is not on PATH"
    assert compiling.resolve("auto", LONG, 1) == (False, f"compiling would pay, but {said}")
    with pytest.raises(ConfigError) as caught:
        compiling.resolve("on", SHORT, 1)
    assert str(caught.value) == f"compile: 'on' cannot be done, because {said}; use off or auto"


def test_a_compiler_that_cxx_names_is_the_one_that_counts(monkeypatch):
    monkeypatch.setenv("CXX", "g++-of-nobody")
    compiling.obstacle.cache_clear()
    assert (
        compiling.obstacle() == "there is no C++ compiler here: g++-of-nobody (named by CXX) is not on PATH"
    )
    compiling.obstacle.cache_clear()


@pytest.mark.parametrize("setting", ["yes", "", "On", 1])
def test_other_settings_are_refused_with_what_is_allowed(setting):
    with pytest.raises(ConfigError, match=r"^compile: unknown setting .*\(allowed: auto, off, on\)$"):
        compiling.resolve(setting, LONG, 1)


def test_booleans_are_words():
    assert [compiling.word(value) for value in (True, False, "auto", 3)] == ["on", "off", "auto", 3]
    assert compiling.resolve(False, LONG, 1) == (False, "as asked for")


def test_a_line_tells_precision_path_and_reason():
    assert compiling.line("fp32", False, "as asked for") == "computed in fp32, eager: as asked for"
    assert compiling.line("mixed", True, "") == "computed in mixed, compiled"


def test_bfloat16_is_warned_of_where_it_is_slower():
    import torch

    assert compiling.caution("fp32", "cpu", False) is None
    assert compiling.caution("bf16", "cuda", False) is None
    eager, compiled = compiling.caution("mixed", "cpu", False), compiling.caution("mixed", "cpu", True)
    if torch.cpu._is_avx512_bf16_supported():
        assert eager == "mixed is slower than fp32 on a CPU unless networks are compiled"
        assert compiled is None
    else:
        assert eager.startswith("mixed is slower than fp32")


def in_a_process(code, **environment):
    """What `code` prints in a fresh process that begins with `compiling.prepare()`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR")}
    begun = "import os\nfrom raydd import compiling\ncompiling.prepare()\nimport torch\n"
    done = subprocess.run(
        [sys.executable, "-c", begun + code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_kernels_are_kept_where_all_trials_find_them(tmp_path):
    (tmp_path / "file").touch()
    code = """
def prepared(cache, own=None):
    os.environ["RAYDD_CACHE"] = cache
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
    if own is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = own
    compiling.prepare.cache_clear()
    compiling.prepare()
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR")

first = os.environ["TORCHINDUCTOR_CACHE_DIR"]
root = os.path.dirname(os.environ["RAYDD_CACHE"])
folder = os.path.dirname(first)
kind = os.path.basename(first)
cpu = compiling._cpu()
torch.set_num_threads(torch.get_num_threads() + 1)
other = os.path.basename(compiling.cache_folder())
torch.set_num_threads(torch.get_num_threads() - 1)
assert kind != other, "kernels of another number of threads"
compiling._cpu = lambda: ["another"]
assert kind != os.path.basename(compiling.cache_folder()), "kernels of another CPU"
compiling._cpu = lambda cpu=cpu: cpu
written_by_torch = os.path.dirname(prepared(root, "/tmp/torchinductor_me"))
print(folder, prepared(root, "/mine"), prepared(root + "/file/cache"), written_by_torch)
"""
    assert in_a_process(code, RAYDD_CACHE=str(tmp_path / "cache"), TMPDIR="/tmp") == [
        str(tmp_path / "cache" / "inductor"),
        "/mine",  # the user's own choice
        "None",  # torch's choice, where ours cannot be written
        str(tmp_path / "inductor"),  # torch wrote its choice down before
    ]


@pytest.mark.parametrize("switch", compiling.SWITCHES)
def test_an_environment_that_switches_compiling_off_is_an_obstacle_and_never_runs_eager(switch, monkeypatch):
    monkeypatch.setenv(switch, "1")
    compiling.obstacle.cache_clear()
    assert compiling.obstacle() == f"{switch}=1 switches it off"
    compiling.obstacle.cache_clear()
    code = """
from raydd.errors import ConfigError
try:
    compiling.prepare.cache_clear()
    compiling.prepare()
except ConfigError as error:
    print(str(error).replace(" ", "_"))
"""
    monkeypatch.delenv(switch)
    (line,) = in_a_process(f"os.environ[{switch!r}] = '1'\n" + code)
    assert line == f"compile:_{switch}=1_switches_compiling_off;_unset_it_or_use_off"


def test_a_function_of_many_shapes_is_compiled_for_each_and_never_runs_eager_unnoticed(tmp_path):
    code = """
count = 0

def backend(graph, inputs):
    global count
    count += 1
    return graph.forward

function = torch.compile(lambda x: x + 1, backend=backend, dynamic=False)
for length in range(2, 32):
    function(torch.zeros(length))
print(count)
torch._dynamo.config.recompile_limit = 30
try:
    function(torch.zeros(99))
except Exception as error:
    print(type(error).__name__)
"""
    assert in_a_process(code, RAYDD_CACHE=str(tmp_path)) == ["30", "FailOnRecompileLimitHit"]


@pytest.mark.slow
def test_a_machine_with_a_compiler_has_no_obstacle():
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler here")
    compiling.obstacle.cache_clear()
    assert compiling.obstacle() is None
    assert compiling.resolve("on", SHORT, 1) == (True, "as asked for")
    assert compiling.resolve("auto", LONG, 1) == (
        True,
        "about 600,000 GFLOP of network arithmetic, enough for compiling to pay",
    )


@pytest.mark.slow
def test_a_compiler_that_does_not_find_pythons_headers_is_an_obstacle(tmp_path, monkeypatch):
    real = shutil.which("g++")
    if real is None:
        pytest.skip("no g++ here")
    include = re.escape(sysconfig.get_path("include"))
    wrapper = tmp_path / "g++"
    wrapper.write_text(
        f"#!{sys.executable}\nimport os, re, sys\n"
        f"kept = [a for a in sys.argv[1:] if not re.match(r'-I{include}', a)]\n"
        f"os.execv({real!r}, [{real!r}, *kept])\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    compiling.obstacle.cache_clear()
    assert compiling.obstacle() == (
        "Python's header files are missing here (Python.h, in Debian's and Ubuntu's python3-dev)"
    )
    compiling.obstacle.cache_clear()


@pytest.mark.integration
def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text('#!/bin/sh\nexec g++ "$@" -fno-such-flag\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    compiling.obstacle.cache_clear()
    problem = compiling.obstacle()
    assert problem.startswith("a trial compilation failed: ")
    assert "-fno-such-flag" in problem
    compiling.obstacle.cache_clear()
