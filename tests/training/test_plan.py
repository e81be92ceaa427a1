"""What is known of a run before its first step."""

import pytest

from tests.training.tiny import config, squares
from tqgd_jax.config import Train
from tqgd_jax.training.plan import make_plan


@pytest.mark.parametrize(
    ("anchors", "lost"), [("coco", True), ("auto", False), ("60,60 61,61 62,62", True)]
)
def test_boxes_that_can_never_be_learnt_are_told(anchors, lost, caplog):
    cfg = config()
    cfg.model.anchors, cfg.model.heads = anchors, (5,)  # COCO's P5 is 116 px and more
    with caplog.at_level("INFO", "tqgd_jax"):
        plan = make_plan(cfg, squares(12), validates=False)
    origin = {"coco": "coco", "auto": "kmeans"}.get(anchors, "given")
    assert plan.facts["anchors_origin"] == origin
    assert f"anchors: {origin}" in caplog.text
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    boxes = sum(len(b) for b in squares(12).boxes)
    expected = f"of {boxes} training boxes match no anchor ({origin}) at 64 px"
    assert any(expected in text for text in told) == lost


def calls(start: int = 0, at_most: int = 2, evaluated: int = 0, **train):
    """Of 7 steps, 3 an epoch; each call with what is done after it."""
    cfg = config(train=Train(**({"epochs": 3, "steps": 7} | train)))
    plan = make_plan(cfg, squares(6), validates=True)
    letters = {"r": plan.reads_after, "s": lambda c: plan.saves_after(c.stop)}
    letters["e"] = lambda c: plan.evaluates_after(c.stop)
    return [
        (call.start, call.stop, "".join(k for k, does in letters.items() if does(call)))
        for call in plan.calls(start, at_most, evaluated=evaluated)
    ]


def test_calls_end_where_the_host_has_something_to_do():
    rare = {"eval_every": 2, "checkpoint_every": 100, "log_every": 5}
    assert calls(**rare) == [
        (0, 2, ""), (2, 3, ""), (3, 5, "r"), (5, 6, "rse"), (6, 7, "rse"),
    ]  # fmt: skip
    often = {"eval_every": 0, "checkpoint_every": 1, "checkpoint_steps": 2}
    assert calls(at_most=9, log_every=9, **often) == [
        (0, 2, "rs"), (2, 3, "rs"), (3, 4, "rs"), (4, 6, "rs"), (6, 7, "rse"),
    ]  # fmt: skip


def test_an_evaluation_that_was_cut_short_comes_first():
    rare = {"eval_every": 1, "checkpoint_every": 100, "log_every": 5}
    assert calls(start=6, **rare)[0] == (6, 6, "rse")
    assert calls(start=6, evaluated=6, **rare) == [(6, 7, "rse")]
    assert calls(start=7, evaluated=7, **rare) == []
    assert calls(start=5, **rare)[0] == (5, 6, "rse")  # nothing was due after 5


@pytest.mark.parametrize(("steps", "epochs"), [(4, "1.333 of 3 epochs"), (0, "")])
def test_a_run_that_ends_before_its_epochs_says_how_far_it_went(steps, epochs):
    cfg = config(train=Train(epochs=3, steps=steps))  # of 3 steps
    plan = make_plan(cfg, squares(6), validates=False)
    said = plan.unfinished(plan.stop)
    if epochs:
        assert said.startswith(
            f"stopped after 4 of 9 steps ({epochs}), as train.steps=4"
        )
    else:
        assert (plan.stop, said) == (9, "")
