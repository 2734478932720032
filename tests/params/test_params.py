"""Typed params.yaml: every fault is named, with the key and a next step."""

from __future__ import annotations

import copy
import math
import operator
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import av.codec.hwaccel
import pytest
import yaml
from dvc.utils.serialize import parse_yaml
from pydantic.fields import FieldInfo
from tests.params.leaves import leaves, sections

from dae_aqa.errors import ParamsError
from dae_aqa.files.yaml_file import read_yaml
from dae_aqa.options import Options, flatten, parse_options
from dae_aqa.params import Params, load_params
from dae_aqa.video.options import HWACCELS

SHIPPED = Path(__file__).resolve().parents[2] / "params.yaml"
Change = Callable[..., dict[str, Any]]


def yaml_leaves(content: Mapping, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in content.items():
        keys |= (
            yaml_leaves(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}"}
        )
    return keys


@pytest.fixture
def changed() -> Change:
    """Return the shipped content with some leaves replaced, by dotted key."""
    shipped = yaml.safe_load(SHIPPED.read_text())

    def change(changes: dict[str, object]) -> dict[str, Any]:
        content = copy.deepcopy(shipped)
        for key, value in changes.items():
            *sections, name = key.split(".")
            target = content
            for section in sections:
                target = target[section]
            target[name] = value
        return content

    return change


def refuse(content: object) -> str:
    with pytest.raises(ParamsError, match=r"^params\.yaml: \d+ problem\(s\):\n") as caught:
        parse_options(Params, content, source="params.yaml")
    return str(caught.value)


def test_typed_fields_and_file_hold_the_same_keys():
    """No default can change a result unseen, and no key of the file is without meaning."""
    assert leaves(Params).keys() == yaml_leaves(yaml.safe_load(SHIPPED.read_text()))


def test_no_field_has_a_default():
    fields = {
        f"{prefix}{name}": field
        for prefix, section in sections(Params)
        for name, field in section.model_fields.items()
    }
    assert len(fields) > 100
    assert [key for key, field in fields.items() if not field.is_required()] == []


def test_flatten_gives_the_files_values():
    flat = flatten(load_params(SHIPPED))
    content = yaml.safe_load(SHIPPED.read_text())
    assert set(flat) == yaml_leaves(content)
    assert flat["train.clips.starts"] == content["train"]["clips"]["starts"]
    assert flat["train.loss.name"] == content["train"]["loss"]["name"]
    assert flat["evaluate.checkpoint"] is None


@pytest.mark.parametrize("dataset", ["simdive", "mtl_aqa", "jigsaws", "aqa7", "csv"])
def test_dataset_options_are_those_of_the_chosen_dataset(changed, dataset):
    params = parse_options(Params, changed({"dataset": dataset}), source="params.yaml")
    assert params.dataset_options is getattr(params.datasets, dataset)


TOKENS = [
    *("010", "0777", "08", "0o17", "0x1F", "0b11", "1_000", "+1", "-0", "1e-4", "1E-4", "2.5e3"),
    *("+.5", ".5", "1.", "3", "12e03", "1:30", "1:30:00", "yes", "no", "on", "off", "y", "n"),
    *("true", "True", "TRUE", "null", "Null", "~", "", ".inf", "-.inf", "'1e-4'", "1e", "e4"),
    *("1e-4x", "--1", "2001-01-01", "[1, 010]", "{a: no}", "0o8", "1,000"),
]


@pytest.mark.parametrize("text", TOKENS)
def test_values_are_read_as_dvc_reads_them(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(f"key: {text}\n")
    expected = parse_yaml(path.read_text(), str(path))
    content = read_yaml(path)
    assert content == expected
    assert type(content["key"]) is type(expected["key"])


@pytest.mark.parametrize(
    ("text", "value"), [("010", 10), ("1:30", "1:30"), ("no", "no"), ("1e-4", 1e-4), ("0o17", 15)]
)
def test_yaml_1_2_by_examples(tmp_path, text, value):
    """Source: YAML 1.2.2, section 10.3.2."""
    path = tmp_path / "params.yaml"
    path.write_text(f"key: {text}\n")
    assert read_yaml(path) == {"key": value}


@pytest.mark.parametrize("text", ["'1e-4'", "1e", "e4", "1e-4x", "--1"])
def test_what_is_no_number_stays_a_text(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text().replace("lr: 2.0e-3", f"lr: {text}"))
    with pytest.raises(ParamsError, match=r"lr: expected a number, got '.*' \(str\)"):
        load_params(path)


def test_unknown_key_suggests_the_meant_one(changed):
    message = refuse(changed({"train.drop_out": 0.1}))
    assert "train.drop_out: unknown key (did you mean 'dropout'?)" in message


def test_unknown_key_in_other_case_suggests_the_meant_one(changed):
    assert "Lr: unknown key (did you mean 'lr'?)" in refuse(changed({"Lr": 0.1}))


def test_unknown_key_without_likeness_lists_the_known(changed):
    message = refuse(changed({"evaluate.zzz": 1}))
    assert "evaluate.zzz: unknown key; known: checkpoint, num_bootstrap, num_worst." in message


def test_unknown_choice_suggests_the_meant_one(changed):
    message = refuse(changed({"model": "dae-mt"}))
    assert "model: 'dae-mt' is not allowed (did you mean 'dae_mt'?)" in message
    assert "expected one of: mlp, dae, dae_mt, dae_judges, usdl, musdl, core, dae_core." in message


def test_missing_key(changed):
    content = changed({})
    del content["train"]["loss"]["beta"]
    assert "train.loss.beta: missing; every key must be in the file." in refuse(content)


def test_missing_section(changed):
    content = changed({})
    del content["make_splits"]
    assert "make_splits: missing" in refuse(content)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_epochs", "30", "num_epochs: expected a whole number, got '30' (str)"),
        ("num_epochs", 3.5, "num_epochs: expected a whole number, got 3.5 (float)"),
        ("num_epochs", True, "num_epochs: expected a whole number, got True (bool)"),
        ("lr", True, "lr: expected a number, got True (bool)"),
        ("train.bn", None, "train.bn: None is not allowed"),
        ("train.tracking", 1, "train.tracking: expected true or false, got 1 (int)"),
        ("train.tracking", "yes", "train.tracking: expected true or false, got 'yes' (str)"),
        ("backbone", 3, "backbone: expected a text, got 3 (int)"),
        ("backbone", None, "backbone: expected a text, got None (NoneType)"),
        ("train.backbone_weights", 3, "train.backbone_weights: expected a text, got 3 (int)"),
        ("train.clips.starts", 4, "train.clips.starts: expected a list, got 4 (int)."),
        ("train.clips.starts", [4, "a"], "train.clips.starts[1]: expected a whole number"),
        ("train.loss", 3, "train.loss: expected a section with keys, got 3 (int)."),
        ("train.loss", None, "train.loss: expected a section with keys, got None (NoneType)."),
        ("model", ["dae"], "model: expected a text, got ['dae'] (list)."),
        ("train.experiment", "", "train.experiment: expected a text that is not blank"),
        ("datasets.csv.videos_dir", " ", "videos_dir: expected a text that is not blank"),
        ("backbone", "i3dd", "backbone: 'i3dd' is not allowed (did you mean 'i3d'?); expected one"),
        ("extract_frames.hwaccel", "cudda", "hwaccel: 'cudda' is not allowed (did you mean 'cuda'"),
        ("train.experiment", "x" * 251, "train.experiment: 251 characters; expected at most 250."),
        ("datasets.csv.videos_dir", "a\0b", "has no control characters, got 'a\\x00b' (str)"),
        ("lr", 10**400, "lr: expected a finite number, got 1000"),
    ],
)
def test_wrong_value(changed, key, value, told):
    assert told in refuse(changed({key: value}))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("lr", 0.0, "> 0"),
        ("lr", -1e-3, "> 0"),
        ("weight_decay", -1e-9, ">= 0"),
        ("train_batch_size", 0, ">= 1 and <= 1000000"),
        ("num_workers", -1, ">= 0 and <= 256"),
        ("make_splits.test_fraction", 1.01, ">= 0 and <= 1"),
        ("make_splits.val_fraction", 0, "> 0 and <= 0.9"),
        ("extract_frames.jpeg_quality", 101, ">= 1 and <= 100"),
        ("train.early_stopping_patience", 0, ">= 1 and <= 1000000"),
        ("train.clip_grad_norm", 0, "> 0"),
        ("train.clips.starts", [4, -1], ">= 0 and <= 100000"),
        ("evaluate.num_bootstrap", 99, ">= 100 and <= 1000000"),
        ("seed", 2**63, ">= 0 and <= 9223372036854775807"),
        ("datasets.simdive.seed", 2**64, ">= 0 and <= 9223372036854775807"),
        ("extract_frames.width", 1_000_000, ">= 16 and <= 8192"),
        ("extract_frames.height", 15, ">= 16 and <= 8192"),
        ("extract_frames.num_frames", 10**9, ">= 1 and <= 1000000"),
        ("extract_frames.num_workers", 257, ">= 1 and <= 256"),
        ("train.clips.size_px", 2049, ">= 16 and <= 2048"),
        ("download.num_retries", 17, ">= 0 and <= 16"),
        ("datasets.simdive.fps", 3, ">= 5 and <= 120"),
        ("datasets.simdive.height", 31, ">= 32 and <= 8192"),
        ("datasets.simdive.num_dives", 1, ">= 2 and <= 1000000"),
        ("datasets.simdive.test_fraction", 0, ">= 0.001 and <= 0.999"),
        ("datasets.simdive.min_gap_seconds", 0, "> 0 and <= 60"),
    ],
)
def test_out_of_range(changed, key, value, expected):
    message = refuse(changed({key: value}))
    assert f"is out of range; expected a number {expected}." in message
    assert f"  {key}" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["lr", "weight_decay", "datasets.csv.min_score"])
