"""The report of probes: the table of all, and one HTML file."""

from typing import Any

from vit_sentiment.evaluation.probes import FIGURES, SHOTS
from vit_sentiment.reporting import figures, html


def summary(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table of all probes, of what `probe.json` holds."""
    header = ["", "rows", "accuracy", "95 % interval or deviation", "macro-F1", "macro recall"]
    header += ["ROC-AUC", "log-loss", "calibration error"]
    rows = [_row("linear (all)", result["linear"]["model"])]
    rows.append(_row(f"{result['k']}-NN", result["knn"]["model"]))
    scored = result["linear"]["scored"]
    for shots in sorted(SHOTS, reverse=True):
        if few := result["few_shot"].get(str(shots)):
            mean, deviation = few["mean"], few["deviation"]["accuracy"]
            spread = None if deviation is None else f"± {deviation:.4f}"
            first = [f"few-shot, {shots} per class", scored, mean["accuracy"], spread]
            rows.append(first + [mean[name] for name in FIGURES[1:]])
    majority = result["linear"]["model"]["majority"]
    rows.append(["majority class", scored, majority, *[None] * 6])
    return header, rows


def _row(name: str, values: dict[str, Any]) -> list[Any]:
    low, high = values["interval_95"]["accuracy"]
    first = [name, values["rows"], values["accuracy"], f"{low:.4f} to {high:.4f}"]
    return first + [values[key] for key in FIGURES[1:]]


def report(title: str, result: dict[str, Any], facts: dict[str, Any]) -> str:
    """The whole HTML document.

    Args:
      result: what `probe.json` holds.
      facts: what the manifest tells, shown at the end.
    """
    train, test, judged = result["train"], result["test"], result["linear"]
    classes = list(judged["model"]["per_class"])
    chosen = [["C", key, score] for key, score in result["C_scores"].items()]
    chosen += [["k", key, score] for key, score in result["k_scores"].items()]
    told = (
        f"Accuracy {judged['model']['accuracy']:.4f} of the linear probe: classifiers on frozen "
        f"features, trained on {train['rows']:,} photos by their "
        f"{train['label'].replace('_', ' ')} and judged on {judged['scored']:,} by their "
        f"{test['label'].replace('_', ' ')}; {judged['unlabelled']:,} without a label and "
        f"{judged['unreadable']:,} unreadable are left out. Figures of few-shot are means over "
        f"{result['draws']} draws of the labelled photos."
    )
    points = {n: (few["mean"], few["deviation"]) for n, few in result["few_shot"].items()}
    points["all"] = (judged["model"], {})
    found = [
        html.table(*summary(result)),
        html.figure(
            figures.few_shot(points, judged["model"]["majority"]),
            "Linear probes by labelled photos of each class; bars: deviation over the draws.",
        ),
        html.figure(
            figures.confusion_matrix(judged["model"]["confusion_matrix"], classes),
            "The linear probe: rows and, in percent, the share of the gold class.",
        ),
    ]
    choices = [
        html.paragraph(
            f"Macro-F1 on {result['chosen_on']}. Chosen: C {result['C']:g}, k {result['k']}."
        ),
        html.table(["", "candidate", "macro-F1"], chosen),
    ]
    sections = [("Figures", found), ("Choices", choices)]
    return html.page(title, told, sections, facts, warnings=result["warnings"])
