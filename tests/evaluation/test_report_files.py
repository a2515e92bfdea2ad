"""What a report is written as besides the page: JSON with its schema, a claim, a model card, and figures on the way."""

import json
import re
from dataclasses import replace

import jsonschema
import pytest
import torch
import yaml
from contracts import digits, known_inputs, small_net
from huggingface_hub import ModelCard

import inputopt
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.leaderboard_claim import claim_text
from inputopt.evaluation.report import Report
from inputopt.evaluation.run_environment import tensor_hash

HOSTILE = 'a: "b"\n---\n| <script>\x07\u2028\U0001f600 #x'


def evaluated(count=12, **settings):
    x, y = known_inputs(count=count)
    return inputopt.evaluate(small_net(), x, y, **{"eps": 0.1, "preset": "quick"} | settings)


def errors(report):
    """Where report.json does not follow its schema."""
    checker = jsonschema.Draft202012Validator(Report.schema())
    written = json.loads(json.dumps(report.as_plain(), allow_nan=False))
    return [f"{list(error.path)}: {error.message[:200]}" for error in checker.iter_errors(written)]


def doubted(report, name=HOSTILE):
    """The report with certificates, indicators and a hostile name, as other parts of an evaluation may make it."""
    found = Indicator("noisy_loss", float("nan"), f"It is {HOSTILE}.", "Average.", 0.25, "Averaged.")
    model = {**report.settings["model"], "name": name}
    extra = {"model": model, "adapt": True, "certificates": "bounds in linf"}
    return replace(
        report,
        indicators=(found,),
        certified=report.robust,
        settings={**report.settings, **extra},
        robust_accuracy_before_adapting=1.0,
    )


# -------------------------------------------------------------------------------------------------------------- schema
def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(Report.schema())

    def objects(node):
        if isinstance(node, dict):
            yield from [node] if node.get("type") == "object" else []
            for value in node.values():
                yield from objects(value)
        elif isinstance(node, list):
            for value in node:
                yield from objects(value)

    every = list(objects(Report.schema()))
    assert len(every) >= 7
    assert all(node["additionalProperties"] is False for node in every), "unknown fields are errors"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"norm": "l2", "eps": torch.full((12,), 0.3), "eot_samples": 2, "seed": 5},
        {"norm": "l0", "eps": 1.0, "mask": torch.ones(12, dtype=torch.bool)},
    ],
)
def test_reports_follow_the_schema(settings):
    report = evaluated(**settings)
    assert errors(report) == []
    assert errors(doubted(report)) == []
    assert errors(replace(report, clean=None, label=None)) == []


def test_infinite_bounds_and_models_without_weights_follow_the_schema():
    x, y = known_inputs()
    net = small_net()
    frozen = inputopt.Frozen(lambda x: net(x), bounds=(-torch.inf, torch.ones(12, dtype=torch.float64)))
    report = inputopt.evaluate(frozen, x, y, "l2", 0.3, "quick")
    assert errors(report) == []
    assert report.as_plain()["model"]["bounds"][0] == "-inf"


def test_what_is_wrong_is_an_error_of_the_schema():
    plain, checker = evaluated().as_plain(), jsonschema.Draft202012Validator(Report.schema())
    for change in (
        {"robust_accuracy": 1.2},
        {"interval": [0.1]},
        {"unknown": 1},
        {"hashes": {"x": "zz"}},
        {"attacks": [{"name": "a"}]},
        {"robust": []},
        {"date": "yesterday"},
    ):
        assert not checker.is_valid(plain | change), change
    for name in set(plain) - {"adapt", "certificates"}:
        assert not checker.is_valid({key: value for key, value in plain.items() if key != name}), name


# ----------------------------------------------------------------------------------------------------- run it again
def test_inputs_labels_and_ids_have_hashes_and_the_precision_is_recorded():
    x, y = known_inputs(torch.float64, 12)
    settings = inputopt.evaluate(small_net(), x, y, preset="quick").settings
    assert settings["hashes"] == {"x": tensor_hash(x), "y": tensor_hash(y), "ids": tensor_hash(torch.arange(12))}
    assert (settings["dtype"], settings["device"], settings["threads"]) == ("float64", "cpu", torch.get_num_threads())
    other = x.clone()
    other[3, 4] += 2.0**-50
    again = inputopt.evaluate(small_net(), other, y, preset="quick", ids=torch.arange(12) + 1).settings["hashes"]
    assert again["y"] == settings["hashes"]["y"]
    assert again["x"] != settings["hashes"]["x"]
    assert again["ids"] != settings["hashes"]["ids"]
    assert tensor_hash(x) != tensor_hash(x.reshape(6, 24))
    assert tensor_hash(x.float()) != tensor_hash(x)


