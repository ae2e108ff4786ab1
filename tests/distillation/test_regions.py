"""Which regions are chosen: by hand, by loops, and by chance."""

from __future__ import annotations

import pytest
import torch

from raydd import nets
from raydd.devices import Compute
from raydd.distillation import regions, scores
from raydd.distillation.regions import RegionSelector, assembled_map, drawn, lowest
from raydd.distillation.responses import response_map
from raydd.distillation.scores import jitter_scores, mean_in_windows, placed
from raydd.distillation.windows import sources, windows
from raydd.errors import ConfigError
from raydd.formation import crop_regions
from raydd.nets import Passes
from raydd.nets.convnet import ConvNet
from raydd.normalisation import Normalisation
from raydd.seeding import generator

CPU = Compute(torch.device("cpu"))
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def brightness_net(size: int = 16, classes: int = 2) -> ConvNet:
    """One block that hands the image's brightness on; its logits weigh every position alike, by the class."""
    net = ConvNet(3, size, classes, width=2, depth=1)
    net.blocks[1] = torch.nn.Identity()  # instance norm would hide a uniform brightness
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.blocks[0].weight[0, :, 1, 1] = 1 / 3
        for class_ in range(classes):
            net.classifier.weight[class_, : size**2 // 4] = 1.0 if class_ == 0 else -1.0
    return net


def selector(net: nets.Network | None = None, size: int = 16, factor: int = 2, **settings) -> RegionSelector:
    return RegionSelector(net or brightness_net(size), CPU, PLAIN, size, factor, 2, **settings)


def bright_but(*dark: tuple[int, int, int], size: int = 16) -> torch.Tensor:
    """One bright image with dark squares (y, x, side)."""
    pixels = torch.full((1, 3, size, size), 0.9)
    for y, x, side in dark:
        pixels[:, :, y : y + side, x : x + side] = 0.0
    return pixels


def both(
    chooser: RegionSelector, pixels: torch.Tensor, labels: torch.Tensor, stream: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes and maps."""
    return chooser.choose(pixels, labels, stream), chooser.maps(pixels, labels)


def test_the_lowest_score_is_chosen_and_ties_take_the_lowest_index() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, -1.0, 0.0]])
    assert lowest(scores, 1).tolist() == [[1], [0], [2]]
    assert lowest(scores, 3).tolist() == [[1, 3, 2], [0, 1, 2], [2, 0, 1]]
    assert lowest(-scores, 2).tolist() == [[0, 2], [0, 1], [0, 1]]


def test_a_hand_made_map_gives_its_dark_window() -> None:
    maps = torch.ones(1, 8, 8)
    maps[0, 2:6, 4:8] = 0.1  # the window in the middle of the right border
    best = windows(8, 3, 0.5)[lowest(mean_in_windows(maps, windows(8, 3, 0.5)), 1)[0, 0]]
    assert best.tolist() == [2, 4, 4]


def test_random_choice_is_uniform_and_without_replacement() -> None:
    rows = drawn(20000, 9, 3, generator(0, "regions"))
    assert all(len(set(row)) == 3 for row in rows[:2000].tolist())
    expected, sd = 20000 * 3 / 9, (20000 * (1 / 3) * (2 / 3)) ** 0.5
    assert (torch.bincount(rows.flatten(), minlength=9) - expected).abs().max() < 4.5 * sd
    firsts = torch.bincount(rows[:, 0], minlength=9) - 20000 / 9
    assert firsts.abs().max() < 4.5 * (20000 * (1 / 9) * (8 / 9)) ** 0.5
    assert torch.equal(rows, drawn(20000, 9, 3, generator(0, "regions")))


def test_maps_of_overlapping_sources_are_averaged_where_they_overlap() -> None:
    places = sources(5, 2)  # cells of 3 px that share the row and the column 2
    maps = torch.arange(1.0, 5.0).view(1, 4, 1, 1).expand(1, 4, 3, 3)
    whole = assembled_map(maps, places, 5)[0]
    assert whole[0].tolist() == [1.0, 1.0, 1.5, 2.0, 2.0]
    assert whole[2].tolist() == [2.0, 2.0, 2.5, 3.0, 3.0]
    assert whole[4].tolist() == [3.0, 3.0, 3.5, 4.0, 4.0]


DARK = ((0, 4, 4), (4, 8, 4), (12, 0, 4), (8, 12, 4))  # one quarter in every cell of 8 px


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": "response"},
        {"policy": "response", "response_form": "evidence"},
        {"policy": "response", "scheme": "crop"},
        {"policy": "auto"},
    ],
    ids=str,
)
def test_the_response_policies_find_the_dark_quarter_of_every_cell(settings) -> None:
    chooser = selector(grid_size=2, region_scale=0.5, **settings)
    boxes, maps = both(chooser, bright_but(*DARK), torch.tensor([0]), generator(0, "regions"))
    assert boxes.dtype == torch.int64
    assert boxes[0].tolist() == [list(box) for box in DARK]
    assert maps.shape == (1, 16, 16)
    for y, x, side in DARK:
        inside = float(maps[0, y : y + side, x : x + side].mean())
        assert inside < 0.3 * float(maps[0].max())


@pytest.mark.parametrize("scheme", ["feature", "crop"])
def test_evidence_and_crops_read_the_true_class(scheme: str) -> None:
    # For class 1 brightness speaks against the class, so that the dark quarter is the most used one.
    settings = {"grid_size": 2, "region_scale": 0.5, "response_form": "evidence", "scheme": scheme}
    pixels, label = bright_but(*DARK), torch.tensor([1])
    least, _ = both(selector(**settings), pixels, label, generator(0, "regions"))
    most, _ = both(selector(policy="most_used", **settings), pixels, label, generator(0, "regions"))
    assert most[0].tolist() == [list(box) for box in DARK]
    assert not {tuple(box) for box in least[0].tolist()} & set(DARK)


def test_jitter_finds_the_window_that_the_logits_do_not_read() -> None:
    net = brightness_net()
    with torch.no_grad():  # the logits see all but the upper right quarter of what is shown
        net.classifier.weight.view(2, 2, 8, 8)[:, :, :4, 4:] = 0.0
    chooser = selector(net, grid_size=2, region_scale=0.5, policy="jitter")
    boxes, _ = both(chooser, torch.full((1, 3, 16, 16), 0.5), torch.tensor([0]), generator(0, "regions"))
    assert boxes[0].tolist() == [[0, 4, 4], [0, 12, 4], [8, 4, 4], [8, 12, 4]]


def test_jitter_draws_normal_noise_of_its_std_over_the_stored_image() -> None:
    net = nets.build("convnet-w4", channels=3, size=16, classes=3, generator=generator(0, "net"))
    pixels, labels = torch.rand(2, 3, 16, 16, generator=generator(1, "x")), torch.tensor([2, 0])
    chooser = selector(net, policy="jitter", regions=9, jitter_std=0.3, jitter_draws=2)
    boxes, _ = both(chooser, pixels, labels, generator(3, "regions"))
    noise = 0.3 * torch.randn(2, 3, 16, 16, generator=generator(3, "regions"))
    scores = jitter_scores(net, pixels, chooser.sources, chooser.windows, PLAIN, chooser.score_passes, noise)
    expected = placed(chooser.windows, chooser.sources)[torch.arange(4)[:, None], scores.argsort(dim=-1)]
    assert torch.equal(boxes, expected.flatten(1, 2))


def test_maps_at_28_px_leave_out_what_the_network_adds_around_the_image() -> None:
    net = nets.build("convnet-w4", channels=3, size=28, classes=3, generator=generator(0, "net"))
    pixels = torch.rand(1, 3, 28, 28, generator=generator(1, "x"))
    _, maps = both(selector(net, size=28, factor=1), pixels, torch.tensor([0]), generator(3, "regions"))
    with torch.no_grad():
        coarse = net.unpooled_features(pixels).mean(dim=1, keepdim=True)  # covers 32 px
    whole = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(maps, whole[:, 0, 2:30, 2:30])


def test_auto_is_jitter_where_the_map_is_coarser_than_the_grid() -> None:
    net = nets.build("resnet18-w2", channels=3, size=16, classes=2, generator=generator(0, "net"))  # 4 x 4
    pixels, labels = torch.rand(2, 3, 16, 16, generator=generator(1, "x")), torch.tensor([0, 1])

    def chosen(policy: str, grid_size: int) -> torch.Tensor:
        chooser = selector(net, policy=policy, grid_size=grid_size, region_scale=0.25, regions=2)
        return both(chooser, pixels, labels, generator(2, "regions"))[0]

    assert torch.equal(chosen("auto", 4), chosen("response", 4))
    assert torch.equal(chosen("auto", 5), chosen("jitter", 5))
    assert not torch.equal(chosen("jitter", 5), chosen("response", 5))


def test_windows_of_the_whole_image_may_straddle_cells() -> None:
    chooser = selector(grid_size=3, region_scale=0.5, region_source="image")
    boxes, maps = both(chooser, bright_but((4, 4, 8)), torch.tensor([0]), generator(0, "regions"))
    assert boxes.tolist() == [[[4, 4, 8]]]
    # the image is seen as it is, so that the map is the network's own
    seen = response_map(
        chooser.net,
        bright_but((4, 4, 8)),
        torch.tensor([0]),
        Passes(CPU, image_gradient=False, batch=1, size=16),
    )
    torch.testing.assert_close(maps, seen)


def test_a_constant_image_gives_the_first_windows() -> None:
    net = brightness_net()
    with torch.no_grad():
        net.blocks[0].weight.zero_()
        net.blocks[0].bias.fill_(0.1)
    boxes, _ = both(
        selector(net, regions=2, region_scale=(0.5, 0.3)),
        torch.rand(2, 3, 16, 16, generator=generator(1, "x")),
        torch.tensor([0, 1]),
        generator(0, "regions"),
    )
    expected = [[y, x, 4] for y0 in (0, 8) for x0 in (0, 8) for y, x in ((y0, x0), (y0, x0 + 2))]
    assert boxes.tolist() == [expected, expected]


@pytest.mark.parametrize("policy", ["response", "jitter", "most_used"])
def test_an_images_regions_do_not_depend_on_the_others(policy: str) -> None:
    net = nets.build("convnet-w4", channels=3, size=16, classes=3, generator=generator(0, "net"))
    pixels, labels = torch.rand(7, 3, 16, 16, generator=generator(1, "x")), torch.arange(7) % 3
    chooser = selector(net, policy=policy, regions=2)
    together, maps = both(chooser, pixels, labels, generator(3, "regions"))
    alone = [both(chooser, pixels[i : i + 1], labels[i : i + 1], generator(3, "regions")) for i in range(7)]
    assert torch.equal(together, torch.cat([boxes for boxes, _ in alone]))
    torch.testing.assert_close(maps, torch.cat([map_ for _, map_ in alone]))


def test_the_choice_equals_a_loop_over_images_cells_and_windows() -> None:
    net = nets.build("convnet-w4", channels=3, size=16, classes=3, generator=generator(0, "net"))
    normalisation = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    pixels, labels = torch.rand(3, 3, 16, 16, generator=generator(1, "x")), torch.tensor([2, 0, 1])
    chooser = RegionSelector(net, CPU, normalisation, 16, 2, 3, regions=2, response_form="evidence")
    boxes, maps = both(chooser, pixels, labels, generator(0, "regions"))
    assert chooser.regions_an_image == boxes.shape[1] == 8
    for n in range(3):
        expected = []
        for y0 in (0, 8):
            for x0 in (0, 8):
                view = crop_regions(pixels[n : n + 1], torch.tensor([[[y0, x0, 8]]]))[0]
                with torch.no_grad():
                    features = net.unpooled_features(normalisation.apply(view))[0]  # (4, 4, 4)
                weight = net.classifier.weight.detach()[labels[n]].view(4, 2, 2)
                coarse = sum(
                    features[c] * weight[c].repeat_interleave(2, 0).repeat_interleave(2, 1) for c in range(4)
                )
                cell = torch.nn.functional.interpolate(
                    coarse[None, None] / 4, size=(8, 8), mode="bilinear", align_corners=False
                )[0, 0]
                torch.testing.assert_close(maps[n, y0 : y0 + 8, x0 : x0 + 8], cell)
                scores = {
                    (y, x): float(cell[y : y + 4, x : x + 4].mean()) for y in (0, 2, 4) for x in (0, 2, 4)
                }
                best = sorted(scores, key=scores.__getitem__)[:2]
                expected += [[y0 + y, x0 + x, 4] for y, x in best]
        assert boxes[n].tolist() == expected


def test_maps_are_made_for_so_many_views_at_once_and_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = nets.build("convnet-w4", channels=3, size=16, classes=3, generator=generator(0, "net"))
    pixels, labels = torch.rand(7, 3, 16, 16, generator=generator(1, "x")), torch.arange(7) % 3

    def found() -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        made: list[int] = []

        def noted(part: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            made.append(boxes[..., 0].numel())
            return crop_regions(part, boxes)

        monkeypatch.setattr(regions, "crop_regions", noted)
        chooser = RegionSelector(net, CPU, PLAIN, 16, 2, 7, response_form="evidence", regions=2)
        return *both(chooser, pixels, labels, generator(0, "regions")), made

    boxes, maps, made = found()
    assert made == [28, 28]  # four sources an image, to choose and to look at
    monkeypatch.setattr(scores, "SCORE_PIXELS", 11 * 16 * 16)  # two images
    boxes_in_parts, maps_in_parts, made = found()
    assert made == [8, 8, 8, 4] * 2
    assert torch.equal(boxes_in_parts, boxes)
    torch.testing.assert_close(maps_in_parts, maps)


@pytest.mark.parametrize("precision", ["mixed", "bf16"])
def test_jitter_is_judged_in_float32_in_every_precision(precision: str) -> None:
    net = nets.build("convnet-w4", channels=3, size=16, classes=3, generator=generator(0, "net"))
    pixels, labels = torch.rand(3, 3, 16, 16, generator=generator(1, "x")), torch.arange(3)

    def chosen(precision: str, policy: str) -> torch.Tensor:
        low = Compute(torch.device("cpu"), precision)
        chooser = RegionSelector(net, low, PLAIN, 16, 1, 3, policy=policy, grid_size=5, regions=25)
        return chooser.choose(pixels, labels, generator(2, "regions"))

    assert torch.equal(chosen(precision, "jitter"), chosen("fp32", "jitter"))
    assert not torch.equal(chosen(precision, "response"), chosen("fp32", "response"))  # bfloat16 would show


@pytest.mark.parametrize("policy", ["response", "jitter", "random", "most_used", "auto"])
def test_boxes_lie_in_their_source_and_choosing_leaves_no_graph(policy: str) -> None:
    chooser = selector(
        size=16, factor=3, policy=policy, regions=3, jitter_draws=2
    )  # cells of 6 px that overlap
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1, "x")).requires_grad_()
    boxes, maps = both(chooser, pixels, torch.tensor([0, 1]), generator(0, "regions"))
    assert boxes.shape == (2, 27, 3)
    start, side = boxes.unflatten(1, (9, 3))[..., :2], boxes.unflatten(1, (9, 3))[..., 2:]
    corner = sources(16, 3)[:, None, :2]
    assert (start >= corner).all()
    assert (start + side <= corner + 6).all()
    assert all(
        len({tuple(box) for box in cell}) == 3
        for image in boxes.unflatten(1, (9, 3)).tolist()
        for cell in image
    )
    assert not maps.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "responce"}, "policy: unknown policy 'responce': did you mean 'response'"),
        ({"scheme": "features"}, "scheme: unknown scheme 'features': did you mean 'feature'"),
        ({"response_form": "logit"}, "response_form: unknown form 'logit'"),
        (
            {"regions": 10},
            "regions: must be 1 to 9, .* grid_size 3 and region_scale 0.5 give in 8 px, got 10",
        ),
        ({"regions": 0}, "regions: must be 1 to 9, .* got 0"),
        ({"jitter_std": 0.0}, "jitter_std > 0 and jitter_draws >= 1, got 0.0 and 4"),
        ({"jitter_draws": 0}, "got 0.1 and 0"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        selector(**settings)


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", ["feature", "crop"])
@pytest.mark.parametrize("policy", ["response", "jitter", "random", "most_used", "auto"])
def test_on_a_gpu_labels_and_boxes_lie_on_the_cpu(policy: str, scheme: str) -> None:
    settings = {"policy": policy, "scheme": scheme, "grid_size": 2}
    pixels = bright_but((0, 0, 4), (8, 12, 4)).repeat(2, 1, 1, 1)
    labels = torch.tensor([0, 1])
    gpu = Compute(torch.device("cuda"))
    found = RegionSelector(brightness_net(16), gpu, PLAIN, 16, 2, 2, **settings)
    boxes, maps = both(found, pixels.cuda(), labels, generator(0, "noise"))
    expected, exact = both(selector(**settings), pixels, labels, generator(0, "noise"))
    assert torch.equal(boxes, expected)
    torch.testing.assert_close(maps.cpu(), exact)
