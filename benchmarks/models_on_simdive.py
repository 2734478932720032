"""What each model and each loss reaches on simdive: rank correlation, and whether sigma is true.

    dvc repro make_splits                         # the data, once
    python benchmarks/models_on_simdive.py [--only dae_mt …] [--seeds 0 1 2] [--threads 2]
    python benchmarks/models_on_simdive.py --table

Trains with the parameters of params.yaml, but in `AT_FIRST` as they were shipped at first, changed
as `CONFIGURATIONS` says, as `dvc exp run -S …` would; a seed also draws another validation split.
The test samples are predicted once. Each training's figures go into
benchmarks/results/models_on_simdive.json as soon as they are known, and those that are there are
not trained again. `--table` prints the tables of docs/models.md.

`oracle` is the rank correlation with the judges' true sigma that the best possible sigma has, one
that knows the judges' noise and how large the model's own errors are at each score. `…_other_law`
is the control: the rank correlation with the sigma that the judges would have had under the noise
law that the model never saw. A sigma that learned nothing may look right under one of the two.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import yaml
from filelock import FileLock
from scipy import ndimage, stats

from _common import REPO_ROOT, RESULTS_DIR, environment, markdown_table
from dae_aqa.clips.dataset import SampleDataset
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.datasets.simdive.generation import tables
from dae_aqa.datasets.simdive.options import NoiseLaw
from dae_aqa.files.whole import written_whole
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.options import parse_options
from dae_aqa.params import Params
from dae_aqa.splits.make import make_splits
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.training.session import inputs_of, train_model

RESULT = RESULTS_DIR / "models_on_simdive.json"
AT_FIRST: dict[str, Any] = {
    "num_epochs": 30,
    "train.clips.starts": [4],
    "train.clips.num_frames": 48,
    "train.clips.stride": 2,
    "train.clips.crop_px": 256,
    "train.clips.size_px": 64,
    "train.neck": "mean",
    "train.average_mirrored": False,
    "train.average_weights": 0.0,
}
MID_PEAK = {"datasets.simdive.noise_law": "mid_peak"}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "dae_mt": {},
    "dae": {"model": "dae"},
    "mlp": {"model": "mlp"},
    "dae_judges": {"model": "dae_judges"},
    "usdl": {"model": "usdl", "lr": 5e-4},  # at 2e-3 it does not learn
    "musdl": {"model": "musdl"},
    "core": {"model": "core"},
    "dae_core": {"model": "dae_core"},
    "dae_mt attention": {"train.neck": "attention"},
    "dae_mt averaged": {"train.average_weights": 0.99},
    "dae_mt beta_nll": {"train.loss.name": "beta_nll"},
    "dae_mt crps": {"train.loss.name": "crps"},
    # as released: no warm-up, raw targets, sigma as it comes
    "dae_mt mse": {
        "train.loss.name": "mse",
        "train.loss.mse_warmup_fraction": 0.0,
        "train.calibrate_sigma": False,
    },
    "dae_mt mid_peak": MID_PEAK,
    "dae_judges mid_peak": {"model": "dae_judges", **MID_PEAK},
    "dae_mt mse mid_peak": {
        "train.loss.name": "mse",
        "train.loss.mse_warmup_fraction": 0.0,
        "train.calibrate_sigma": False,
        **MID_PEAK,
    },
}
FIGURES = (
    *("spearman", "spearman_execution", "mae", "coverage_90", "nll", "nll_constant_sigma"),
    *("crps", "sharpness", "rejection_tau", "rejection_tau_execution"),
    *("sigma_rank_correlation", "sigma_rank_correlation_execution"),
    "sigma_judges_rank_correlation_execution",
)


def parameters(changes: Mapping[str, Any], *, seed: int, num_threads: int) -> Params:
    """Return params.yaml with `changes` by dotted key."""
    content = yaml.load((REPO_ROOT / "params.yaml").read_text(), Loader=yaml.SafeLoader)
    content = copy.deepcopy(content)
    given = {"train.num_threads": num_threads, "train.tracking": False, "device": "cpu"}
    for key, value in {"seed": seed, **given, **changes}.items():
        *sections, name = key.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return parse_options(Params, content, source="params.yaml")


def keep_decoded_frames() -> None:
    """Let trainings of one layout share their samples' frames, a sixth of their time."""
    known: dict[tuple[str, int, ClipLayout], Any] = {}
    read = SampleDataset._read

    def reading(self: SampleDataset, pack: Any, rows: np.ndarray) -> Any:
        key = (pack.meta.sample_id, hash(rows.tobytes()), self.layout)
        if key not in known:
            known[key] = read(self, pack, rows)
        return known[key]

    SampleDataset._read = reading  # type: ignore[method-assign]


