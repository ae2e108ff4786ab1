from __future__ import annotations

import json
import platform

import torch

from raydd.tuning import provenance


def test_passwords_are_left_out_of_the_command_line():
    arguments = [
        "raydd",
        "search",
        "--tracking-uri",
        "http://ada:geheim@h",
        "--token",
        "geheim",
        "--api-key=geheim",
    ]
    assert provenance.command_line(arguments) == [
        *("raydd", "search", "--tracking-uri", "http://ada:***@h", "--token", "***", "--api-key=***")
    ]


def test_ordinary_arguments_stay_as_they_are():
    arguments = [
        "raydd",
        "search",
        "iid",
        "--ipc",
        "10",
        "--fix",
        "lr_img=1.0",
        "--range",
        "lambda_cc=0.1..1",
    ]
    assert provenance.command_line(arguments) == arguments


def test_versions_are_those_that_run():
    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__
    assert all(versions[name] for name in ("raydd", "ray", "optuna", "mlflow"))


def test_the_facts_are_json_and_name_machine_and_code():
    facts = provenance.provenance(["raydd"])
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == {
        *("time", "command", "folder", "host", "user", "git", "versions", "platform", "cpu", "cores", "gpus")
    }
    assert facts["command"] == ["raydd"]
    assert facts["cpu"]
    assert facts["user"]
    assert facts["cores"] >= 1


def test_run_tags_say_who_and_what():
    tags = provenance.source_tags()
    assert tags["mlflow.user"] == provenance.user()
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["raydd.version"] == provenance.versions()["raydd"]
    assert all(isinstance(value, str) for value in tags.values())
    commit = provenance.git().get("commit")
    assert tags.get("mlflow.source.git.commit") == commit
