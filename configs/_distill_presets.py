"""What rebuilds the training sets of the original system, by their names."""

PRESETS = {
    # Flat threshold, then each class to the size of the smallest.
    "bal_flat": {"thresholds": "0.70", "balance": "smallest", "split": "image", "merge": "none"},
    # Neutral and positive must be surer.
    "unb": {"thresholds": "0.70/0.90/0.90", "balance": "none", "split": "image", "merge": "none"},
    "bal": {
        "thresholds": "0.70/0.90/0.90",
        "balance": "smallest",
        "split": "image",
        "merge": "none",
    },
    # `unb` and all of B-T4SA under new labels (threshold 0.70), all split anew.
    "merged": {
        "thresholds": "0.70/0.90/0.90",
        "balance": "none",
        "split": "image",
        "merge": "original",
    },
}
