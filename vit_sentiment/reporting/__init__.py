"""The one look: manifests, metric logs, figures and single-file HTML reports."""
