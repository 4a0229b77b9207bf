"""Training the byte-level BPE."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from components import chat, config, layout
from components.files import DataError, sha256_of
from components.models import ModelError, load_tokenizer
from components.schema import Message
from components.stage import StageError
from components.tokenizer.__main__ import main
from components.tokenizer.bpe import SMALLEST_VOCABULARY, train_tokenizer
from components.tokenizer.frames import frames

TEXTS = [
    "My head hurts since three days, about 4 out of 10.",
    "<|im_start|>user\nno tablets yet<|im_end|>\n",
    "I took 200 mg of ibuprofen; it didn't help.",
] * 20


def test_any_text_survives_encoding_and_decoding() -> None:
    tokenizer = train_tokenizer(TEXTS, 320, context=64)
    for text in ("naïve café 12.5 °C", "ألم في الرأس", "  two  spaces\n\tand tabs ", "🤕"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_are_split_one_by_one_as_qwen2_does() -> None:
    tokenizer = train_tokenizer(["in 2024 and 2025 and 2026"] * 50, 400, context=64)
    assert tokenizer.tokenize("2024") == ["2", "0", "2", "4"]


def test_special_tokens_are_single_tokens_and_their_spelling_teaches_no_merge() -> None:
    tokenizer = train_tokenizer(TEXTS, 400, context=64)
    for token in chat.SPECIAL_TOKENS:
        assert tokenizer(token)["input_ids"] == [tokenizer.convert_tokens_to_ids(token)]
    assert not [piece for piece in tokenizer.get_vocab() if "im_" in piece and piece not in chat.SPECIAL_TOKENS]


def test_the_saved_folder_renders_a_chat_with_the_end_of_turn_as_eos(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 320, context=64).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = chat.prompt_ids(tokenizer, [Message(role="user", content="my head hurts")])
    assert tokenizer.decode(ids) == "<|im_start|>user\nmy head hurts<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == chat.END_OF_TURN
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_no_text_is_refused_in_one_line() -> None:
    with pytest.raises(StageError, match="no text to train a tokenizer on"):
        train_tokenizer([], 320, context=64)


def test_a_small_corpus_gives_a_smaller_vocabulary_than_asked_for() -> None:
    assert SMALLEST_VOCABULARY <= len(train_tokenizer(["ab"], 5000, context=64)) < 300


def _corpus(root: Path) -> None:
    import json

    (root / "data/corpus").mkdir(parents=True)
    (root / "data/corpus/text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (root / "data/corpus/instruct.jsonl").write_text("")


def test_the_stage_writes_the_same_bytes_from_the_same_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.parse({"tokenizer": {"vocab_size": 320}})
    hashes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        _corpus(tmp_path / name)
        main(settings)
        hashes.append(sha256_of(Path("models/tokenizer")))
    assert hashes[0] == hashes[1]


def test_a_broken_corpus_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _corpus(tmp_path)
    with Path("data/corpus/text.jsonl").open("a") as lines:
        lines.write('{"txt": "no"}\n')
    with pytest.raises(DataError, match=rf"text\.jsonl, line {len(TEXTS) + 1}"):
        main(config.parse({}))


def test_with_another_base_it_is_that_bases_own_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data gate counts tokens with models/tokenizer, whichever base that is."""
    monkeypatch.chdir(tmp_path)
    theirs = train_tokenizer(["another vocabulary altogether"] * 50, 300, 64)
    folder = tmp_path / "their-model"
    theirs.save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    main(config.parse({"model": {"base": str(folder)}}))
    assert load_tokenizer(layout.TOKENIZER).get_vocab() == theirs.get_vocab()


def test_a_base_that_is_not_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"some/model.*cannot be fetched"):
        main(config.parse({"model": {"base": "some/model"}}))


ANSWERS = [
    '{"site":"knee","pain":3,"since":"2 weeks"}',
    '{"site":"back","pain":7,"since":"unspecified"}',
    '{"site":"eye","pain":1,"since":"an hour or so"}',
] * 10


def test_what_stands_between_the_values_of_every_answer_becomes_one_token() -> None:
    assert sorted(frames(ANSWERS)) == ['","pain":', ',"since":"', '{"site":"']
    tokenizer = train_tokenizer([*TEXTS, *ANSWERS], 400, context=64, frames=frames(ANSWERS))
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(ANSWERS[0])["input_ids"])
    assert [piece for piece in pieces if len(piece) > 3 and '"' in piece] == ['{"site":"', '","pain":', ',"since":"']
    assert not set(frames(ANSWERS)) & set(tokenizer.all_special_tokens)
    for answer in ANSWERS:
        assert tokenizer.decode(tokenizer(answer)["input_ids"], skip_special_tokens=True) == answer


def test_frames_are_found_in_structured_answers_that_share_them_and_nowhere_else() -> None:
    assert frames(["urgent", "routine", 'she said, "no": it hurts']) == []
    rare = ['{"a":"x"}'] * 95 + ['{"a":"x","seldom":"y"}'] * 5
    assert frames(rare) == ['{"a":"']


def test_frames_never_cost_the_bytes_their_room() -> None:
    tokenizer = train_tokenizer(TEXTS, SMALLEST_VOCABULARY + 1, context=64, frames=['{"a":"', '","b":"'])
    assert len(tokenizer) == SMALLEST_VOCABULARY + 1
    assert tokenizer.decode(tokenizer('{"a":"x","b":"y"}')["input_ids"]) == '{"a":"x","b":"y"}'
