"""A model and how to sample from it: what a trainer hands out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Prompt
from tunix_jax.generation.decoding import params_mesh
from tunix_jax.generation.sampler import STEPS, Sampler
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.text.prompt_encoder import PromptEncoder


class JaxPredictor:
    """Completes prompts with a model held in memory.

    What a prompt gets depends on the prompt, the model and the config alone.

    Args:
        params: Parameters of the model, blocks stacked; on the host or on devices.
        decoder: The model.
        encoder: Encodes prompts; its tokenizer decodes completions.
        config: How to sample.
        dtype: Type of the computation and the cache.
        steps: Steps between two looks at what was made; changes no completion.
        logprobs: Let completions carry token ids and log-probabilities.
    """

    def __init__(
        self,
        params: Params,
        decoder: Decoder,
        encoder: PromptEncoder,
        config: GenerationConfig,
        dtype: str,
        steps: int = STEPS,
        *,
        logprobs: bool = False,
    ) -> None:
        mesh = params_mesh(params)
        self._sampler = Sampler(decoder, encoder, dtype, mesh, steps, logprobs=logprobs)
        self._params, self._config = self._sampler.place(params), config

    def complete(self, prompts: Iterable[Prompt]) -> Iterator[Completion]:
        """Completions in the order of the prompts, each as soon as those before it are out."""
        return self._sampler.complete(self._params, prompts, self._config)
