"""A language model that judges by a rubric: one answer by a score, or two by which is better."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from threading import Lock
from typing import Any, Literal

from attrs import frozen

from tunix_core.codec import canonical_json
from tunix_core.errors import TunixError, UsageError
from tunix_core.evaluators.common import labels, scorecard
from tunix_core.evaluators.remote import PairRequest
from tunix_core.records import Completion, Item, Score, Scorecard
from tunix_judges.cache import ReplyCache
from tunix_judges.client import RequestRefusedError
from tunix_judges.config import JudgeConfig
from tunix_judges.endpoints import ChatEndpoint, Endpoint, Reply
from tunix_judges.replies import Grade, UnreadableError, read_score, read_winner
from tunix_judges.rubric import Rubric

MAX_REASONING_CHARS = 2_000
PROBE = "Answer with the word: yes"
NO_ANSWER = "there is no answer"


@frozen
class _Judged:
    """What came of a prompt.

    Args:
        prompt: The prompt.
        replies: What the model said, once a sample.
        grades: What could be read of it.
        problems: Why the rest could not.
    """

    prompt: str
    replies: Sequence[Reply]
    grades: Sequence[Grade]
    problems: Sequence[str]

    def value(self, low: float = 0.0, high: float = 1.0) -> float | None:
        """The mean of the grades on a scale from 0.0 to 1.0; None without any."""
        if not self.grades:
            return None
        return fmean((grade.value - low) / (high - low) for grade in self.grades)

    def details(self) -> dict[str, Any]:
        """What was asked, and what was said."""
        details: dict[str, Any] = {}
        if self.grades:
            said = str(self.grades[0].said.get("reasoning") or "")[:MAX_REASONING_CHARS]
            details["reasoning"] = said.encode("utf-8", "replace").decode()
        else:
            details["refused"] = self.problems[0]
        if len(self.replies) > 1:
            values = [grade.value for grade in self.grades]
            details |= {"grades": values, "unread": list(self.problems)}
            details["spread"] = pstdev(values) if values else None
        models = sorted({reply.model for reply in self.replies if reply.model is not None})
        if models:
            details["model"] = ", ".join(models)
        return details | {"prompt": self.prompt, "replies": [reply.text for reply in self.replies]}


class LanguageJudge:
    """Asks a model for a score of every completion, or which of two is better.

    A blank completion gets 0.0 without being sent. Of several samples the mean counts. An item
    whose replies hold no judgement has no score, and its details say why.

    Args:
        endpoint: The model.
        rubrics: What it is told to look for: in one answer, in two, or each.
        cache: Replies that are there already.
        samples: Replies to every prompt.
        concurrency: Items that may be judged at the same time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        rubrics: Sequence[Rubric],
        cache: ReplyCache,
        samples: int = 1,
        concurrency: int = 1,
    ) -> None:
        self.concurrency = concurrency
        self._endpoint = endpoint
        self._rubrics = rubrics
        self._cache = cache
        self._samples = samples
        self._accepted = False
        self._probing = Lock()

    @property
    def fingerprint(self) -> str:
        """Digest of the endpoint, its parameters, the rubric and the number of samples."""
        said = {
            "url": self._endpoint.url,
            "request": self._endpoint.request(""),
            "rubrics": [rubric.sha256 for rubric in self._rubrics],
            "samples": self._samples,
        }
        return hashlib.sha256(canonical_json(said).encode()).hexdigest()

    def score(self, item: Item, completion: Completion) -> Score:
        """Grade one completion.

        Raises:
            UsageError: The rubric has no scale, so that it compares two answers.
            TunixError: The endpoint is not there, or refuses whatever is asked.
        """
        rubric = self._rubric_of("one answer")
        if not completion.text.strip():
            return Score(item.id, 0.0, self._blank(rubric), labels(item))
        low, high = rubric.scale or (0.0, 1.0)
        judged = self._ask(
            rubric.render(prompt=item.prompt, reference=item.answer, completion=completion.text),
            lambda reply: read_score(reply.text, low, high, reply.cut),
        )
        said = {**_verdict(rubric, judged), **_figures(rubric, judged)}
        details = {**said, **judged.details()}
        return Score(item.id, judged.value(low, high), details, labels(item))

    def prefer(self, request: PairRequest) -> Score:
        """Say which of two completions is better: 1.0 the first, 0.0 the second, 0.5 neither.

        Raises:
            UsageError: The rubric has a scale, so that it judges one answer.
            TunixError: The endpoint is not there, or refuses whatever is asked.
        """
        rubric, item = self._rubric_of("two answers"), request.item
        judged = self._ask(
            rubric.render(
                prompt=item.prompt,
                reference=item.answer,
                first=request.first.text,
                second=request.second.text,
            ),
            lambda reply: read_winner(reply.text, reply.cut),
        )
        return Score(item.id, judged.value(), judged.details(), labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The mean grade over the items that have one.

        Metrics: the means of the rubric's figures and of ``spread``, the standard deviation of
        several samples, where there are any; ``refused`` is the share of items without a grade,
        where there are such.
        """
        metrics = {}
        for name in (*self._figure_names(), "spread"):
            values = [score.details.get(name) for score in scores]
            known = [value for value in values if value is not None]
            if known:
                metrics[name] = fmean(known)
        refused = sum(score.value is None for score in scores)
        if refused:
            metrics["refused"] = refused / len(scores)
        return scorecard(scores, metrics)

    def _figure_names(self) -> list[str]:
        return [name for rubric in self._rubrics for name in rubric.figures]

    def _rubric_of(self, judged: Literal["one answer", "two answers"]) -> Rubric:
        fitting = [r for r in self._rubrics if (r.scale is None) == (judged == "two answers")]
        if fitting:
            return fitting[0]
        names = ", ".join(rubric.name for rubric in self._rubrics)
        raise UsageError(
            f"rubric {names} does not judge {judged}",
            "one with a scale judges one answer, one without compares two",
        )

    def _ask(self, prompt: str, read: Callable[[Reply], Grade]) -> _Judged:
        request = self._endpoint.request(prompt)
        replies, grades, problems = [], [], []
        for sample in range(self._samples):
            reply = self._cache.reply(self._endpoint.url, request, sample, self._reply)
            replies.append(reply)
            if reply.refusal is not None:
                problems.append(reply.refusal)
                continue
            try:
                grades.append(read(reply))
            except UnreadableError as problem:
                problems.append(str(problem))
        return _Judged(prompt, replies, grades, problems)

    def _reply(self, request: Mapping[str, Any]) -> Reply:
        try:
            reply = self._endpoint.ask(request)
        except RequestRefusedError as refusal:
            self._probe()
            return Reply("", refusal=refusal.message)
        self._accepted = True
        return reply

    def _probe(self) -> None:
        """Tell a refusal of one item from one of our settings, which every item would meet."""
        with self._probing:
            if self._accepted:
                return
            try:
                self._endpoint.ask(self._endpoint.request(PROBE))
            except RequestRefusedError as refusal:
                hint = "every request is refused so: change the judge's settings"
                raise TunixError(refusal.message, hint) from None
            self._accepted = True

    def _blank(self, rubric: Rubric) -> dict[str, Any]:
        verdict = {"verdict": "fail"} if rubric.verdict else {}
        return {**verdict, "reasoning": NO_ANSWER}


class LlmJudge(LanguageJudge):
    """A judge behind an endpoint that speaks OpenAI's chat completions.

    Args:
        config: The endpoint and the rubric.
        directory: Where replies are kept; None keeps none.

    Raises:
        UsageError: A setting is missing, or the rubric is none.
    """

    def __init__(self, config: JudgeConfig, directory: Path | None = None) -> None:
        names = ("work", "pairs")
        own = None if config.rubric is None else Rubric.read(config.rubric)
        super().__init__(
            ChatEndpoint(config),
            [Rubric.builtin(name) for name in names] if own is None else [own],
            ReplyCache(directory, config.ask_again),
            config.samples,
            config.concurrency,
        )


def _verdict(rubric: Rubric, judged: _Judged) -> dict[str, Any]:
    """The verdict that most samples give, where the rubric asks for one."""
    if not rubric.verdict:
        return {}
    said = Counter(str(grade.said.get("verdict")) for grade in judged.grades)
    verdict = said.most_common(1)[0][0] if said else None
    return {"verdict": verdict if verdict in ("pass", "fail") else "uncertain"}


def _figures(rubric: Rubric, judged: _Judged) -> dict[str, float | None]:
    """The rubric's further figures, each the mean over the samples that give it."""
    figures: dict[str, float | None] = {}
    for name in rubric.figures:
        held = [grade.said.get("metrics") for grade in judged.grades]
        values = [said.get(name) for said in held if isinstance(said, dict)]
        known = [share for share in map(_share, values) if share is not None]
        figures[name] = fmean(known) if known else None
    return figures


def _share(value: Any) -> float | None:
    """A number from 0 to 1, or None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None
