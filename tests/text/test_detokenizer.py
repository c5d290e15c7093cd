import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models

from mlx_backends.text.detokenizer import ByteLevelDetokenizer, Detokenizer
from mlx_backends.text.stop import StopMatcher
from mlx_backends.text.tokenizer import Tokenizer as OurTokenizer

streams = settings(
    max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def pieces(detokenizer: Detokenizer, token_ids: list[int]) -> list[str]:
    return [*(detokenizer.add(token_id) for token_id in token_ids), detokenizer.finish()]


@pytest.fixture(scope="session")
def tokenizers_by_kind(
    byte_level_tokenizers,
    sentencepiece_tokenizer,
    unigram_tokenizer,
    wordpiece_tokenizer,
    tmp_path_factory,
) -> dict[str, OurTokenizer]:
    kinds = {
        "byte level": byte_level_tokenizers["llama3"],
        "sentencepiece": sentencepiece_tokenizer,
        "unigram": unigram_tokenizer,
        "wordpiece": wordpiece_tokenizer,
    }
    loaded = {}
    for kind, tokenizer in kinds.items():
        folder = tmp_path_factory.mktemp("model")
        tokenizer.save(str(folder / "tokenizer.json"))
        loaded[kind] = OurTokenizer.from_folder(folder)
    return loaded


@settings(streams, max_examples=500)
@given(data=st.data(), skip=st.booleans())
@pytest.mark.parametrize("kind", ["byte level", "sentencepiece", "unigram", "wordpiece"])
def test_joined_stream_is_the_whole_decode(tokenizers_by_kind, kind, data, skip):
    tokenizer = tokenizers_by_kind[kind]
    last_id = tokenizer.vocab_size + 2
    # The first ids are the special tokens and the bytes, where all the trouble is.
    ids = st.one_of(st.integers(0, min(270, last_id)), st.integers(0, last_id))
    token_ids = data.draw(st.lists(ids, max_size=24))
    whole = tokenizer.decode(token_ids, skip_special_tokens=skip)
    emitted = ""
    for piece in pieces(tokenizer.detokenizer(skip_special_tokens=skip), token_ids):
        emitted += piece
        # Every character was final when it was shown: U+FFFD only where the whole has it.
        assert whole.startswith(emitted)
    assert emitted == whole


@settings(streams, max_examples=500)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_stop_strings_over_a_stream(tokenizers_by_kind, kind, data):
    tokenizer = tokenizers_by_kind[kind]
    token_ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size), max_size=20))
    whole = tokenizer.decode(token_ids)
    start = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    stops = [whole[start : start + data.draw(st.integers(1, 4))] or "x", "\ufffd\ufffd", "zz"]
    detokenizer, matcher = tokenizer.detokenizer(), StopMatcher(stops)
    emitted, matched = "", None
    for text in pieces(detokenizer, token_ids):
        result = matcher.feed(text)
        emitted += result.text_to_emit
        matched = result.matched
        if matched:
            break
    emitted += matcher.finish()
    assert whole.startswith(emitted)
    assert not any(stop in emitted for stop in stops)
    assert (matched is None) == (emitted == whole)
    if matched:
        assert whole[len(emitted) :].startswith(matched)


@streams
@given(data=st.binary(max_size=40), cuts=st.lists(st.integers(0, 40), max_size=10))
def test_bytes_decode_as_the_library_does(data, cuts):
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    tokens = [data[a:b] for a, b in itertools.pairwise(bounds)]
    detokenizer = ByteLevelDetokenizer(tokens.__getitem__)
    assert "".join(pieces(detokenizer, list(range(len(tokens))))) == data.decode("utf-8", "replace")


def test_run_of_byte_tokens_is_held_until_it_is_decided(tokenizers_by_kind):
    tokenizer = tokenizers_by_kind["sentencepiece"]
    ids = [tokenizer._decoder._library.token_to_id(f"<0x{byte:02X}>") for byte in "é".encode()]
    bad = tokenizer._decoder._library.token_to_id("<0xFF>")
    letter = tokenizer._decoder._library.token_to_id("a")
    assert pieces(tokenizer.detokenizer(), [*ids, letter]) == ["", "", "éa", ""]
    assert pieces(tokenizer.detokenizer(), [*ids, bad, letter]) == [
        "",
        "",
        "",
        "\ufffd" * 3 + "a",
        "",
    ]
    assert pieces(tokenizer.detokenizer(), ids) == ["", "", "é"]


def test_added_token_outside_the_byte_alphabet(write_folder, byte_level_tokenizers):
    library = Tokenizer.from_str(byte_level_tokenizers["gpt2"].to_str())
    library.add_tokens([AddedToken("\uff5cé  \uff5c"), AddedToken("ééé")])
    tokenizer = OurTokenizer.from_folder(write_folder(library))
    ids = [tokenizer.vocab_size - 2, tokenizer.vocab_size - 1]
    assert "".join(pieces(tokenizer.detokenizer(), ids)) == tokenizer.decode(ids)


def test_unknown_chain_around_byte_level_is_shown_at_the_end(write_folder, byte_level_tokenizers):
    library = Tokenizer.from_str(byte_level_tokenizers["gpt2"].to_str())
    library.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 1)])
    tokenizer = OurTokenizer.from_folder(write_folder(library))
    ids = tokenizer.encode(" a b ")
    *earlier, last = pieces(tokenizer.detokenizer(), ids)
    assert not any(earlier)
    assert last == tokenizer.decode(ids)


def test_bpe_suffix_decoder(write_folder):
    vocab = {"<unk>": 0, "a</w>": 1, "b</w>": 2, "c": 3}
    library = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", end_of_word_suffix="</w>"))
    library.decoder = decoders.BPEDecoder()
    tokenizer = OurTokenizer.from_folder(write_folder(library))
    assert pieces(tokenizer.detokenizer(), [1, 3, 2, 1]) == ["a", " c", "b", " a", ""]


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_cost_per_token_does_not_grow(tokenizers_by_kind, kind):
    tokenizer = tokenizers_by_kind[kind]
    token_ids = tokenizer.encode("the quick brown fox ") * 5_000
    started = time.perf_counter()
    assert "".join(pieces(tokenizer.detokenizer(), token_ids)) == tokenizer.decode(token_ids)
    # Decoding from the start at each token takes minutes.
    assert time.perf_counter() - started < 10.0
