import io
import math
import pickle
import threading

from rich.console import Console

from raydd.tuning.progress import Progress


def report(progress, number=0, outcome=None, accuracy=0.523, iteration=100):
    progress.trial(
        number,
        iteration=iteration,
        iterations=200,
        val_accuracy=accuracy,
        std=0.004,
        outcome=outcome,
        hyperparameters={"lr_img": 1.0, "form": "[red]sum"},
        source="model",
        seconds=12.34,
    )


def plain(width=40):
    buffer = io.StringIO()
    return Progress(Console(file=buffer, width=width, markup=False, highlight=False)), buffer


def live():
    buffer = io.StringIO()
    console = Console(file=buffer, width=200, height=40, force_terminal=True, color_system=None)
    return Progress(console), buffer


def test_without_a_terminal_an_ended_trial_is_one_line_however_narrow():
    progress, buffer = plain()
    progress.search_started(trials=2, iterations=200, unit="iterations")
    report(progress, 3, "complete")
    assert buffer.getvalue().splitlines() == [
        "2 trials of up to 200 iterations",
        "trial 3 complete: 100/200, val 52.3 ± 0.4 %, 12.3 s, model, form=[red]sum lr_img=1 "
        "[1 of 2 trials done, 0 running, best 52.3 % (search estimate)]",
    ]


def test_without_a_terminal_running_trials_are_silent_until_the_heartbeat(monkeypatch):
    progress, buffer = plain()
    progress.search_started(trials=2, iterations=200, unit="iterations")
    said = buffer.getvalue()
    report(progress, 0, accuracy=math.nan)
    assert buffer.getvalue() == said
    monkeypatch.setattr("raydd.tuning.progress.HEARTBEAT", 0.0)
    report(progress, 1, accuracy=0.1)
    assert buffer.getvalue() == said + "0 of 2 trials done, 2 running, best - % (search estimate)\n"


def test_only_complete_trials_are_the_best():
    progress, buffer = plain()
    progress.search_started(trials=2, iterations=200, unit="iterations")
    report(progress, 0, "pruned", accuracy=0.9)
    report(progress, 1, "complete", accuracy=0.4)
    assert buffer.getvalue().splitlines()[-1].endswith("best 40.0 % (search estimate)]")


def test_stages_units_messages_and_warnings_are_lines():
    progress, buffer = plain()
    progress.stage("assets")
    progress.units("assets", 1, 2)  # too soon after the last line
    progress.units("assets", 2, 2)
    progress.message("hello [bold]")
    progress.warning("disk is full")
    assert buffer.getvalue() == "assets ...\nassets: 2/2\nhello [bold]\nwarning: disk is full\n"


def test_on_a_terminal_the_table_shows_running_trials_and_goes_away_at_the_end():
    progress, buffer = live()
    with progress:
        progress.stage("search")
        progress.search_started(trials=16, iterations=200, unit="iterations")
        report(progress, 0, "complete", accuracy=0.523, iteration=200)
        report(progress, 7, accuracy=math.nan)
        progress.message("a line that stays")
        progress.console.print(progress._render())
    shown = buffer.getvalue()
    assert "a line that stays" in shown
    assert "running" in shown
    assert "52.3 ± 0.4" in shown
    assert "form=[red]sum lr_img=1" in shown
    assert "1 of 16 trials done, 1 running, best 52.3 % (search estimate)" in shown
    assert not progress.console._live_stack


def test_running_trials_come_first_then_complete_ones_by_accuracy():
    progress, _ = live()
    for number, (outcome, accuracy) in enumerate(
        [("pruned", 0.9), ("complete", 0.3), ("complete", 0.4), (None, 0.1)]
    ):
        report(progress, number, outcome, accuracy=accuracy)
    progress.close()
    assert list(progress._table().columns[0].cells) == ["3", "2", "1", "0"]


def test_a_pickled_display_is_a_fresh_one():
    progress, _ = live()
    progress.search_started(trials=2, iterations=200, unit="iterations")
    report(progress, 0)
    copy = pickle.loads(pickle.dumps(progress))
    progress.close()
    assert (copy._rows, copy._live) == ({}, None)


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_a_closed_pipe_does_not_reach_the_search():
    for terminal in (False, True):
        with Progress(Console(file=Broken(), force_terminal=terminal)) as progress:
            progress.stage("search")
            progress.message("x")
            report(progress, 0, "complete")
            progress.units("report", 1, 2)


def test_reports_from_many_threads_are_all_counted():
    progress, buffer = plain()
    progress.search_started(trials=40, iterations=200, unit="iterations")
    threads = [
        threading.Thread(
            target=lambda start=start: [report(progress, start + i, "complete") for i in range(10)]
        )
        for start in range(0, 40, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = buffer.getvalue().splitlines()[1:]
    assert len(lines) == 40
    assert all(line.startswith("trial ") and line.endswith("(search estimate)]") for line in lines)
    assert "40 of 40 trials done" in lines[-1]
