"""Run descriptions: files with `get_config(arg)`; `common.py` documents every field."""