def test_numbers_are_finite(changed, key, value):
    assert f"  {key}: " in refuse(changed({key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("make_splits.test_fraction", 0),
        ("make_splits.test_fraction", 1),
        ("make_splits.val_fraction", 0.9),
        ("extract_frames.jpeg_quality", 100),
        ("train.clip_grad_norm", None),
        ("train.early_stopping_patience", None),
        ("weight_decay", 0),
    ],
)
def test_limits_themselves_are_allowed(changed, key, value):
    params = parse_options(Params, changed({key: value}), source="params.yaml")
    assert flatten(params)[key] == value


def test_whole_numbers_become_floats(changed):
    lr = parse_options(Params, changed({"lr": 1}), source="params.yaml").lr
    assert lr == 1.0
    assert isinstance(lr, float)


def test_all_faults_are_named_at_once(changed):
    content = changed({"lr": -1, "model": "mpl", "train.bn": "off", "datasets.csv.typo": 1})
    del content["seed"]
    message = refuse(content)
    assert "5 problem(s)" in message
    for key in ("lr", "model", "train.bn", "datasets.csv.typo", "seed"):
        assert f"\n  {key}: " in message


DO_NOT_FIT = [
    (
        {"train.clips.starts": [0] * 21, "train.clips.num_frames": 100_000},
        "train.clips.starts: 21 clips of 100000 frames are too many.",
    ),
    (
        {"train.clips.jitter_px": 1001},
        "train.clips.jitter_px: 1001 on either side of size_px 48 makes more than 2048 px",
    ),
    (
        {"train.bins.low": 5.0, "train.bins.high": 5.0},
        "train.bins.high: 5 must be above low, 5.",
    ),
    (
        {"model": "core", "train_batch_size": 2, "train.accumulate_steps": 2},
        "one goes through the network at once; make train_batch_size at least 4",
    ),
    (
        {"model": "dae_core", "train_batch_size": 3, "train.num_processes": 2},
        "one goes through the network at once; make train_batch_size at least 4",
    ),
    ({"temporal_aug": 7}, "temporal_aug: 7 needs more than the 3 frames"),
    ({"train.clips.starts": []}, "train.clips.starts: needs at least one clip start"),
    ({"train.clips.starts": [40]}, "the last clip ends at frame 103, but a sample has only 103"),
    ({"train.clips.num_frames": 70}, "the last clip ends at frame 104"),
    ({"train.clips.crop_px": 257}, "needs a square of 257 px, but frames have 455x256"),
    ({"train.clips.jitter_px": 9}, "needs a square of 264 px"),
    (
        {"train.compile": True, "train.activation_checkpointing": True},
        "train.compile: cannot go together with train.activation_checkpointing",
    ),
    ({"train.clips.size_px": 31}, "train.clips.size_px: 31, but small3d takes at least 32."),
    ({"train.clips.num_frames": 7}, "clips.num_frames: 7, but small3d takes at least 8."),
    (
        {"backbone": "s3d", "train.clips.size_px": 223},
        "train.clips.size_px: 223, but s3d takes at least 224.",
    ),
    (
        {"backbone": "mvit_v2_s", "train.clips.size_px": 256},
        "train.clips.size_px: 256, but mvit_v2_s takes exactly 224.",
    ),
    (
        {"backbone": "mvit_v2_s", "train.clips.size_px": 224},
        "train.clips.num_frames: 64, but mvit_v2_s takes exactly 16.",
    ),
    ({"train.pretrained": True}, "train.pretrained: true fetches torchvision's weights"),
    ({"evaluate.checkpoint": "x.pth"}, "evaluate.checkpoint: a released checkpoint holds the"),
    (
        {"dataset": "csv", "model": "dae_judges"},
        "model: 'dae_judges' combines judges by the sport's rule, but datasets.csv.scoring_rule"
        " is null",
    ),
    (
        {"make_splits.source": "random", "make_splits.test_fraction": 1},
        "make_splits.test_fraction: 1 leaves no sample to test or none to train",
    ),
    ({"datasets.simdive.dives_per_video": 900}, "dives_per_video: 900; expected at most"),
    ({"datasets.simdive.width": 457}, "datasets.simdive.width: 457; expected an even number"),
    ({"datasets.simdive.width": 254}, "datasets.simdive.width: 254; expected an even number"),
    ({"datasets.simdive.height": 255}, "datasets.simdive.height: 255; expected an even"),
    ({"datasets.simdive.max_gap_seconds": 0.4}, "max_gap_seconds: 0.4; expected at least"),
    ({"datasets.csv.min_score": 110}, "datasets.csv.min_score: 110 is not below datasets.csv."),
    (
        {"datasets.mtl_aqa.annotations_source": "ftp://example.org/a.zip"},
        "annotations_source: 'ftp://example.org/a.zip'; expected a folder, a zip file or an",
    ),
    (
        {"train.num_processes": 2, "train.parts_at_once": 3},
        "train.parts_at_once: 3 parts at once, each of which would train in 2 processes",
    ),
    (
        {"datasets.unlv_dive.annotations_source": "ftp://example.org/a.zip"},
        "datasets.unlv_dive.annotations_source: 'ftp://example.org/a.zip'; expected a folder",
    ),
    *(
        (
            {f"datasets.{name}.videos_dir": None},
            f"datasets.{name}.frames_dir: null, and videos_dir is null too; name the one",
        )
        for name in ("jigsaws", "aqa7", "csv")
    ),
]


@pytest.mark.parametrize(("changes", "told"), DO_NOT_FIT)
def test_values_that_do_not_fit_together(changed, changes, told):
    assert told in refuse(changed(changes))


def test_every_rule_has_a_case_above(changed):
    """A rule that nobody has seen broken may say nothing, or the wrong thing."""

    def unchecked(cls: type[Options], content: Mapping[str, Any]) -> Options:
        values = {
            key: unchecked(cls.model_fields[key].annotation, value)
            if isinstance(value, Mapping)
            else value
            for key, value in content.items()
        }
        return cls.model_construct(**values)

    rules = {(prefix, rule) for prefix, cls in sections(Params) for rule in cls.RULES}
    assert len(rules) > 15
    broken = set()
    for changes, _ in DO_NOT_FIT:
        file = unchecked(Params, changed(changes))
        for prefix, rule in rules:
            section = operator.attrgetter(prefix.rstrip("."))(file) if prefix else file
            if list(rule(section)):
                broken.add((prefix, rule))
    assert {f"{prefix}{rule.__name__}" for prefix, rule in rules - broken} == set()


def just_outside(field: FieldInfo) -> list[object]:
    """Return what a value of this field may just not be, by the text of its annotation."""
    text = f"{field.annotation} {field.metadata}"
    if "int" in text.split("=")[0]:
        steps = {"ge": lambda limit: limit - 1, "le": lambda limit: limit + 1}
        number = int
    elif "float" in text:
        steps = {
            "gt": lambda limit: limit,
            "ge": lambda limit: math.nextafter(limit, -math.inf),
            "le": lambda limit: math.nextafter(limit, math.inf),
        }
        number = float
    else:
        return ["x"] if "bool" in text else ["\a", " ", 3]
    limits = re.findall(r"\b([gl][et])=([\d.]+)", text)
    values = [steps[sign](number(limit)) for sign, limit in limits] or [math.inf, math.nan]
    return [[value] for value in values] if "tuple" in text else values


@pytest.mark.parametrize("key", leaves(Params))
def test_every_value_is_checked_by_the_whole_file(changed, key):
    """Each section's class declares its ranges; none of them may be forgotten on the way."""
    for value in just_outside(leaves(Params)[key]):
        message = refuse(changed({key: value}))
        assert f"\n  {key}: " in message or f"\n  {key}[0]: " in message
        assert "expected" in message.split(key)[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"train.clips.starts": [39]},
        {"temporal_aug": 7, "extract_frames.margin_frames": 4},
        {"temporal_aug": 7, "extract_frames.window": "uniform"},
        {"train.clips.crop_px": 192, "train.clips.jitter_px": 8},
        {"train.clips.size_px": 32, "train.clips.num_frames": 8},
        {"backbone": "mvit_v2_s", "train.clips.size_px": 224, "train.clips.num_frames": 16},
        {"backbone": "r2plus1d_18", "train.pretrained": True},
        {"dataset": "csv", "model": "dae_judges", "datasets.csv.scoring_rule": "diving"},
        {"make_splits.test_fraction": 1},
        {"extract_frames.hwaccel": "cuda"},
        {"train.experiment": "x" * 250},
        {"seed": 2**63 - 1},
        {"datasets.simdive.width": 256, "datasets.simdive.dives_per_video": 899},
        {"datasets.simdive.max_gap_seconds": 0.5},
        {"datasets.csv.min_score": 109},
    ],
)
def test_values_that_just_fit_together(changed, changes):
    params = parse_options(Params, changed(changes), source="params.yaml")
    assert {key: flatten(params)[key] for key in changes} == changes


