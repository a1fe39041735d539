"""`scoville model NAME|PATH`: what a model is made of, how big it is, and what a sequence of it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoville.cli.output import print_json, print_table

if TYPE_CHECKING:
    from scoville.transformer.architecture import Architecture, Attention, FeedForward

_CONTEXTS = (8192, 32768, 131072)
_FORMATS = ("declared", "bf16", "fp8", "mxfp4")


def model(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A bundled model or the path of a config.json.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Show a model: layers, parameters, cache per token and per sequence, bytes of its weights."""
    from scoville import transformer

    answer = _answer(transformer.load(name))
    if json:
        print_json(answer)
    else:
        _show(answer)


def _answer(a: Architecture) -> dict[str, Any]:
    """Everything the command says about a model, as records."""
    from scoville.transformer.cache import bytes_per_sequence, layout, marginal_bytes_per_token
    from scoville.transformer.parameters import counted_as, parameters, published, weight_bytes

    figure = published(a.name)
    counted = None
    if figure is not None:
        total, active = counted_as(a, figure)
        counted = {"figure": figure, "total_as_published": total, "active_as_published": active}
    return {
        "name": a.name,
        "model_type": a.model_type,
        "source": a.source,
        "hidden": a.hidden,
        "vocabulary": a.vocabulary,
        "max_context_tokens": a.max_context_tokens or None,
        "tied_embedding": a.tied_embedding,
        "layer_groups": [{"count": a.layers.count(layer), "layer": layer} for layer in dict.fromkeys(a.layers)],
        "draft_layers": len(a.draft_layers),
        "parameters": parameters(a),
        "published": counted,
        "cache": layout(a),
        "cache_bytes_first_token": marginal_bytes_per_token(a),
        "cache_bytes_by_context_tokens": {str(c): bytes_per_sequence(a, c) for c in _CONTEXTS},
        "declared_formats": a.formats,
        "weights": {f: weight_bytes(a, f) for f in _FORMATS},
        "notes": a.notes,
    }


def _attention(x: Attention) -> str:
    span = "" if x.window is None else f", window {x.window:,}"
    if x.kind == "linear":
        return f"gated delta net, {x.heads} value and {x.key_heads} key heads, state {x.head_dim} x {x.v_head_dim}"
    if x.kind == "mla":
        sparse = f", top {x.sparse_top_k:,} of an indexer" if x.sparse_top_k else ""
        return f"MLA, {x.heads} heads, latent {x.kv_lora_rank} + {x.rope_dim}{sparse}"
    kind = "MHA" if x.kv_heads == x.heads else "MQA" if x.kv_heads == 1 else "GQA"
    return f"{kind}, {x.heads} heads, {x.kv_heads} KV heads of {x.head_dim}{span}"


def _feed_forward(x: FeedForward) -> str:
    if not x.experts:
        return f"dense, width {x.intermediate:,}"
    shared = f", shared width {x.shared_intermediate:,}" if x.shared_intermediate else ""
    return f"{x.experts_per_token} of {x.experts} experts, width {x.intermediate:,}{shared}"


def _show(answer: dict[str, Any]) -> None:
    context = answer["max_context_tokens"]
    typer.echo(
        f"{answer['name']} ({answer['model_type']}): hidden {answer['hidden']:,}, vocabulary {answer['vocabulary']:,}"
        f"{' (tied)' if answer['tied_embedding'] else ''}, "
        + (f"context up to {context:,} tokens" if context else "longest context not declared")
        + (f", draft layers: {answer['draft_layers']}" if answer["draft_layers"] else "")
        + "\n"
    )
    print_table(
        ["layers", "attention", "feed-forward"],
        [
            [g["count"], _attention(g["layer"].attention), _feed_forward(g["layer"].feed_forward)]
            for g in answer["layer_groups"]
        ],
    )
    _show_parameters(answer)
    _show_cache(answer)
    _show_weights(answer)
    for note in answer["notes"]:
        typer.echo(f"Note: {note}.")


def _show_parameters(answer: dict[str, Any]) -> None:
    p = answer["parameters"]
    rows: list[list[str | float]] = [["total", p.total / 1e9], ["active per token", p.active / 1e9]]
    for part in ("embedding", "head", "attention", "dense_mlp", "routed_experts", "shared_experts", "router", "norms"):
        if getattr(p, part):
            rows.append([part.replace("_", " "), getattr(p, part) / 1e9])
    if p.draft:
        rows.append(["draft, not in the total", p.draft / 1e9])
    typer.echo()
    print_table(["parameters", "billion"], rows)
    typer.echo("Active counts the output head and not the embedding.")
    if answer["published"] is not None:
        published = answer["published"]
        figure = published["figure"]
        typer.echo(
            f"Published: {figure.total_count / 1e9:,.4g} B, {figure.active_count / 1e9:,.4g} B active. "
            f"Counted that way: {published['total_as_published'] / 1e9:,.4g} B, "
            f"{published['active_as_published'] / 1e9:,.4g} B active."
        )
        typer.echo(f"Source: {figure.source}" + (f"; {figure.note}." if figure.note else "."))


def _show_cache(answer: dict[str, Any]) -> None:
    cache = answer["cache"]
    rows: list[list[str | float]] = [
        [
            "per token" if g.window_tokens is None else f"per token, up to {g.window_tokens:,} tokens",
            g.layers_count,
            f"{g.held_bytes_per_token:,.0f}",
        ]
        for g in cache.groups
    ]
    if cache.fixed_bytes:
        linear = sum(g["count"] for g in answer["layer_groups"] if g["layer"].attention.kind == "linear")
        rows.append(["fixed per sequence", linear, f"{cache.fixed_bytes:,.0f}"])
    layers = sum(g["count"] for g in answer["layer_groups"])
    rows += [
        [f"sequence of {int(c):,} tokens", layers, f"{float(size):,.0f}"]
        for c, size in answer["cache_bytes_by_context_tokens"].items()
    ]
    typer.echo()
    print_table([f"cache in {cache.kv_format}", "layers", "bytes"], rows)


def _show_weights(answer: dict[str, Any]) -> None:
    declared = answer["declared_formats"]
    typer.echo()
    print_table(["weights stored as", "GB"], [[name, w.total_bytes / 1e9] for name, w in answer["weights"].items()])
    typer.echo(
        f"Declared: attention {declared.attention}, dense and shared MLP {declared.feed_forward}, "
        f"routed experts {declared.experts}, embedding, head, norms and router {declared.embedding}."
    )
