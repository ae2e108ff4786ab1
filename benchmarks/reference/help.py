"""A script that imports what it may need at its top, as the authors' do; it is run for its `--help`."""

import argparse

import numpy
import scipy.ndimage
import torch


def main() -> None:
    versions = f"torch {torch.__version__}, numpy {numpy.__version__}, scipy {scipy.__version__}"
    parser = argparse.ArgumentParser(description="Distil a dataset.")
    parser.add_argument("--ipc", type=int, default=1, help="images per class")
    parser.add_argument("--iterations", type=int, default=20_000, help="how many")
    parser.add_argument("--version", action="version", version=versions)
    parser.parse_args()


if __name__ == "__main__":
    main()