# ------------------------------------------------------------------------------------------------------ claim and card
def test_a_claim_has_the_fields_of_the_form_in_percent():
    report = evaluated(norm="l2", eps=0.3)
    claim = report.claim(paper_title="On it", additional_data=False, checkpoint="https://example.org/net")
    assert claim == {
        "paper_title": "On it",
        "paper_url": None,
        "paper_authors": None,
        "architecture": "MLP",
        "threat_model": "L2",
        "eps": 0.3,
        "clean_accuracy": 100.0,
        "robust_accuracy": round(100 * report.robust_accuracy, 2),
        "additional_data": False,
        "evaluation_method": f"inputopt {inputopt.__version__}, preset quick, seed 0, 12 inputs",
        "checkpoint_and_code": "https://example.org/net",
    }
    lines = claim_text(claim).splitlines()
    assert [re.match(r"- \*\*(.+)\*\*:", line)[1] for line in lines][3:6] == ["Architecture", "Threat Model", "eps"]
    assert len(lines) == len(claim)
    with_ends = claim_text(claim, {"clean_accuracy": report.clean_interval, "robust_accuracy": report.interval})
    low, high = report.interval
    wanted = f"{claim['robust_accuracy']:.2f} % (95 % interval: {100 * low:.1f} % to {100 * high:.1f} %)"
    assert f"- **Robust accuracy**: {wanted}" in with_ends.splitlines()


@pytest.mark.parametrize("name", [None, HOSTILE, "1e5", "yes", "null"])
def test_a_model_card_is_read_by_the_hub_and_by_yaml(name):
    report = doubted(evaluated(eps=1e-5), name)
    card = report.model_card(dataset="digits", dataset_id="mnist")
    front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    (result,) = front["model-index"][0]["results"]
    assert front["model-index"][0]["name"] == (name or "MLP")
    assert result["dataset"] == {"name": "digits", "type": "mnist"}
    values = [metric["value"] for metric in result["metrics"]]
    assert values == pytest.approx([report.clean_accuracy, report.robust_accuracy, report.certified_accuracy])
    assert all(isinstance(value, float) for value in values)
    assert result["metrics"][1]["args"]["eps"] == 1e-5
    assert result["metrics"][1]["args"]["indicators"] == ["noisy_loss"]
    for metric in result["metrics"]:
        low, high = metric["args"]["interval"]
        assert low <= metric["value"] <= high
    found = ModelCard(card).data.eval_results
    assert [each.metric_value for each in found] == values
    assert {each.task_type for each in found} == {"tabular-classification"}
    body = card.split("\n---\n", 1)[1]
    assert "<" not in body
    assert "\nReasons to doubt the robust accuracy:\n\n- `noisy_loss`: " in body
    (fired,) = report.indicators
    helped = replace(report, indicators=(replace(fired, id="zero_gradient", effect="lowered"), fired)).model_card()
    assert re.findall(r"\n(\w[^\n]*:)\n\n- `(\w+)`", helped) == [
        ("Reasons to doubt the robust accuracy:", "noisy_loss"),
        ("What the evaluation acted on:", "zero_gradient"),
    ]


def test_the_task_of_a_card_follows_from_the_shape_and_can_be_given():
    x, y = digits().held_x[::250], digits().held_y[::250]
    report = inputopt.evaluate(inputopt.load("digits-mlp"), x, y, preset="quick")
    assert 'type: "image-classification"' in report.model_card()
    assert 'type: "depth-estimation"' in report.model_card(task="depth-estimation")
    assert '- name: "mine"' in report.model_card("mine")
    assert '- name: "digits-mlp"' in report.model_card()


def test_a_report_without_settings_still_has_a_card_a_claim_and_plain_values():
    row = AttackRow("a", 2, (0,), 4, 2, 0.1)
    report = Report(1.0, 0.5, torch.tensor([False, True]), torch.zeros(2, 3), (row,), (), {}, (0.1, 0.9))
    assert "| Robust accuracy (upper bound by attacks) | 50.0 % | 10.0 % to 90.0 % |" in report.model_card()
    assert report.claim()["evaluation_method"] is None
    json.dumps(report.as_plain())


# ------------------------------------------------------------------------------------------------- figures on the way
def test_a_callback_gets_plain_floats_before_between_and_after_the_attacks():
    seen = []
    x, y = known_inputs(count=30)
    y = y.clone()
    y[3] = (y[3] + 1) % 6
    report = inputopt.evaluate(small_net(), x, y, eps=0.1, preset="quick", callback=seen.append)
    assert {type(value) for figures in seen for value in figures.values()} == {float}
    assert [figures["stage"] for figures in seen] == list(range(len(report.attacks) + 2))
    assert seen[0]["robust_accuracy"] == 29 / 30
    left = 29
    for row, figures in zip(report.attacks, seen[1:-1], strict=True):
        left -= len(row.fooled)
        assert figures["robust_accuracy"] == pytest.approx(left / 30)
        assert (figures["tried"], figures["fooled"]) == (row.tried, len(row.fooled))
    last = seen[-1]
    assert (last["clean_accuracy"], last["robust_accuracy"]) == (report.clean_accuracy, report.robust_accuracy)
    assert (last["robust_accuracy_low"], last["robust_accuracy_high"]) == report.interval
    assert (last["clean_accuracy_low"], last["clean_accuracy_high"]) == report.clean_interval
    assert last["indicators"] == len(report.indicators)
    for name in ("forwards", "backwards", "seconds"):
        assert last[name] == seen[-2][name] == pytest.approx(sum(getattr(row, name) for row in report.attacks))


def test_an_error_of_a_callback_reaches_the_caller():
    def refuse(figures):
        raise RuntimeError("the tracker is away")

    with pytest.raises(RuntimeError, match="the tracker is away"):
        evaluated(callback=refuse)
