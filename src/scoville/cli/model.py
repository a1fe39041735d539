"""`scoville model NAME|PATH`: what a model is made of, how big it is, and what a sequence of it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoville.cli.output import print_json, print_table

if TYPE_CHECKING:
    from scoville.transformer.architecture import Architecture, Attention, FeedForward
    from scoville.transformer.step import Parallelism, Precision

_CONTEXTS = (8192, 32768, 131072)
_FORMATS = ("declared", "bf16", "fp8", "mxfp4")


def model(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A bundled model or the path of a config.json.")],
    decode: Annotated[int, typer.Option(min=0, help="Show a step with that many sequences in decode,")] = 0,
    context: Annotated[int, typer.Option(min=0, help="each with that many tokens in its cache,")] = 1024,
    prefill: Annotated[int, typer.Option(min=0, help="and with one prompt of that many tokens;")] = 0,
    parallelism: Annotated[str, typer.Option(help='sharded like "TP4" or "TP1 DP8 EP8";')] = "TP1",
    weights: Annotated[str, typer.Option(help="weights in this format;")] = "declared",
    activations: Annotated[str, typer.Option(help="activations in this one,")] = "bf16",
    kv: Annotated[str, typer.Option(help="and the KV cache in this one.")] = "bf16",
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Show a model: layers, parameters, cache, weights; with --decode or --prefill the operators of a step."""
    from scoville import transformer
    from scoville.transformer.step import Parallelism, Precision

    architecture = transformer.load(name)
    if decode or prefill:
        step = _step(
            architecture, Precision(weights, activations, kv), Parallelism.parse(parallelism), decode, context, prefill
        )
        if json:
            print_json(step)
        else:
            _show_step(step)
        return
    answer = _answer(architecture)
    if json:
        print_json(answer)
    else:
        _show(answer)


def _step(
    a: Architecture, precision: Precision, parallelism: Parallelism, decode: int, context: int, prefill: int
) -> dict[str, Any]:
    """The operators of one step on one chip of the busiest rank, with their work at these tokens."""
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import uniform_mix

    table = operator_table(a, precision, parallelism)
    mix = uniform_mix(
        a,
        decode_sequences=decode,
        context_tokens=context,
        prefill_sequences=int(prefill > 0),
        prefill_tokens=prefill,
        worst_rank_frac=1 / parallelism.attention_data,
    )
    features = table.layout.features(mix)[0]
    operators = [
        {
            "name": op.name,
            "kind": op.kind,
            "runs_by_stage": op.per_stage_count,
            "shape_n_k": op.shape,
            "formats": (op.weight_rate, op.activation_rate),
            "flop": float(op.flop @ features),
            "weight_bytes": float(op.weight_bytes @ features),
            "kv_bytes": float(op.kv_bytes @ features),
            "activation_bytes": float(op.activation_bytes @ features),
            "link_bytes": float(op.link_bytes @ features),
            "collective": op.collective,
            "span_count": op.span_count,
            "may_overlap": op.may_overlap,
        }
        for op in table.operators
    ]
    return {
        "model": a.name,
        "parallelism": str(parallelism),
        "features": dict(zip(table.layout.names, features, strict=True)),
        "resident_bytes": table.resident_bytes,
        "operators": operators,
    }


def _show_step(step: dict[str, Any]) -> None:
    typer.echo(
        f"{step['model']} on {step['parallelism']}: work of each operator on one chip, "
        f"{step['resident_bytes'] / 1e9:,.3g} GB of weights per chip\n"
    )
    print_table(
        (
            "operator",
            "runs",
            "n x k",
            "formats",
            "GFLOP",
            "weights, MB",
            "KV, MB",
            "activations, MB",
            "link, MB",
            "among",
        ),
        [
            (
                o["name"],
                "+".join(str(r) for r in o["runs_by_stage"]),
                "{:,} x {:,}".format(*o["shape_n_k"]) if o["shape_n_k"] else "",
                "" if o["collective"] else " x ".join(dict.fromkeys(o["formats"])),
                o["flop"] / 1e9,
                o["weight_bytes"] / 1e6,
                o["kv_bytes"] / 1e6,
                o["activation_bytes"] / 1e6,
                o["link_bytes"] / 1e6,
                f"{o['span_count']}{', may overlap' if o['may_overlap'] else ''}" if o["collective"] else "",
            )
            for o in step["operators"]
        ],
    )


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