def test_rules_are_told_together_with_other_faults(changed):
    message = refuse(changed({"lr": -1, "datasets.csv.min_score": 200, "train.clips.size_px": 31}))
    assert "3 problem(s)" in message
    assert "min_score: 200 is not below" in message
    assert "train.clips.size_px: 31, but small3d" in message


def test_a_rule_over_a_faulty_value_is_left_out(changed):
    assert "1 problem(s)" in refuse(changed({"train.clips.size_px": "big"}))


def test_decoder_devices_are_known():
    assert set(av.codec.hwaccel.hwdevices_available()) <= set(HWACCELS)


ODD_VALUES = [
    *(None, True, 0, -1, 3.5, math.nan, math.inf, 10**400, 10**5000, 2**63, 1e308, b"x", "\0"),
    *("", "i3d", [], [[]], [-1, "b", None], {}, {1: 2}, {"a": 1}, (1, 2), {1, 2}),
]
ODD_KEYS = ["zzz", "lr", "train", 1, 2.5, None, True, (1, 2), math.nan]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_file_holds_its_faults_are_told(changed, seed):
    """Never an error of the checker's own, nor a message of the library it is built on."""
    rng, messages = random.Random(seed), []
    for _ in range(200):
        content = changed({})
        for _ in range(rng.choice([1, 2, 3, 8])):
            section = rng.choice([content, *content.values(), *content["datasets"].values()])
            if not isinstance(section, dict) or not section:
                continue
            key = rng.choice([*section, *section, *ODD_KEYS])
            if rng.random() < 0.2:
                section.pop(key, None)
            else:
                section[key] = copy.deepcopy(rng.choice(ODD_VALUES))
            if not isinstance(content.get("datasets"), dict):
                content["datasets"] = {}
        try:
            parse_options(Params, content, source="params.yaml")
        except ParamsError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not any("Input should" in message for message in messages)
    assert max(map(len, messages)) < 60_000


@pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**5)), {"a": ["x" * 1000] * 1000}])
@pytest.mark.parametrize("key", ["lr", "model", "train", "train.clips.starts", "backbone"])
def test_messages_stay_short(changed, key, value):
    assert len(refuse(changed({key: value}))) < 10_000


def test_long_unknown_keys_and_many_faults_stay_short(changed):
    message = refuse(changed({f"{'k' * 1000}{number}": 1 for number in range(200)}))
    assert "200 problem(s)" in message
    assert message.endswith("… and 150 more")
    assert len(message) < 60_000


def test_missing_file(tmp_path):
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file.*repository's root"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"lr: [1", "not valid YAML: line 1: expected ',' or ']'"),
        (b"lr: \xff\xfe", "not valid YAML: byte 5 is no UTF-8"),
        ("lr: 1".encode("utf-16"), "not valid YAML: byte 1 is no UTF-8"),
        (b"lr: 1\0", "not valid YAML: unacceptable character #x0000"),
        (b"lr:\n\tx: 1", "not valid YAML: line 2: found character '\\t'"),
        (b"lr: 1\n---\nlr: 2\n", "not valid YAML: line 2: but found another document"),
        (b"lr: " + b"9" * 5000, "not valid YAML: Exceeds the limit"),
        (b"lr: 2001-13-45", "not valid YAML: month must be in 1..12"),
        (b"lr: !!bool x", "not valid YAML: 'x'"),
        (b"[" * 3000, "line 1: sections or lists more than 20 deep"),
        (b"\n".join(b" " * n + b"a:" for n in range(3000))[:90_000], "line 21: sections or lists"),
        (b"j: &j 1\nlr: *j\n", "line 1: aliases and anchors (*name, &name) are not read"),
        (b"lr: *j\n", "line 1: aliases and anchors"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "line 1: aliases and anchors"),
        (b"x" * 100_001, "more than 100,000 bytes are no parameters"),
    ],
)
def test_file_that_is_no_params_file(tmp_path, content, told):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml") as caught:
        load_params(path)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 600


def test_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(ParamsError, match=r"cannot be read as a file \(Is a directory\)"):
        load_params(tmp_path)


@pytest.mark.parametrize("content", ["", "- 1", "just a text"])
def test_file_that_is_no_mapping(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError, match=r"the file: expected a section with keys, got "):
        load_params(path)


def test_key_given_twice(tmp_path):
    """The second one would win silently."""
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text() + "\nlr: 1.0\n")
    with pytest.raises(ParamsError, match=r"not valid YAML: line \d+: found duplicate key .lr."):
        load_params(path)


def test_yaml_cannot_run_code(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("lr: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ParamsError, match=r"not valid YAML"):
        load_params(path)
