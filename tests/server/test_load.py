"""Eight studies logging at once through the server into PostgreSQL: nothing lost, nothing twice."""

import time

import pytest

pytestmark = pytest.mark.slow


def test_eight_studies_with_20000_points_lose_nothing(studies):
    eight = studies("eight", studies=8, trials=5, steps=50)
    assert eight.points == 20_000
    begun = time.perf_counter()
    eight.run(pause=0.1)
    seconds = time.perf_counter() - begun
    eight.check()
    print(f"8 studies, {eight.points} points, {eight.stored()} stored, {seconds:.1f} s")


def test_a_server_that_is_killed_in_the_middle_and_comes_back_loses_nothing(server, studies):
    eight = studies("killed", studies=8, trials=5, steps=50)
    at_the_kill = []

    def kill():
        end = time.monotonic() + 120
        while eight.stored() < eight.points // 4:
            assert time.monotonic() < end
            time.sleep(0.05)
        server.kill()
        at_the_kill.append(eight.stored())
        time.sleep(5)
        server.start()

    eight.run(pause=0.4, meanwhile=kill, patience=400)
    assert eight.points // 4 <= at_the_kill[0] < eight.points  # it was in the middle
    eight.check()
    print(f"killed at {at_the_kill[0]} of {eight.points} points; {eight.stored()} stored in the end")
