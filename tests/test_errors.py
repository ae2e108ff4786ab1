import pickle

from raydd.errors import ConfigError, RayddError, StageFailed, unknown


def test_unknown_names_the_nearest_and_all_that_is_allowed():
    assert (
        unknown("method", "idd", ["iid", "dm"])
        == "unknown method 'idd': did you mean 'iid'? (allowed: dm, iid)"
    )
    assert unknown("dataset", "zzz", ["digits"]) == "unknown dataset 'zzz' (allowed: digits)"
    assert unknown("study", "a", []) == "unknown study 'a' (allowed: none)"


def test_config_error_keeps_every_problem_also_through_pickle():
    error = pickle.loads(pickle.dumps(ConfigError(["a: bad", "b: worse"])))
    assert error.problems == ["a: bad", "b: worse"]
    assert str(error) == "a: bad\nb: worse"


def test_exit_codes_are_those_of_the_contract():
    assert (RayddError.exit_code, ConfigError("x").exit_code, StageFailed.exit_code) == (2, 2, 1)
