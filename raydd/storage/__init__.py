"""What outlives a run: distilled sets on disk, networks trained once per study, and facts about the code."""

from __future__ import annotations

from raydd.storage.assets import AssetStore
from raydd.storage.bank import TargetBank
from raydd.storage.distilled import DistilledSet
from raydd.storage.preview import preview_grid, regions_picture
from raydd.storage.provenance import SCHEMA, git_commit, manifest, versions
from raydd.storage.teacher import Teacher

__all__ = [
    "SCHEMA",
    "AssetStore",
    "DistilledSet",
    "TargetBank",
    "Teacher",
    "git_commit",
    "manifest",
    "preview_grid",
    "regions_picture",
    "versions",
]
