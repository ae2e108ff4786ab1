"""The regions of synthetic images that UDD trains on again: those that a proxy network makes least of.

UDD (arXiv 2408.16268) released no code; what its page leaves open is our reading, docs/methods.md, UDD.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from raydd.devices import Compute
from raydd.distillation.responses import RESPONSE_FORMS, overhang, resized_map, response_map
from raydd.distillation.scores import crop_scores, images_at_once, jitter_scores, mean_in_windows, placed
from raydd.distillation.windows import sources, windows
from raydd.errors import ConfigError, unknown
from raydd.formation import crop_regions
from raydd.nets import Network, Passes
from raydd.normalisation import Normalisation

POLICIES = ("auto", "jitter", "most_used", "random", "response")
SCHEMES = ("crop", "feature")


def lowest(scores: Tensor, regions: int) -> Tensor:
    """Indices of the `regions` lowest scores of each row, the lowest first; ties take the lowest index.

    Args:
        scores: (..., M).
        regions: at most M.

    Returns:
        int64, (..., regions).
    """
    return scores.sort(dim=-1, stable=True).indices[..., :regions]


def drawn(rows: int, candidates: int, regions: int, generator: torch.Generator) -> Tensor:
    """Indices drawn uniformly without replacement for each row: int64 (rows, regions) in [0, candidates)."""
    # float64: two equal keys, which would favour the lower index, do not occur
    keys = torch.rand(rows, candidates, dtype=torch.float64, generator=generator)
    return keys.argsort(dim=1)[:, :regions]


def assembled_map(maps: Tensor, sources: Tensor, size: int) -> Tensor:
    """Maps of the sources put together in stored pixels; where sources overlap, their mean.

    Args:
        maps: (N, S, side, side).
        sources: int64 (S, 3), covering the image.
        size: H, side of the stored image.

    Returns:
        (N, H, H).
    """
    total = maps.new_zeros(len(maps), size, size)
    count = maps.new_zeros(size, size)
    for i, (y, x, side) in enumerate(sources.tolist()):
        total[:, y : y + side, x : x + side] += maps[:, i]
        count[y : y + side, x : x + side] += 1.0
    return total / count


class RegionSelector:
    """Chooses the regions of synthetic images under a fixed proxy network.

    Every source (a cell of multi-formation, or the stored image) has the same candidate windows. The network
    sees a source cropped from the stored pixels, upsampled bilinearly to the full size and normalised. Under
    `response` and `jitter` the windows of lowest score are chosen, under `most_used` those of highest response
    score, under `random` any; the last two are controls. `auto` is `response` where the network's map has at
    least n x n positions, else `jitter`.

    Args:
        net: the proxy network, trained on real data.
        compute: where and how. `jitter` is computed in float32 always, as differences of logits are small.
        normalisation: of the network's inputs.
        size: H, side of the stored images in pixels.
        factor: of multi-formation, >= 1.
        images: usual number of images of a call, which decides how large the passes are; others work too.
        grid_size: n; n x n window positions in a source, >= 1.
        region_scale: side of a window as a share of the source's, in (0, 1]; several pool their windows.
        region_source: `sub_image` or `image`.
        regions: k, windows chosen in each source, 1 to the number of candidates.
        policy: `response`, `jitter`, `random`, `most_used` or `auto`.
        scheme: of the response score: `feature`, the mean of the response map over the window, or `crop`, the
            true class's logit of the upsampled window.
        response_form: of the response map: `activation` or `evidence`.
        jitter_std: of the noise, in units of [0, 1] pixels, > 0.
        jitter_draws: m, >= 1.

    Attributes:
        windows: candidates within a source, int64 (M, 3).
        sources: int64 (S, 3).

    Raises:
        ConfigError: an argument is unknown or out of range.
    """

    def __init__(
        self,
        net: Network,
        compute: Compute,
        normalisation: Normalisation,
        size: int,
        factor: int,
        images: int,
        *,
        grid_size: int = 3,
        region_scale: float | tuple[float, ...] = 0.5,
        region_source: str = "sub_image",
        regions: int = 1,
        policy: str = "response",
        scheme: str = "feature",
        response_form: str = "activation",
        jitter_std: float = 0.1,
        jitter_draws: int = 4,
    ) -> None:
        for field, kind, name, allowed in (
            ("policy", "policy", policy, POLICIES),
            ("scheme", "scheme", scheme, SCHEMES),
            ("response_form", "form", response_form, RESPONSE_FORMS),
        ):
            if name not in allowed:
                raise ConfigError(f"{field}: {unknown(kind, name, allowed)}")
        if not jitter_std > 0.0 or jitter_draws < 1:
            raise ConfigError(
                f"jitter: needs jitter_std > 0 and jitter_draws >= 1, got {jitter_std} and {jitter_draws}"
            )
        self.sources = sources(size, factor, region_source)
        self.side = int(self.sources[0, 2])
        self.windows = windows(self.side, grid_size, region_scale)
        if not 1 <= regions <= len(self.windows):
            raise ConfigError(
                f"regions: must be 1 to {len(self.windows)}, the windows that grid_size {grid_size} and "
                f"region_scale {region_scale} give in {self.side} px, got {regions}"
            )
        self.normalisation, self.size = normalisation, size
        self.grid_size, self.regions = grid_size, regions
        self.policy, self.scheme, self.response_form = policy, scheme, response_form
        self.jitter_std, self.jitter_draws = jitter_std, jitter_draws

        count = len(self.sources)
        score_compute, views = compute, count * len(self.windows)
        if policy in ("jitter", "auto"):
            views = count * (1 + jitter_draws * len(self.windows))
            score_compute = dataclasses.replace(compute, precision="fp32")
        self.map_passes = self._passes(compute, images, count)
        self.score_passes = self._passes(score_compute, images, views)
        self.net = self.map_passes.place(net)
        self.beyond = overhang(net, size)

    def _passes(self, compute: Compute, images: int, views: int) -> Passes:
        """Passes over `images` images of `views` views, which are made for some images at once."""
        batch = min(images, images_at_once(self.size, views)) * views
        return Passes(compute, image_gradient=False, batch=batch, size=self.size)

    @property
    def regions_an_image(self) -> int:
        """R, boxes of an image: sources x regions."""
        return len(self.sources) * self.regions

    @torch.no_grad()
    def choose(self, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The regions of every image.

        Args:
            pixels: stored, in [0, 1], (N, C, H, H), on the device.
            labels: int64 (N,).
            generator: CPU generator; read by `random` and `jitter` only.

        Returns:
            Boxes, int64 (N, R, 3) of (y0, x0, side) in stored pixels, source by source, within a source the first
            choice first, on the CPU.
        """
        count, labels = len(self.sources), labels.to(pixels.device)
        if self.policy == "random":
            rows = drawn(len(pixels) * count, len(self.windows), self.regions, generator)
            chosen = rows.unflatten(0, (len(pixels), count))
        else:
            maps, positions = self._source_maps(pixels, labels)
            policy = self.policy
            if policy == "auto":
                policy = "response" if positions >= self.grid_size else "jitter"
            scores = self._scores(policy, pixels, labels, maps, generator)
            chosen = lowest(-scores if policy == "most_used" else scores, self.regions).cpu()
        at = placed(self.windows, self.sources)  # (S, M, 3)
        return at[torch.arange(count)[:, None], chosen].flatten(1, 2)

    @torch.no_grad()
    def maps(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Response maps, float32 (N, H, H), of stored images (N, C, H, H) in [0, 1]; the same for every policy."""
        maps, _ = self._source_maps(pixels, labels.to(pixels.device))
        return assembled_map(maps.unflatten(0, (-1, len(self.sources))), self.sources, self.size)

    def _source_maps(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        """Maps (N * S, side, side) of all sources, and the positions along a side that the network's own map has."""
        maps, count = [], len(self.sources)
        at_once = images_at_once(self.size, count)
        for part, of in zip(pixels.split(at_once), labels.split(at_once)):
            views = crop_regions(part, self.sources.expand(len(part), -1, -1))
            seen = self.normalisation.apply(views.flatten(0, 1))
            of_view = of.repeat_interleave(count)
            coarse = response_map(self.net, seen, of_view, self.map_passes, self.response_form)
            maps.append(resized_map(coarse, self.side, self.beyond))
        return torch.cat(maps), min(coarse.shape[1:])

    def _scores(
        self, policy: str, pixels: Tensor, labels: Tensor, maps: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Scores (N, S, M) of all windows of all sources."""
        if policy == "jitter":
            shape = (self.jitter_draws, *pixels.shape[1:])
            noise = (self.jitter_std * torch.randn(shape, generator=generator)).to(pixels.device)
            return jitter_scores(
                self.net,
                pixels,
                self.sources,
                self.windows,
                self.normalisation,
                self.score_passes,
                noise,
            )
        if self.scheme == "crop":
            boxes = placed(self.windows, self.sources).flatten(0, 1)
            scores = crop_scores(self.net, pixels, labels, boxes, self.normalisation, self.score_passes)
            return scores.unflatten(1, (len(self.sources), -1))
        return mean_in_windows(maps, self.windows).unflatten(0, (len(pixels), -1))
