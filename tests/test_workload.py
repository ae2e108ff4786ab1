"""The arithmetic of a run, added up by hand.

Digits has 1,150 train, 288 val and 359 test images of 10 classes; `net` and `pool` are the GFLOP of one image's
way through the two networks.
"""

import pytest

import raydd
from raydd import config as configuration
from raydd import jobs, nets, registry, workload
from raydd.errors import ConfigError
from raydd.registry import Context

FIX = {"net": "convnet-w8", "pool_net": "convnet-w4", "pool_size": 3, "pool_epochs": 2, "batch_real": 16}


@pytest.fixture(scope="module")
def digits():
    data = raydd.load_data("digits")
    assert (len(data.train), len(data.val), len(data.test)) == (1150, 288, 359)
    return data


@pytest.fixture(scope="module")
def net():
    return nets.gigaflops("convnet-w8", channels=1, size=8, classes=10)


@pytest.fixture(scope="module")
def pool():
    return nets.gigaflops("convnet-w4", channels=1, size=8, classes=10)


def of_study(data, **changes):
    values = {
        "method": "iid",
        "ipc": 2,
        "iterations": 100,
        "search": {"trials": 4, "fix": FIX},
        "evaluation": {"net": "convnet-w8", "epochs": 9, "repeats": 2},
        "confirm": {
            "top": 2,
            "rerank_seeds": 2,
            "report_seeds": 3,
            "repeats": 5,
            "baselines": ["random"],
        },
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    config = configuration.build(values)
    method = registry.get(config.method)
    fixed = {name: value for name, value in FIX.items() if name in method.hyperparameters.model_fields}
    context = jobs.context_of(method, data, ipc=config.ipc, iterations=config.iterations, fixed=fixed)
    return config, method, context, data


def test_an_iteration_of_iid_on_cifar10_is_what_a_counter_of_operations_measured():
    # 503.7 GFLOP: convnet of width 128 and resnet18 at 32 px, ipc 10, 256 real images a class
    context = Context("cifar10", 3, 32, 10, 10, 20_000)
    method = registry.get("iid")
    counted = method.gigaflops(context, method.defaults(context).model_dump())
    assert counted == pytest.approx(503.7, rel=0.02)


def test_dm_runs_real_images_forward_and_synthetic_ones_forward_and_back(digits, net):
    dm = registry.get("dm")
    context = Context("digits", 1, 8, 10, 2, 100)
    values = {"net": "convnet-w8", "batch_real": 16}
    assert dm.gigaflops(context, values) == pytest.approx(10 * (16 + 2 * 2) * net)
    assert workload.distillation(dm, context, values) == pytest.approx(100 * 200 * net)


def test_iid_adds_the_extractor_where_class_centralisation_acts(net, pool):
    iid = registry.get("iid")
    context = Context("digits", 1, 8, 10, 2, 100)
    assert iid.gigaflops(context, {**FIX, "lambda_cc": 0.1}) == pytest.approx(200 * net + 40 * pool)
    assert iid.gigaflops(context, {**FIX, "lambda_cc": 0.0}) == pytest.approx(200 * net)
    single = Context("digits", 1, 8, 10, 1, 100)
    assert iid.gigaflops(single, FIX) == pytest.approx(10 * (16 + 2) * net)


def test_an_evaluation_trains_e_plus_one_epochs_and_tests_once(digits, net):
    work = workload.evaluation(
        "convnet-w8", digits, protocol="dsa", epochs=9, images=20, repeats=2, split="val"
    )
    assert work == pytest.approx(2 * (3 * 10 * 20 + 288) * net)  # 1,776 images
    whole = workload.evaluation(
        "convnet-w8", digits, protocol="dc", epochs=None, images=20, repeats=1, split="test"
    )
    assert whole == pytest.approx((3 * 301 * 20 + 359) * net)
    with pytest.raises(ConfigError, match="split: unknown split 'tset': did you mean 'test'"):
        workload.evaluation("convnet-w8", digits, protocol="dc", epochs=1, images=20, repeats=1, split="tset")


def test_a_study_is_its_pool_its_trials_its_reranking_and_its_report(digits, net, pool):
    config, method, context, data = of_study(digits)
    trained = 3 * 3 * 2 * 1150 * pool  # three networks, two epochs
    own = 100 * (200 * net + 40 * pool)
    base = 100 * 200 * net
    assert workload.assets(method, context, data) == pytest.approx(trained)
    # three rungs, the initial images and the end
    search = 4 * (own + 5 * 1776 * net)
    assert workload.search(config, method, context, data) == pytest.approx(search)
    # the two best and trial 0 are distilled, and the base; all four are judged by five networks
    on_val, on_test = 5 * (600 + 288) * net, 5 * (600 + 359) * net
    rerank = 2 * (3 * own + base + 4 * on_val)
    # winner and trial 0 are distilled, and the base; random images too are judged
    report = 3 * (2 * own + base + 4 * on_test)
    assert workload.confirmation(config, method, context, data) == pytest.approx(rerank + report)
    assert workload.study(config, method, context, data) == pytest.approx(trained + search + rerank + report)


def test_sets_are_judged_by_the_images_that_they_decode_into_and_again_at_the_winners_steps(digits, net):
    fix = {"net": "convnet-w8", "proxy_net": "convnet-w4", "n_data": 16, "batch_real": 8}
    config, _, _, data = of_study(digits, method="udd", search__fix=fix)
    udd, idc = registry.get("udd"), registry.get("idc")
    context = jobs.context_of(udd, data, ipc=2, iterations=100, fixed=fix)
    # two images of each class: four parts and a region of each, in batches of 64; the base has the parts alone
    assert udd.training_images(context, udd.defaults(context).model_dump()) == 160
    val, test = 288, 359

    def judged(epochs, images, tested, repeats=5):
        return repeats * (3 * epochs * images + tested) * net

    own = workload.distillation(udd, context, udd.defaults(context).model_dump())
    assert workload.search(config, udd, context, data) == pytest.approx(
        4 * (own + 5 * judged(9, 160, val, 2))
    )
    its = jobs.context_for(idc, context)
    base = workload.distillation(idc, its, idc.defaults(its).model_dump())
    rerank = 2 * (3 * (own + judged(9, 160, val)) + base + judged(9, 80, val))
    # 27 steps of the winner: 13 or 14 epochs of two steps on 80 images, 27 epochs of one on 20
    report = 2 * (own + judged(9, 160, test)) + base + judged(9, 80, test) + judged(13, 80, test)
    report += judged(9, 20, test) + judged(27, 20, test)
    assert workload.confirmation(config, udd, context, data) == pytest.approx(rerank + 3 * report)


def test_the_base_of_iid_is_the_one_that_is_fixed(digits, net, pool):
    fix = {**FIX, "base": "idm", "batch_train": 4, "fetch_net_num": 1, "model_train_steps": 2}
    config, iid, _, data = of_study(digits, search__fix=fix)
    context = jobs.context_of(iid, data, ipc=2, iterations=100, fixed=fix)
    base = 100 * (10 * (16 + 2 * 8) + 3 * 8) * net  # four parts of two images; eight images train the queue
    own = base + 100 * 10 * 2 * 8 * pool
    judged = [5 * (3 * 10 * 80 + tested) * net for tested in (288, 359)]
    rerank = 2 * (3 * own + base + 4 * judged[0])
    # 80 images or 20: one batch, so nothing is judged twice
    report = 3 * (2 * own + base + 3 * judged[1] + 5 * (3 * 10 * 20 + 359) * net)
    assert workload.confirmation(config, iid, context, data) == pytest.approx(rerank + report)


def test_what_changes_a_study_changes_its_work(digits, net, pool):
    own, test = 100 * 200 * net, 5 * (600 + 359) * net
    val = 5 * (600 + 288) * net
    # a base has no base of its own; without rungs a trial is judged twice; one trial is winner and trial 0
    alone = of_study(digits, method="dm", search__scheduler="none", search__trials=1, search__fix={})
    assert workload.assets(*alone[1:]) == 0.0
    assert workload.study(*alone) == pytest.approx(
        own + 2 * 1776 * net + 2 * (own + val) + 3 * (own + 2 * test)
    )
    two = workload.study(*of_study(digits, confirm__nets=["convnet-w8", "convnet-w4"]))
    assert two - workload.study(*of_study(digits)) == pytest.approx(3 * 4 * 5 * (600 + 359) * pool)
    refit = workload.study(*of_study(digits, confirm__fit="train+val"))
    assert refit - workload.study(*of_study(digits)) == pytest.approx(3 * 3 * 2 * (1150 + 288) * pool)
    longer = workload.study(*of_study(digits, confirm__epochs=19))
    extra = 5 * 3 * 10 * 20 * net  # ten more epochs
    assert longer - workload.study(*of_study(digits)) == pytest.approx((2 + 3) * 4 * extra)


def test_baselines_are_judged_and_share_one_network(digits, net, pool):
    plain = workload.study(*of_study(digits))
    none = workload.study(*of_study(digits, confirm__baselines=[]))
    judged = 3 * 5 * (600 + 359) * net
    assert plain - none == pytest.approx(judged)
    epochs = {"confirm__baseline_epochs": 4}
    trained = 3 * 4 * 1150 * net
    coreset = workload.study(*of_study(digits, confirm__baselines=["herding"], **epochs))
    assert coreset - none == pytest.approx(judged + trained + 1150 * net)
    full = workload.study(*of_study(digits, confirm__baselines=["full"], **epochs))
    assert full - none == pytest.approx(trained + 359 * net)
    every = ["random", "herding", "k_center", "full"]
    whole = workload.study(*of_study(digits, confirm__baselines=every, **epochs))
    assert whole - none == pytest.approx(3 * judged + trained + (1150 + 359) * net)
    # the network is of the first architecture, on what the report learns from; without epochs: a thousand steps
    both = {"confirm__nets": ["convnet-w4", "convnet-w8"], "confirm__fit": "train+val"}
    less = workload.study(*of_study(digits, confirm__baselines=[], **both))
    more = workload.study(*of_study(digits, confirm__baselines=["full"], **both))
    assert more - less == pytest.approx((3 * 167 * (1150 + 288) + 359) * pool)  # 6 steps an epoch


def test_a_method_that_does_not_tell_counts_as_nothing():
    class Quiet(type(registry.get("dm"))):
        gigaflops = registry.Method.gigaflops

    context = Context("digits", 1, 8, 10, 2, 100)
    assert workload.distillation(Quiet(), context, {}) == 0.0


def test_a_teacher_that_labels_every_batch_costs_a_forward_pass_an_image(digits, net, pool):
    plain = {"protocol": "dsa", "epochs": 9, "images": 20, "repeats": 2, "split": "val"}
    hard = workload.evaluation("convnet-w8", digits, **plain)
    soft = workload.evaluation("convnet-w8", digits, **plain, teacher="convnet-w4")
    assert soft - hard == pytest.approx(2 * 10 * 20 * pool)


def test_a_distillation_is_as_many_iterations_as_the_method_makes_of_the_context():
    class Recovering(type(registry.get("dm"))):
        def total_iterations(self, context, values):
            return context.iterations * context.ipc

    context = Context("digits", 1, 8, 10, 4, 100)
    values = {"net": "convnet-w8", "batch_real": 16}
    once = workload.distillation(registry.get("dm"), context, values)
    assert workload.distillation(Recovering(), context, values) == pytest.approx(4 * once)


def test_weights_from_elsewhere_cost_no_training(digits, pool):
    class Squeezing(type(registry.get("dm"))):
        weights = ""

        def assets(self, context):
            return [registry.AssetSpec("teacher", "convnet-w4", {"epochs": 3}, weights=self.weights)]

    class Pretrained(Squeezing):
        weights = "public"

    context = Context("digits", 1, 8, 10, 2, 100)
    assert workload.assets(Squeezing(), context, digits) == pytest.approx(3 * 3 * 1150 * pool)
    assert workload.assets(Pretrained(), context, digits) == 0.0


def test_a_rung_is_judged_by_the_images_that_are_finished_when_it_is_crossed():
    dwa, sre2l, rungs = registry.get("dwa"), registry.get("sre2l"), (0.25, 1 / 3, 0.5)
    several = {**sre2l.defaults(Context("digits", 1, 8, 10, 10, 100)).model_dump(), "ids_at_once": 4}

    def images(ipc, values=None, method=dwa, rungs=rungs):
        context = Context("digits", 1, 8, 10, ipc, 100)
        chosen = method.defaults(context).model_dump() if values is None else values
        return workload.judged_images(method, context, chosen, rungs)

    assert images(1) == [10, 10]  # nothing lies between the initial image and the end
    assert images(2) == [20, 10, 20]
    assert images(3) == [30, 10, 20, 30]
    assert images(10) == [100, 30, 40, 50, 100]
    assert images(10, several, sre2l) == [100, 40, 80, 100]
    assert images(10, rungs=()) == [100, 100]
    assert images(3, method=registry.get("dm")) == [30] * 5


def test_soft_labels_are_given_in_every_evaluation_and_hard_ones_are_tried_beside_them(digits, net, pool):
    fix = {"teacher": "convnet-w4-bn", "teacher_epochs": 2, "labels": "online"}
    changes = {"method": "sre2l", "search__fix": fix, "confirm__baselines": ["random", "herding"]}
    config, sre2l, _, data = of_study(digits, **changes)
    context = jobs.context_of(sre2l, data, ipc=2, iterations=100, fixed=fix)
    values = sre2l.defaults(context).model_dump()
    own = workload.distillation(sre2l, context, values)
    # one id after the other, 100 iterations each: ten images forward and back
    assert own == pytest.approx(2 * 100 * 2 * 10 * pool)
    hard = {split: 5 * (3 * 9 * 20 + count) * net for split, count in (("val", 288), ("test", 359))}
    labels = 5 * 9 * 20 * pool
    # two evaluations of all 20 images, and one of the ten that the rung at a third waits for
    search = 2 * (3 * 9 * 50 + 3 * 288) * net + 2 * 9 * 50 * pool
    trials = workload.search(config, sre2l, context, data) / 4 - own
    assert trials == pytest.approx(search)
    rerank = 2 * 3 * (own + hard["val"] + labels)
    # winner, trial 0 and random images once more with hard labels, coresets not
    report = 3 * (2 * own + 4 * (hard["test"] + labels) + 3 * hard["test"])
    network = workload.baseline_network(config, data, "convnet-w8")
    assert workload.confirmation(config, sre2l, context, data) == pytest.approx(rerank + report + network)
