"""The compiled half of generation: prompts into a batch of rows, and steps of all rows."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from attrs import frozen
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tunix_jax.generation import kv_cache
from tunix_jax.generation.sampling import Sampling, choose, drawn_logprobs
from tunix_jax.models.attention import attend
from tunix_jax.models.decoder import Decoder, Params, before

T = TypeVar("T")
# Up to this length a prompt's whole square of scores is made at once.
_DENSE_LENGTH = 256


class Rows(NamedTuple):
    """Rows that are being decoded; all of it lives on the device and is donated to each step.

    Args:
        caches: Keys and values of every layer.
        made: int32[rows, most]; tokens made so far.
        counts: int32[rows]; how many of them count.
        tokens: int32[rows]; the newest token, not yet in the cache.
        previous: int32[rows]; the token before it.
        positions: int32[rows]; where the newest token stands.
        keys: uint32[rows, 2]; randomness.
        active: bool[rows]; rows that are not finished.
        logprobs: float32[rows, most]; with which log-probability each token in ``made`` was
            drawn; None where nobody asks.
    """

    caches: list[kv_cache.LayerCache]
    made: jax.Array
    counts: jax.Array
    tokens: jax.Array
    previous: jax.Array
    positions: jax.Array
    keys: jax.Array
    active: jax.Array
    logprobs: jax.Array | None


class Choice(NamedTuple):
    """What may change without a new compilation.

    Args:
        sampling: How to choose tokens.
        stops: int32[any]; ids that end a row, -1 for none.
        most: int32; tokens after which a row ends; at most the width of ``made``.
    """

    sampling: Sampling
    stops: Any
    most: Any


@frozen
class Engine:
    """Prefill and decode steps of a model; compiled once for each shape.

    Args:
        decoder: The decoder.
        dtype: Type of the computation and of the cache.
        by_row: How rows are spread over devices.
        logprobs: Whether log-probabilities of the drawn tokens are computed.
    """

    decoder: Decoder
    dtype: Any
    by_row: NamedSharding
    logprobs: bool = False

    def empty(self, rows: int, length: int, most: int) -> Rows:
        """Rows of which none is active.

        Args:
            rows: How many; a multiple of the number of devices.
            length: Most tokens of a prompt and what follows it.
            most: Most tokens that are made for a row.
        """

        def make() -> Rows:
            zeros = jnp.zeros(rows, jnp.int32)
            return Rows(
                caches=kv_cache.empty_cache(self.decoder.config, rows, length, self.dtype),
                made=jnp.zeros((rows, most), jnp.int32),
                counts=zeros,
                tokens=zeros,
                previous=zeros,
                positions=zeros,
                keys=jnp.zeros((rows, 2), jnp.uint32),
                active=jnp.zeros(rows, bool),
                logprobs=jnp.zeros((rows, most)) if self.logprobs else None,
            )

        shapes = jax.eval_shape(make)
        return jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=self.by_row), shapes
        )

    @partial(jax.jit, static_argnums=0, donate_argnames="rows")
    def prefill(
        self,
        params: Params,
        rows: Rows,
        tokens: jax.Array,
        lengths: jax.Array,
        keys: jax.Array,
        places: jax.Array,
        choice: Choice,
    ) -> Rows:
        """Put prompts into rows, and choose the first token of each.

        Args:
            params: Parameters, see :func:`place_params`.
            rows: The rows; donated.
            tokens: int32[prompts, length]; right-padded.
            lengths: int32[prompts]; at least 1.
            keys: uint32[prompts, 2]; randomness of each prompt.
            places: int32[prompts]; the row of each; a number beyond the last row drops it.
            choice: How to choose.
        """
        tokens = self._spread(tokens)
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        segments = jnp.zeros_like(tokens)
        # The compiler spreads these two over devices by itself.
        kind = "dense" if tokens.shape[1] <= _DENSE_LENGTH else "blockwise"

        def insert_and_attend(
            state: tuple[kv_cache.LayerCache, Any],
            query: jax.Array,
            key: jax.Array,
            value: jax.Array,
        ) -> tuple[jax.Array, kv_cache.LayerCache]:
            cache, window = state
            config = self.decoder.config
            attended = attend(query, key, value, segments, window, config=config, kind=kind)
            return attended, kv_cache.insert(cache, key, value, lengths, places)

        x = self.decoder.embed(params, tokens, before(tokens, positions), self.dtype)
        states = list(zip(rows.caches, self.decoder.windows(tokens.shape[1]), strict=True))
        x, caches = self.decoder.walk(params["blocks"], x, positions, insert_and_attend, states)
        last = jnp.take_along_axis(x, (lengths - 1)[:, None, None], axis=1)[:, 0]
        logits = self.decoder.logits(params, self.decoder.final(params, last))
        first = choose(logits, keys, lengths, choice.sampling)
        newest = jnp.take_along_axis(tokens, (lengths - 1)[:, None], axis=1)[:, 0]

        put = partial(_put, places)
        rows = rows._replace(
            caches=caches,
            counts=put(rows.counts, jnp.zeros_like(lengths)),
            tokens=put(rows.tokens, newest),
            positions=put(rows.positions, lengths - 1),
            keys=put(rows.keys, keys),
        )
        fresh = put(jnp.zeros_like(rows.active), jnp.ones_like(lengths, bool))
        drawn = _Drawn(put(rows.tokens, first), None)
        if self.logprobs:
            said = drawn_logprobs(logits, first, choice.sampling)
            drawn = drawn._replace(logprobs=put(jnp.zeros(fresh.shape), said))
        return self._spread(_record(rows, drawn, fresh, rows.active | fresh, choice))

    def _spread(self, tree: T) -> T:
        """Say that the first axis of every array lies by row."""
        return jax.lax.with_sharding_constraint(tree, self.by_row)

    @partial(jax.jit, static_argnums=0, donate_argnames="rows")
    def decode(
        self,
        params: Params,
        rows: Rows,
        finished: jax.Array,
        choice: Choice,
        steps: jax.Array,
        leave_at: jax.Array,
    ) -> Rows:
        """Step all rows until few are active.

        Args:
            params: Parameters, see :func:`place_params`.
            rows: The rows; donated.
            finished: bool[rows]; rows that are no longer wanted.
            choice: How to choose.
            steps: int32; most steps.
            leave_at: int32; stop when no more rows than this are active.
        """

        def going(state: tuple[jax.Array, Rows]) -> jax.Array:
            step, rows = state
            return (step < steps) & (jnp.sum(rows.active) > leave_at)

        def body(state: tuple[jax.Array, Rows]) -> tuple[jax.Array, Rows]:
            step, rows = state
            return step + 1, self._step(params, rows, choice)

        rows = rows._replace(active=rows.active & ~finished)
        return self._spread(jax.lax.while_loop(going, body, (jnp.int32(0), rows))[1])

    def _step(self, params: Params, rows: Rows, choice: Choice) -> Rows:
        """Run the newest token of every row, and choose the next."""
        decoder = self.decoder

        def append_and_attend(
            cache: kv_cache.LayerCache, query: jax.Array, key: jax.Array, value: jax.Array
        ) -> tuple[jax.Array, kv_cache.LayerCache]:
            cache = kv_cache.append(cache, key, value, rows.positions)
            attended = kv_cache.attend_cached(query, cache, rows.positions, decoder.config)
            return attended, cache

        x = decoder.embed(params, rows.tokens[:, None], rows.previous[:, None], self.dtype)
        positions = rows.positions[:, None]
        x, caches = decoder.walk(params["blocks"], x, positions, append_and_attend, rows.caches)
        logits = decoder.logits(params, decoder.final(params, x[:, 0]))
        chosen = choose(logits, rows.keys, rows.positions + 1, choice.sampling)
        said = drawn_logprobs(logits, chosen, choice.sampling) if self.logprobs else None
        rows = rows._replace(caches=caches)
        return _record(rows, _Drawn(chosen, said), rows.active, rows.active, choice)


class _Drawn(NamedTuple):
    """A token of every row, int32[rows], and its log-probability, float32[rows] or None."""

    tokens: jax.Array
    logprobs: jax.Array | None


def _record(
    rows: Rows, drawn: _Drawn, wanted: jax.Array, active: jax.Array, choice: Choice
) -> Rows:
    """Take the drawn tokens of the wanted rows, and end rows that are done."""
    chosen = drawn.tokens
    places = (jnp.arange(rows.made.shape[1]) == rows.counts[:, None]) & wanted[:, None]
    counts = rows.counts + wanted
    ended = jnp.any(chosen[:, None] == choice.stops, axis=1) | (counts >= choice.most)
    if rows.logprobs is not None and drawn.logprobs is not None:
        kept = jnp.where(places, drawn.logprobs[:, None], rows.logprobs)
        rows = rows._replace(logprobs=kept)
    return rows._replace(
        made=jnp.where(places, chosen[:, None], rows.made),
        counts=counts,
        tokens=jnp.where(wanted, chosen, rows.tokens),
        previous=jnp.where(wanted, rows.tokens, rows.previous),
        positions=rows.positions + wanted,
        active=active & ~(wanted & ended),
    )


def _put(places: jax.Array, old: jax.Array, new: jax.Array) -> jax.Array:
    return old.at[places].set(new, mode="drop")


def params_mesh(params: Params) -> Mesh:
    """The mesh that parameters lie on, or one of all devices of this process."""
    shardings = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(params)]
    meshes = [sharding.mesh for sharding in shardings if isinstance(sharding, NamedSharding)]
    for mesh in meshes:
        if isinstance(mesh, Mesh) and mesh.size > 1:
            return mesh
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), ("rows",), (AxisType.Auto,), devices=devices)


def row_sharding(mesh: Mesh) -> NamedSharding:
    """Rows spread over all devices."""
    # JAX leaves out axes of one device where it reports how an array lies, and compiles anew
    # for what looks like another way to lie.
    axes = tuple(name for name, size in mesh.shape.items() if size > 1)
    return NamedSharding(mesh, P(axes) if axes else P())


def place_params(params: Params, dtype: Any, mesh: Mesh) -> Params:
    """Parameters for decoding, ``blocks`` a list with one entry a layer.

    A slice of a stacked array would be copied in every step.

    Args:
        params: Parameters, blocks stacked; on the host or on devices.
        dtype: Type of the computation. Norms stay float32, which they compute in.
        mesh: Devices; all of them get what is not spread over them already.
    """
    everywhere = NamedSharding(mesh, P())

    def place(path: Any, leaf: Any) -> jax.Array:
        cast = jnp.asarray(leaf).astype(jnp.float32 if path[-1].key == "scale" else dtype)
        spread = isinstance(cast.sharding, NamedSharding) and cast.sharding.mesh == mesh
        return cast if spread else jax.device_put(cast, everywhere)

    def block(layer: int) -> Params:
        sliced = jax.tree.map(lambda stacked: _layer(stacked, layer), params["blocks"])
        made: Params = jax.tree_util.tree_map_with_path(place, sliced)
        return made

    rest = {name: part for name, part in params.items() if name != "blocks"}
    whole: Params = jax.tree_util.tree_map_with_path(place, rest)
    layers = len(jax.tree.leaves(params["blocks"])[0])
    return whole | {"blocks": [block(layer) for layer in range(layers)]}


def _layer(stacked: Any, layer: int) -> Any:
    if isinstance(stacked, np.ndarray):
        return stacked[layer]
    return _slice(stacked, layer)


@jax.jit
def _slice(stacked: jax.Array, layer: int) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(stacked, layer, 0, keepdims=False)
