"""Speed and memory of every step, against plain loops of the authors' procedures; `python -m benchmarks`."""