def train_and_test(params: Params, *, frames_dir: Path) -> dict[str, Any]:
    """Return the test figures of one training."""
    simulated = params.datasets.simdive
    annotations, truth = tables(options=simulated)
    (other_law,) = set(get_args(NoiseLaw)) - {simulated.noise_law}
    _, other_truth = tables(options=simulated.replaced(noise_law=other_law))
    splits = make_splits(
        annotations, options=params.make_splits, is_users_own=False, seed=params.seed
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = inputs_of(params, frames_dir=frames_dir, features_dir=folder)
        trained, result = train_model(
            params,
            scoring_rule=simulated.scoring_rule,
            frames=params.frames,
            annotations=annotations,
            splits=splits,
            inputs=inputs,
            work_dir=folder,
            on_epoch=lambda epoch, figures: None,
        )
        test = select_samples(
            annotations, splits, split=("test",), scoring_rule="diving", with_judges=False
        )
        prediction = predict(
            trained.model,
            inputs.feed(trained, test),
            performances=test.performances,
            batch_size=params.test_batch_size,
            precision=params.train.precision,
            show_progress=False,
        )
    truth = truth.set_index("sample_id").loc[test.sample_ids]
    judges, mixture = prediction.sigma_judges_execution, prediction.mixture_execution
    predictions = build_predictions(
        samples=annotations.set_index("sample_id").loc[test.sample_ids].reset_index(),
        mu_execution=prediction.mu_execution.numpy(),
        sigma_execution=prediction.sigma_execution.numpy(),
        sigma_judges_execution=None if judges is None else judges.numpy(),
        mixture_execution=None if mixture is None else mixture.numpy(),
        true_sigma_execution=truth["true_sigma_execution"].to_numpy(),
    )
    metrics = evaluate_predictions(predictions, num_bootstrap=100, seed=0)
    other = other_truth.set_index("sample_id").loc[test.sample_ids, "true_sigma_execution"]
    other_ranks = {
        f"{name}_rank_correlation_other_law": stats.spearmanr(values.numpy(), other).statistic
        for name, values in (("sigma", prediction.sigma_execution), ("sigma_judges", judges))
        if values is not None
    }
    error = predictions["mu_execution"].to_numpy() - truth["true_execution"].to_numpy()
    return {
        **{name: metrics.get(name) for name in FIGURES},
        **{name: float(value) for name, value in other_ranks.items()},
        "mean_sigma_execution": float(predictions["sigma_execution"].mean()),
        "model_error_sd": float(error.std()),
        "judges_noise_sd": float(np.sqrt((truth["true_sigma_execution"] ** 2).mean())),
        "oracle": oracle(predictions, error=error),
        "best_epoch": result.best_epoch,
        "num_test": len(test),
    }


def oracle(predictions: pd.DataFrame, *, error: np.ndarray) -> float:
    """Return how well the best possible sigma ranks like the judges' own noise.

    The best sigma of a score holds the judges' noise, known here exactly, and the model's own
    error, whose variance is taken from the test errors, smoothed over the predicted score.
    """
    order = np.argsort(predictions["mu_execution"].to_numpy())
    variance = np.empty(len(error))
    variance[order] = ndimage.uniform_filter1d(error[order] ** 2, size=len(error) // 3)
    noise = predictions["true_sigma_execution"].to_numpy()
    return float(stats.spearmanr(np.sqrt(variance + noise**2), noise).statistic)


def missing(path: Path, *, names: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield what the result file does not hold yet: seed by seed, each name in its order."""
    for seed in seeds:
        for name in names:
            if not any(row["name"] == name and row["seed"] == seed for row in read_rows(path)):
                yield name, seed


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a result file."""
    return json.loads(path.read_text())["rows"] if path.exists() else []


def add_row(path: Path, row: dict[str, Any], *, names: Sequence[str]) -> None:
    """Add a row to a result file, in the order of `names`; several processes may do so in turn."""
    with FileLock(path.with_suffix(".lock")):
        rows = [*read_rows(path), row]
        rows.sort(key=lambda row: (names.index(row["name"]), row["seed"]))
        with written_whole(path) as part:
            part.write_text(
                json.dumps({"environment": environment(), "rows": rows}, indent=1) + "\n"
            )


def show(rows: list[dict[str, Any]]) -> None:
    """Print one line per configuration: the mean over the seeds, and the range."""
    columns = {
        "rho": "spearman",
        "rho, execution": "spearman_execution",
        "90 % holds": "coverage_90",
        "NLL": "nll",
        "one sigma for all": "nll_constant_sigma",
        "rejection tau": "rejection_tau",
        "sigma ~ judges' sigma": "sigma_rank_correlation_execution",
        "oracle": "oracle",
        "of the other law": "sigma_rank_correlation_other_law",
        "judges' part ~ judges' sigma": "sigma_judges_rank_correlation_execution",
        "judges' part, of the other law": "sigma_judges_rank_correlation_other_law",
    }
    print(table_of(rows, names=list(CONFIGURATIONS), columns=columns, heading="model, loss"))


def table_of(
    rows: Sequence[Mapping[str, Any]],
    *,
    names: Sequence[str],
    columns: Mapping[str, str],
    heading: str,
) -> str:
    """Return a table with a line for each name that has rows: the mean over the seeds, the range.

    Args:
        rows: of a result file.
        names: in the order of the lines.
        columns: key of a row by title.
        heading: title of the names.
    """
    lines = []
    for name in names:
        of_name = [row for row in rows if row["name"] == name]
        if of_name:
            cells = [cell([row.get(key) for row in of_name]) for key in columns.values()]
            lines.append((name, len(of_name), *cells))
    return markdown_table((heading, "seeds", *columns), lines)


def cell(values: Sequence[float | None]) -> str:
    """Return the mean over the seeds, and the range where there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = f" ({min(known):.3f} to {max(known):.3f})" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}"


def main() -> None:
    """Train what is asked for and not known yet; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(CONFIGURATIONS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--frames", type=Path, default=REPO_ROOT / "data/frames")
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    keep_decoded_frames()
    names = list(CONFIGURATIONS)
    for name, seed in [] if args.table else missing(RESULT, names=args.only, seeds=args.seeds):
        changes = {**AT_FIRST, **CONFIGURATIONS[name]}
        params = parameters(changes, seed=seed, num_threads=args.threads)
        figures = train_and_test(params, frames_dir=args.frames)
        add_row(RESULT, {"name": name, "seed": seed, **figures}, names=names)
    show(read_rows(RESULT))


if __name__ == "__main__":
    main()
