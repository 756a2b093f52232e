"""RoBERTa and XLM-R for text classification in Flax Linen (Liu et al. 2019, arXiv 1907.11692).

Texts of a batch lie end to end in one array of tokens, so that nothing is computed for padding;
only attention lays them out side by side. Of the last block the first token alone is computed,
since the classifier reads no other.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vit_sentiment.models.classifier import Params


@dataclasses.dataclass(frozen=True)
class TextDescription:
    """Everything needed to build a text classifier around a parameter tree.

    Attributes:
      vocab_size: number of tokens.
      max_positions: rows of the table of positions; `pad_id + 1` of them are never used.
      token_types: rows of the table of token types, of which the first is used.
      hidden_size, num_layers, num_heads, mlp_size: sizes of the Transformer.
      pad_id: the token of padding, from which positions are counted.
      classes: their names in the order of the logits.
      gelu: `exact` or `tanh`.
      layer_norm_epsilon: of all layer norms.
    """

    vocab_size: int
    max_positions: int
    token_types: int
    hidden_size: int
    num_layers: int
    num_heads: int
    mlp_size: int
    pad_id: int
    classes: tuple[str, ...]
    gelu: str = "exact"
    layer_norm_epsilon: float = 1e-5

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text that there are positions for."""
        return self.max_positions - self.pad_id - 1


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the tokens of B texts are, end to end [N] and side by side [B, T].

    Attributes:
      lengths: [B]; 0 for rows that are not used.
      starts: [B], of each text's first token.
      texts, columns: [N], the text of each token and its place in it.
      slots: [B, T], the place of each token end to end; anything beyond a text's length.
    """

    lengths: jax.Array
    starts: jax.Array
    texts: jax.Array
    columns: jax.Array
    slots: jax.Array

    @classmethod
    def of(cls, lengths: jax.Array, tokens: int, width: int) -> "Layout":
        """For texts of `lengths`, in all at most `tokens` and none longer than `width`."""
        starts = jnp.cumsum(lengths) - lengths
        texts = jnp.repeat(jnp.arange(len(lengths)), lengths, total_repeat_length=tokens)
        columns = jnp.minimum(jnp.arange(tokens) - starts[texts], width - 1)
        slots = jnp.minimum(starts[:, None] + jnp.arange(width), tokens - 1)
        return cls(lengths, starts, texts, columns, slots)

    def side_by_side(self, x: jax.Array) -> jax.Array:
        """[N, ...] to [B, T, ...]."""
        return x[self.slots]

    def end_to_end(self, x: jax.Array) -> jax.Array:
        """[B, T, ...] to [N, ...]."""
        return x[self.texts, self.columns]


class Block(nn.Module):
    """A post-LayerNorm Transformer block: [N, D] to [N, D], or to the first tokens' [B, D]."""

    description: TextDescription
    first_token: bool

    @nn.compact
    def __call__(self, x: jax.Array, layout: Layout) -> jax.Array:
        d = self.description
        heads = (d.num_heads, d.hidden_size // d.num_heads)
        norm = functools.partial(nn.LayerNorm, epsilon=d.layer_norm_epsilon)
        y = x[layout.starts] if self.first_token else x
        query = nn.DenseGeneral(heads, name="query")(y)
        attended = jax.nn.dot_product_attention(
            query[:, None] if self.first_token else layout.side_by_side(query),
            layout.side_by_side(nn.DenseGeneral(heads, name="key")(x)),
            layout.side_by_side(nn.DenseGeneral(heads, name="value")(x)),
            key_value_seq_lengths=layout.lengths,
        )
        attended = attended[:, 0] if self.first_token else layout.end_to_end(attended)
        out = nn.DenseGeneral(d.hidden_size, axis=(-2, -1), name="out")(attended)
        y = norm(name="LayerNorm_0")(y + out)
        z = _gelu(d.gelu, nn.Dense(d.mlp_size, name="Dense_0")(y))
        return norm(name="LayerNorm_1")(y + nn.Dense(d.hidden_size, name="Dense_1")(z))


def _gelu(form: str, x: jax.Array) -> jax.Array:
    if form == "exact":
        # As PyTorch has it; jax.nn's erfc keeps more digits of what is near 0, at four times the
        # time on CPUs.
        return 0.5 * x * (1.0 + jax.lax.erf(x * np.float32(np.sqrt(0.5))))
    return jax.nn.gelu(x, approximate=True)


class TextClassifier(nn.Module):
    """Token ids [N] of B texts end to end, and their lengths [B], to float32 logits [B, C].

    `width` is at least the longest length; ids after the last text do not matter.
    """

    description: TextDescription

    @nn.compact
    def __call__(self, ids: jax.Array, lengths: jax.Array, *, width: int) -> jax.Array:
        d = self.description
        layout = Layout.of(lengths, len(ids), width)
        embed = functools.partial(nn.Embed, features=d.hidden_size)
        # As transformers counts: a padding token within a text has the position of padding.
        real = ids != d.pad_id
        counts = jnp.cumsum(real)
        before = (counts - real)[layout.starts]
        positions = d.pad_id + jnp.where(real, counts - before[layout.texts], 0)
        x = embed(d.vocab_size, name="word_embeddings")(ids)
        x += embed(d.token_types, name="token_type_embeddings")(jnp.zeros_like(ids))
        x += embed(d.max_positions, name="position_embeddings")(positions)
        x = nn.LayerNorm(epsilon=d.layer_norm_epsilon, name="embeddings_norm")(x)
        for layer in range(d.num_layers):
            last = layer == d.num_layers - 1
            x = Block(d, first_token=last, name=f"layer_{layer}")(x, layout)
        x = jnp.tanh(nn.Dense(d.hidden_size, name="head_dense")(x))
        return nn.Dense(len(d.classes), name="head_out")(x)


def probabilities(
    description: TextDescription,
    params: Params,
    ids: jax.Array,
    lengths: jax.Array,
    *,
    width: int,
) -> jax.Array:
    """Softmax [B, C] of ids [N] and lengths [B], see `TextClassifier`.

    Matrix products are full float32, so that GPUs do not use TF32 unasked.
    """
    with jax.default_matmul_precision("highest"):
        module = TextClassifier(description)
        return jax.nn.softmax(module.apply({"params": params}, ids, lengths, width=width))


def abstract_params(description: TextDescription) -> Params:
    """The parameter tree as ShapeDtypeStructs, without computing anything."""
    module = TextClassifier(description)
    tokens = jax.ShapeDtypeStruct((2,), jnp.int32), jax.ShapeDtypeStruct((1,), jnp.int32)
    init = functools.partial(module.init, width=2)
    return jax.eval_shape(init, jax.random.key(0), *tokens)["params"]
