"""Formation: how a distilled set's stored pixels begin, and how they become the images that a network is trained on."""

from __future__ import annotations

from raydd.formation.cells import PADS, cell_views
from raydd.formation.decode import FORMS, IDENTITY, cells_spec, check_decode, decode, view_sources, views
from raydd.formation.initial import INITS, RESIZES, initial_images, initial_labels
from raydd.formation.regions import check_boxes, crop_regions

__all__ = [
    "FORMS",
    "IDENTITY",
    "INITS",
    "PADS",
    "RESIZES",
    "cell_views",
    "cells_spec",
    "check_boxes",
    "check_decode",
    "crop_regions",
    "decode",
    "initial_images",
    "initial_labels",
    "view_sources",
    "views",
]
