"""Hugging Face folders by their path or by their name on the hub."""

import pathlib
import re

from checkpoints import hf_roberta, huggingface
from vit_sentiment.distillation import tokens
from vit_sentiment.runtime.errors import UserError

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = (huggingface.CONFIG_FILE, "*.safetensors", huggingface.INDEX_FILE, *tokens.FILES)


def locate(name: str) -> pathlib.Path:
    """A folder as it is, or NAME or NAME@REVISION of the hub, which is fetched if need be.

    What was fetched before is found without a network.

    Raises:
      UserError: it is neither, cannot be fetched, or has pickled weights alone.
    """
    path = pathlib.Path(name)
    if path.is_dir():
        return path
    repository, _, revision = name.partition("@")
    if not _NAME.fullmatch(repository):
        raise UserError(f"teacher {name}: no such folder, nor the name of a model (a/b)")
    import huggingface_hub

    try:
        folder = pathlib.Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=list(_WANTED)
            )
        )
    except Exception as error:  # Dozens of types, of the hub and of what carries its bytes.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"teacher {name}: cannot be fetched ({reason}); put {huggingface.CONFIG_FILE}, "
            f"{huggingface.WEIGHTS_FILE} and the tokeniser's files into a folder and name that"
        ) from error
    if not any((folder / f).exists() for f in (huggingface.WEIGHTS_FILE, huggingface.INDEX_FILE)):
        raise UserError(
            f"teacher {name}: the hub has no {huggingface.WEIGHTS_FILE} of it there, and "
            f"pickled weights are never loaded; name a revision that has it "
            f"({repository}@refs/pr/N), or {hf_roberta.how_to_convert(repository, 'FOLDER')}"
        )
    return folder
