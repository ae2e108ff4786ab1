"""`hf`: a folder as the Hugging Face hub expects a dataset: a parquet file, and a data card (`README.md`).

The parquet file is what `datasets` writes for the columns image, label and, with soft labels, logits: pictures as 8-bit
PNG bytes, and the types of the columns in the schema, so that `load_dataset` gives pictures and named classes. Beside
it lies `distilled.safetensors`, the set bit for bit, from which raydd reads the folder again.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.storage.formats.card import card
from raydd.storage.formats.content import Content, images_of, labels_of, tensor_of
from raydd.storage.formats.folder import eight_bit, pixels_of

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet

DATA = "data/train-00000-of-00001.parquet"
SET = "distilled.safetensors"


def is_content(path: Path) -> bool:
    """Whether a folder is of this format."""
    return any((path / "data").glob("*.parquet"))


def read(path: Path, channels: int | None = None) -> Content:
    """The pictures of the train split's parquet files, whoever wrote them.

    Args:
        path: the folder.
        channels: 1 (grey) or 3 (RGB); None is grey where all pictures are.

    Raises:
        ArtifactError: there is no such file, or it has no columns image and label, or labels that are no numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    found = sorted((path / "data").glob("train*.parquet")) or sorted((path / "data").glob("*.parquet"))
    if not found:
        raise ArtifactError(f"{path} is no dataset of the Hugging Face hub: it has no data/*.parquet")
    try:
        tables = [parquet.read_table(file) for file in found]
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{found[0]} is not a whole parquet file: {str(error).splitlines()[0]}") from None
    names = set(tables[0].column_names)
    picture = next((name for name in ("image", "img") if name in names), None)
    label = next((name for name in ("label", "labels", "fine_label") if name in names), None)
    if picture is None or label is None:
        raise ArtifactError(
            f"{found[0]} needs the columns image and label; it has {', '.join(sorted(names))}"
        )
    rows = [row for table in tables for row in table.to_pylist()]
    pictures = [_decoded(row[picture], f"{found[0]}, row {number}") for number, row in enumerate(rows)]
    where = [f"{found[0]}, row {number}" for number in range(len(rows))]
    if not rows:
        raise ArtifactError(f"{found[0]} has no rows")
    labels, logits = labels_of([row[label] for row in rows], len(rows), f"{found[0]}, column {label}")
    if "logits" in names:
        logits = tensor_of([row["logits"] for row in rows], f"{found[0]}, column logits").to(torch.float32)
    return Content(
        images_of(pixels_of(pictures, where, channels), str(path)),
        "unit",
        labels,
        logits,
        class_names=_class_names(tables[0].schema, label),
    )


def _decoded(cell: Any, where: str) -> Any:
    from PIL import Image

    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise ArtifactError(f"{where} holds no picture's bytes")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return picture.copy()
    except (OSError, ValueError, Image.DecompressionBombError):
        raise ArtifactError(f"{where} holds no whole picture") from None


def _class_names(schema: Any, label: str) -> tuple[str, ...] | None:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, ValueError, TypeError):
        return None


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write the folder."""
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from PIL import Image

    arrays, notes = eight_bit(distilled)
    names = [str(name) for name in distilled.manifest.get("class_names") or range(distilled.classes)]
    pictures = []
    for number, array in enumerate(arrays):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, format="PNG")
        pictures.append({"bytes": buffer.getvalue(), "path": f"{number:05d}.png"})
    columns: dict[str, Any] = {
        "image": pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array(distilled.targets.tolist(), pa.int64()),
    }
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    if distilled.logits is not None:
        columns["logits"] = pa.array(distilled.logits.float().tolist(), pa.list_(pa.float32()))
        features["logits"] = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    with files.atomic_folder(path) as folder:
        files.write_bytes(folder / DATA, buffer.getvalue())
        distilled.save(folder / SET, preview=folder / "grid.png")
        files.write_text(folder / "README.md", card(distilled, names, len(buffer.getvalue())))
    return [
        *notes,
        f"{SET} beside them is the set bit for bit",
        "fill in the licence in README.md before it is published",
    ]
