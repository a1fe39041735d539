"""Reading a `config.json` key by key: every key is asked for by name, and what nobody asked for is looked at too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from scoville.errors import ModelError

# A key that nobody read and that looks like these may change sizes or shapes, so it is refused, not ignored.
_STRUCTURAL = re.compile(
    r"^num_|^n_|_num_|_size$|_sizes$|_dim$|_dims$|_rank$|layer|expert|head|window|chunk|_interval|_step$|_pattern"
    r"|moe|mtp|nextn|conv|ssm|mamba|linear_|bias|sparse|lora|index_|top_?k|shared|mlp|latent"
)

# Keys of training, tokenizer, generation, routing arithmetic and position encoding: no bytes, no FLOP worth counting.
_IRRELEVANT = frozenset({
    "add_cross_attention", "architectures", "attention_dropout", "attention_probs_dropout_prob",
    "attn_logit_softcapping", "attn_scale", "attn_temperature_tuning", "audio_config", "aux_loss_alpha",
    "bos_token_id", "cache_implementation", "chunk_size_feed_forward", "cross_attention_hidden_size", "embd_pdrop",
    "encoder_no_repeat_ngram_size", "eos_token_id", "ep_size", "final_logit_softcapping", "floor_scale", "hidden_act",
    "hidden_activation", "hidden_dropout", "id2label", "indexer_rope_interleave", "init_std",
    "initial_context_length", "initializer_range", "label2id", "layer_norm_eps", "layer_norm_epsilon",
    "mamba_ssm_dtype", "masked_softmax_fusion", "max_length", "moe_router_dtype", "mtp_use_dedicated_embeddings",
    "n_group", "no_repeat_ngram_size", "norm_topk_prob", "num_beam_groups", "num_beams", "num_labels",
    "num_return_sequences", "offset_alibi", "output_attentions", "output_hidden_states", "output_router_logits",
    "pad_token_id", "partial_rotary_factor", "pretraining_tp", "pruned_heads", "query_pre_attn_scalar", "resid_pdrop",
    "rms_norm_eps", "rope_interleave", "rope_parameters", "rope_scaling", "rope_theta", "rotary_dim",
    "routed_scaling_factor", "router_aux_loss_coef", "router_jitter_noise", "router_z_loss_coef", "scoring_func",
    "seq_aux", "skip_bias_add", "skip_bias_add_qkv", "slow_but_exact", "swiglu_limit", "temperature",
    "tokenizer_class", "top_k", "top_p", "topk_group", "topk_method", "transformers_version", "typical_p",
    "unk_token_id", "use_cache", "vision_config",
})  # fmt: skip
_IRRELEVANT_STARTS = ("_", "layernorm_", "layer_norm_")


class ConfigKeys:
    """The keys of one configuration, and which of them were read.

    `place` begins every error sentence (a file name), `prefix` is "text_config." inside a multi-modal wrapper.
    """

    def __init__(self, values: Mapping[str, Any], place: str, model_type: str, prefix: str = "") -> None:
        self.values = values
        self.place = place
        self.model_type = model_type
        self.prefix = prefix
        self.notes: list[str] = []
        self._read: set[str] = set()
        self._assumed: dict[str, int] = {}
        self._whose = ""

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise ModelError: '<file>: <key> <problem>'."""
        raise ModelError(f"{self.place}: {self.prefix}{key} {problem}")

    def raw(self, *names: str) -> Any:
        """The value of the first of `names` that is given and not null, else None. All count as read."""
        self._read.update(names)
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
            if name in self._assumed and name not in self.values:
                value = self._assumed[name]
                self.note(f"{name} is not given: {value:,}, {self._whose}")
                return value
        return None

    def assume(self, whose: str, **values: int) -> None:
        """Values of keys that the family's configs may leave out; each one used is noted with `whose` they are."""
        self._assumed, self._whose = values, whose

    def integer(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """An integer >= `least` under the first name given; `default` if none is. Raises ModelError if missing."""
        value = self.raw(*names)
        if value is None:
            if default is None:
                raise ModelError(
                    f"{self.place}: key '{self.prefix}{names[0]}' is missing; "
                    f"model_type '{self.model_type}' needs it, an integer >= {least}"
                )
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.fail(self._given(*names), f"is {value!r}; expected an integer >= {least}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean, or `default`. Raises ModelError on anything else."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(name, f"is {value!r}; expected true or false")
        return value

    def word(self, *names: str, allowed: Iterable[str]) -> str | None:
        """One of the words `allowed` under the first name given, or None. Raises ModelError on anything else."""
        value = self.raw(*names)
        if value is not None and (not isinstance(value, str) or value not in set(allowed)):
            self.fail(self._given(*names), f"is {value!r}; expected one of {', '.join(sorted(allowed))}")
        return value

    def _given(self, *names: str) -> str:
        return next((n for n in names if self.values.get(n) is not None), names[0])

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, or None if not given. Raises ModelError on anything else."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int) for v in value):
            self.fail(name, "is not a list of integers")
        return tuple(value)

    def layer_types(self, count: int, allowed: Iterable[str]) -> tuple[str, ...] | None:
        """`layer_types`, one word per layer out of `allowed`, or None if not given. Raises ModelError."""
        value = self.raw("layer_types")
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != count:
            self.fail("layer_types", f"must be a list with one entry for each of the {count} layers")
        for i, word in enumerate(value):
            if word not in allowed:
                self.fail(f"layer_types[{i}]", f"is {word!r}; expected one of {', '.join(sorted(allowed))}")
        return tuple(value)

    def understood(self, *names: str) -> None:
        """Keys that this family knows and that change neither bytes nor FLOP."""
        self._read.update(names)

    def note(self, sentence: str) -> None:
        """Keep a sentence for `Architecture.notes`, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def refuse_unread(self) -> None:
        """Raise ModelError for a key that nobody read, that looks structural and that is switched on.

        Null, false, 0 and empty values switch a feature off; keys on the list of irrelevant ones and keys that name
        no size, count or layer kind (as new versions of transformers add) are ignored.
        """
        for key, value in self.values.items():
            if (
                key in self._read
                or key in _IRRELEVANT
                or key.startswith(_IRRELEVANT_STARTS)
                or key.endswith("_token_id")
            ):
                continue
            if value and _STRUCTURAL.search(key):
                raise ModelError(
                    f"{self.place}: key '{self.prefix}{key}' is not understood for model_type "
                    f"'{self.model_type}'; remove it if it changes neither sizes nor layers"
                )
