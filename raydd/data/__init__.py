"""Datasets: the catalog, folders of images, splits, and `ImageData`, the images of one split."""

from raydd.data.catalog import DatasetInfo, catalog, names
from raydd.data.images import ArrayImages, ImageData, MappedImages
from raydd.data.load import load_data
from raydd.data.splits import DataSplits

__all__ = [
    "ArrayImages",
    "DataSplits",
    "DatasetInfo",
    "ImageData",
    "MappedImages",
    "catalog",
    "load_data",
    "names",
]
