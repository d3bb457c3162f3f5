"""Tokenizers and chat templates: text stays text, markup becomes control tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tunix_core.errors import TunixError, UsageError
from tunix_core.records import Step, Trace
from tunix_core.rendering import TAGS, gemma_turns, render
from tunix_jax.text.prompt_encoder import PromptEncoder, choose_markup
from tunix_jax.text.tokenizer import TextTokenizer

TRAINED = TextTokenizer.train(["What is 3 + 4?\n<reasoning>3 + 4 = 7</reasoning>"] * 3, 300)

# One template in the manner of each family: what it must cope with, and no more.
GEMMA = """{{ bos_token }}
{%- if messages[0].role == "system" %}{{ raise_exception("no system role") }}{% endif %}
{%- for m in messages %}
    {%- if (m.role == "user") != (loop.index0 % 2 == 0) %}{{ raise_exception("turns") }}{% endif %}
    {{- "<start_of_turn>" ~ ("model" if m.role == "assistant" else m.role) ~ "\n" }}
    {%- if m.content is string %}{{ m.content | trim }}{% endif %}
    {{- "<end_of_turn>\n" }}
{%- endfor %}"""
LLAMA = """{{- bos_token }}
{%- set today = strftime_now("%d %b %Y") if strftime_now is defined else "1 Jan 2025" %}
{{- "<|start_header_id|>system<|end_header_id|>\n\nToday: " + today + "\n\n<|eot_id|>" }}
{%- if tools is not none %}{{ tools | tojson(indent=4) }}{% endif %}
{%- for m in messages %}
    {{- "<|start_header_id|>" + m["role"] + "<|end_header_id|>\n\n" + m["content"] | trim }}
    {{- "<|eot_id|>" }}
{%- endfor %}"""
QWEN2 = """{%- if messages[0]["role"] != "system" %}
    {{- "<|im_start|>system\nYou are helpful.<|im_end|>\n" }}
{%- endif %}
{%- for m in messages %}
    {{- "<|im_start|>" + m.role + "\n" + m.content + "<|im_end|>" + "\n" }}
{%- endfor %}"""
QWEN3 = """{%- for m in messages %}
    {{- "<|im_start|>" + m.role + "\n" }}
    {%- if m.role == "assistant" and loop.last %}
        {{- "<think>\n" + m.content.split("</think>")[0][:0] + "\n</think>\n\n" }}
        {%- generation %}{{ m.content.lstrip("\n") }}{% endgeneration %}
    {%- else %}
        {{- m.content }}
    {%- endif %}
    {{- "<|im_end|>\n" }}
{%- endfor %}"""


def byte_level(special: list[str], plain: list[str]) -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen have it: bytes, then added tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in plain])
    return tokenizer


def sentence_pieces(special: list[str]) -> Tokenizer:
    """As Gemma has it: control tokens in the vocabulary proper, spaces replaced, bytes at need."""
    pieces = [*special, *(f"<0x{n:02X}>" for n in range(256)), *"▁abcdefghij<>_/\n"]
    vocabulary = {text: i for i, text in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


def directory(path: Path, tokenizer: Tokenizer, **files: Any) -> Path:
    """A Hugging Face directory; ``chat`` is a template file, all else JSON."""
    path.mkdir(exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    for name, content in files.items():
        if name == "chat":
            (path / "chat_template.jinja").write_text(content, encoding="utf-8")
        else:
            (path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def gemma(path: Path) -> Path:
    return directory(
        path,
        sentence_pieces(["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]),
        tokenizer_config={"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
        generation_config={"bos_token_id": 2, "eos_token_id": [1, 4], "pad_token_id": 0},
        chat=GEMMA,
    )


def llama(path: Path) -> Path:
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
    return directory(
        path,
        byte_level([*special, "<|eot_id|>"], []),
        tokenizer_config={
            "bos_token": {"content": "<|begin_of_text|>", "special": True},
            "eos_token": "<|eot_id|>",
            "chat_template": [
                {"name": "tool_use", "template": "{{ nothing.here }}"},
                {"name": "default", "template": LLAMA},
            ],
        },
        config={"eos_token_id": [257, 260]},
    )


def qwen(path: Path, chat: str) -> Path:
    return directory(
        path,
        byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "</think>"]),
        tokenizer_config={
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "chat_template": chat,
        },
        config={"bos_token_id": 256, "eos_token_id": 256},
    )


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TextTokenizer]:
    root = tmp_path_factory.mktemp("families")
    paths = {
        "gemma": gemma(root / "gemma"),
        "llama": llama(root / "llama"),
        "qwen2": qwen(root / "qwen2", QWEN2),
        "qwen3": qwen(root / "qwen3", QWEN3),
    }
    return {name: TextTokenizer.from_directory(path) for name, path in paths.items()}


FAMILIES = ["gemma", "llama", "qwen2", "qwen3"]
CONTROL = "<eos> <bos> <end_of_turn> <|eot_id|> <|im_end|> <|begin_of_text|> <|endoftext|>"
MIXED = st.lists(st.sampled_from([*CONTROL.split(), *TAGS, " ", "\n", "abc", "é😀", "<", "_"])).map(
    "".join
)


def test_control_tokens_of_a_directory(families: dict[str, TextTokenizer]) -> None:
    found = {name: (t.begin, t.end, t.ends, t.pad) for name, t in families.items()}
    assert found["gemma"] == (2, 1, (1, 4), 0)
    assert found["llama"] == (256, 260, (260, 257), 260), "pads with its end for want of better"
    assert found["qwen2"] == (None, 258, (258, 256), 256), "a bos_token of null is none"


@pytest.mark.parametrize(
    ("family", "before", "between", "end"),
    [
        ("gemma", "<bos><start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", 4),
        (
            "llama",
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: 1 Jan 2025\n\n"
            "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
            "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            260,
        ),
        (
            "qwen2",
            "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n",
            258,
        ),
        (
            "qwen3",
            "<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            258,
        ),
    ],
)
def test_chat_markup(
    families: dict[str, TextTokenizer], family: str, before: str, between: str, end: int
) -> None:
    tokenizer = families[family]
    assert choose_markup("show_your_work", tokenizer) == "chat"
    assert choose_markup("show_your_work", tokenizer, "never") == "plain"
    encoder = PromptEncoder(tokenizer, "chat")
    (prompt,), (completion,) = encoder.prompt_ids([" a b\n"]), encoder.completion_ids(["c d"])
    assert tokenizer.decode(prompt, control=True) == f"{before}a b{between}"
    assert tokenizer.decode(completion) == "c d"
    assert completion[-1] == end, "what follows the end of the turn is not learned"
    assert end in encoder.ends


@pytest.mark.parametrize(
    ("family", "markup"),
    [
        *((family, markup) for family in FAMILIES for markup in ("plain", "chat")),
        ("gemma", "turns"),
    ],
)
@given(texts=st.tuples(MIXED, MIXED))
def test_text_never_becomes_a_control_token(
    families: dict[str, TextTokenizer], family: str, markup: Any, texts: tuple[str, str]
) -> None:
    tokenizer = families[family]
    encoder = PromptEncoder(tokenizer, markup)

    def encode(prompt: str, completion: str) -> tuple[str, list[int]]:
        if markup == "turns":
            rendered = gemma_turns(prompt, completion)
            prompt, completion = rendered.prompt, rendered.completion
        ids = encoder.prompt_ids([prompt])[0] + encoder.completion_ids([completion])[0]
        return tokenizer.decode(ids, control=True), [i for i in ids if tokenizer.is_control(i)]

    harmless, markers = encode("QUESTION", "ANSWER")
    prompt = texts[0].strip() if markup == "chat" else texts[0]
    before, rest = harmless.split("QUESTION")
    between, after = rest.split("ANSWER")
    assert encode(*texts) == (before + prompt + between + texts[1] + after, markers)


@given(st.text())
def test_a_trained_tokenizer_loses_nothing(text: str) -> None:
    text = text.encode("utf-8", "replace").decode() + "<answer>7</answer><eos>"
    (ids,) = TRAINED.encode([text])
    assert TRAINED.decode(ids) == text
    assert not {TRAINED.pad, TRAINED.begin, TRAINED.end} & set(ids)


def test_tags_are_one_token_each_and_ends_are_left_out(tmp_path: Path) -> None:
    TRAINED.save(tmp_path / "new.json")
    state = json.loads((tmp_path / "new.json").read_bytes())
    for token in state["added_tokens"]:
        token["special"] = True
    (tmp_path / "old.json").write_text(json.dumps(state), encoding="utf-8")
    for name in ("new.json", "old.json"):
        tokenizer = TextTokenizer.load(tmp_path / name)
        assert tokenizer.encode(["".join(TAGS)]) == [[tokenizer.single(tag) for tag in TAGS]]
        (ids,) = PromptEncoder(tokenizer).completion_ids(["<answer>7</answer>"])
        assert ids[-1] == tokenizer.end
        assert tokenizer.decode(ids) == "<answer>7</answer>"
        assert tokenizer.files() == {"tokenizer.json": (tmp_path / name).read_bytes()}
    assert TextTokenizer.load(tmp_path / "new.json").fingerprint() == TRAINED.fingerprint()
    assert tokenizer.fingerprint() != TRAINED.fingerprint()


def test_gemma_turns_of_the_data_are_parsed_once(families: dict[str, TextTokenizer]) -> None:
    rendered = render(Trace("a<eos>", "7", (Step(0, "compute", "b"),)), "gemma_chat")
    tokenizer = families["gemma"]
    assert choose_markup("gemma_chat", tokenizer) == "turns"
    encoder = PromptEncoder(tokenizer, "turns")
    (prompt,) = encoder.prompt_ids([rendered.prompt])
    (completion,) = encoder.completion_ids([rendered.completion])
    assert tokenizer.decode(prompt, control=True) == "<bos>" + rendered.prompt
    assert tokenizer.decode(completion, control=True) == rendered.completion
    assert [i for i in prompt if tokenizer.is_control(i)] == [2, 3, 4, 3]
    assert [i for i in completion if tokenizer.is_control(i)] == [4]
    assert choose_markup("gemma_chat", TRAINED) == "plain"


@pytest.mark.parametrize(
    "chat",
    [
        "{{ raise_exception('only tools\nhere') }}",
        "{% for m in messages %}",
        "{{ messages[0].content }}",
        "{{ messages[1].content }}{{ messages[0].content }}",
        "{{ strftime_now('%d') }}{{ messages[0].content }}{{ messages[1].content }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
    ],
)
def test_a_chat_template_that_cannot_be_used(tmp_path: Path, chat: str) -> None:
    tokenizer = TextTokenizer.from_directory(qwen(tmp_path, chat))
    with pytest.raises(UsageError, match="chat template") as caught:
        PromptEncoder(tokenizer, "chat")
    assert "\n" not in str(caught.value)
    assert "set chat_template to never" in str(caught.value)


def test_a_model_without_chat_template(tmp_path: Path) -> None:
    assert choose_markup("show_your_work", TRAINED) == "plain"
    with pytest.raises(UsageError, match="has no chat template"):
        PromptEncoder(TRAINED, "chat")


def test_a_saved_directory_is_the_same_tokenizer(tmp_path: Path) -> None:
    first = TextTokenizer.from_directory(llama(tmp_path / "base"))
    (tmp_path / "saved").mkdir()
    for name, content in first.files().items():
        (tmp_path / "saved" / name).write_bytes(content)
    (tmp_path / "saved" / "config.json").write_bytes((tmp_path / "base/config.json").read_bytes())
    second = TextTokenizer.from_directory(tmp_path / "saved")
    pair = [PromptEncoder(tokenizer, "chat") for tokenizer in (first, second)]
    assert pair[0].fingerprint() == pair[1].fingerprint()
    assert pair[0].fingerprint() != PromptEncoder(first).fingerprint()


def test_vocabularies_that_do_not_belong_together(tmp_path: Path) -> None:
    path = qwen(tmp_path, QWEN2)
    assert TextTokenizer.from_directory(path, 261 + 1024).vocab_size == 261
    with pytest.raises(TunixError, match="different vocabularies: 261 tokens, 1286 rows"):
        TextTokenizer.from_directory(path, 261 + 1025)
    with pytest.raises(TunixError, match="different vocabularies: 261 tokens, 255 rows"):
        TextTokenizer.from_directory(path, 255)


def test_an_added_token_without_a_row_is_refused_only_when_it_is_used(tmp_path: Path) -> None:
    tokenizer = TextTokenizer.from_directory(qwen(tmp_path, QWEN2), 260)
    assert tokenizer.encode(["<think>"]) == [[259]]
    with pytest.raises(TunixError, match="token '</think>' has id 260, the model has 260 rows"):
        tokenizer.encode(["fine", "<think>no</think>"])


def test_nothing_is_cut_or_padded_whatever_the_file_says(tmp_path: Path) -> None:
    cutting = byte_level(["<bos>", "<eos>"], [])
    cutting.enable_truncation(2)
    cutting.enable_padding(length=9)
    tokenizer = TextTokenizer.from_directory(directory(tmp_path, cutting))
    assert [len(ids) for ids in tokenizer.encode(["abcd", "a"])] == [4, 1]


def test_files_that_are_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no tokenizer\.json"):
        TextTokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    for read in (TextTokenizer.from_directory, TextTokenizer.load):
        with pytest.raises(UsageError, match="is no tokenizer"):
            read(tmp_path)
    directory(tmp_path, byte_level([], []))
    with pytest.raises(UsageError, match="no token <eos>"):
        TextTokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="no JSON object"):
        TextTokenizer.from_directory(tmp_path)
