"""How a model is computed: what changes speed and memory, never what the weights mean."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

ATTENTIONS = ("auto", "xla", "cudnn")
REMATS = ("none", "dots", "blocks")


@dataclasses.dataclass(frozen=True)
class Execution:
    """How to compute a model.

    Attributes:
      attention: `xla`; `cudnn`, the fused kernel of NVIDIA GPUs, in bfloat16 alone; or `auto`:
        `cudnn` where it works, else `xla`.
      remat: what the backward pass computes again instead of keeping it: `none`; `dots`:
        everything but matrix products; `blocks`: all of each block but its input.
      scan: the blocks are one compiled loop instead of a copy each: compiles faster and holds one
        more copy of their parameters while it runs. The parameter tree is the same either way.
      record: what explanations read is sown into `intermediates`, and takes `perturbations`, whose
        gradients are its own: `attention_weights` [B, H, T, S] of each attention, and `pooled`,
        the tokens whose mean is taken. Slow, for an encoder that is not scanned.
    """

    attention: str = "auto"
    remat: str = "none"
    scan: bool = False
    record: bool = False


DEFAULT = Execution()


def attend(
    implementation: str,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    module: nn.Module | None = None,
) -> jax.Array:
    """Softmax attention of [B, T, H, E] over [B, S, H, E] to [B, T, H, E].

    Args:
      module: the one that records the weights, see `Execution.record`; no kernel shows its weights,
        so they are computed without one.

    Raises:
      UserError: `cudnn` was asked for and does not work here; one line says why.
    """
    if module is not None:
        weights = nn.dot_product_attention_weights(query, key)
        weights = record(module, "attention_weights", weights)
        return jnp.einsum("bhts,bshe->bthe", weights, value)
    if implementation == "auto":
        implementation = "xla" if _cudnn_problem(query.dtype, query.shape[-1]) else "cudnn"
    elif implementation == "cudnn" and (problem := _cudnn_problem(query.dtype, query.shape[-1])):
        raise UserError(f"config.execution.attention: cudnn does not work here: {problem}")
    return jax.nn.dot_product_attention(query, key, value, implementation=implementation)


def record(module: nn.Module, name: str, value: jax.Array) -> jax.Array:
    """The value with its perturbation, if there is one; sown under its name."""
    value = module.perturb(name, value)
    module.sow("intermediates", name, value)
    return value


@functools.cache
def _cudnn_problem(dtype: jnp.dtype, head_dim: int) -> str | None:
    """Why cuDNN's attention cannot run, or None; a small compilation tells what no rule does."""
    if jax.default_backend() != "gpu":
        return f"it needs an NVIDIA GPU, this is {jax.default_backend()}"
    if dtype not in (jnp.bfloat16, jnp.float16):
        return f"it needs bfloat16, this is {jnp.dtype(dtype).name}"

    def loss(x: jax.Array) -> jax.Array:
        y = jax.nn.dot_product_attention(x, x, x, implementation="cudnn")
        return y.astype(jnp.float32).sum()

    try:
        # An odd number of tokens, as the class token makes it.
        x = jax.ShapeDtypeStruct((1, 17, 1, head_dim), dtype)
        jax.jit(jax.grad(loss)).lower(x).compile()
    except Exception as error:  # cuDNN, XLA and JAX have a type each for "not on this card".
        problem = " ".join(str(error).split())[:200]
        say(f"cuDNN's attention does not work here: {problem}")
        return problem
    return None
