import os

import pytest

from mlx_backends.errors import RequestError
from mlx_backends.retrieval.documents import MAX_FILE_BYTES, read_documents


def names(corpus, root):
    return [os.path.relpath(document.path, root) for document in corpus.documents]


def test_text_and_markdown_are_read_in_order(tmp_path):
    for name in [
        "b.md",
        "a.txt",
        "c.rst",
        "d.MARKDOWN",
        "e.py",
        "sub/a.md",
        ".hidden/x.md",
        ".y.md",
    ]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name, encoding="utf-8")
    assert names(read_documents(tmp_path), tmp_path) == [
        "a.txt",
        "b.md",
        "c.rst",
        "d.MARKDOWN",
        "sub/a.md",
    ]


def test_a_named_file_is_read_whatever_its_suffix(tmp_path):
    (tmp_path / "notes").write_text("hello", encoding="utf-8")
    corpus = read_documents(str(tmp_path / "notes"))
    assert [(d.path, d.text) for d in corpus.documents] == [(str(tmp_path / "notes"), "hello")]


def test_paths_stay_as_they_were_asked_for(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("hello", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_documents("docs").documents[0].path == os.path.join("docs", "a.md")


def test_line_ends_and_byte_order_mark_are_normalized(tmp_path):
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_documents(tmp_path).documents[0].text == "one\ntwo\nthree\n"


def test_what_is_not_text_is_skipped_with_a_reason(tmp_path):
    (tmp_path / "ok.md").write_text("hello", encoding="utf-8")
    (tmp_path / "binary.md").write_bytes(b"a\0b")
    (tmp_path / "latin.md").write_bytes("café".encode("latin-1"))
    (tmp_path / "blank.md").write_text(" \n\t\n", encoding="utf-8")
    with (tmp_path / "huge.md").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "dangling.md").symlink_to(tmp_path / "nowhere")
    corpus = read_documents(tmp_path)
    assert names(corpus, tmp_path) == ["ok.md"]
    assert {os.path.basename(s.path): s.reason for s in corpus.skipped} == {
        "binary.md": "binary",
        "latin.md": "not UTF-8 (byte 3)",
        "blank.md": "empty",
        "huge.md": "larger than 10,000,000 bytes",
        "pipe.md": "not a regular file",
        "dangling.md": "not a regular file",
    }


def test_loops_of_links_end(tmp_path):
    (tmp_path / "a.md").write_text("hello", encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert names(read_documents(tmp_path), tmp_path) == ["a.md"]


def test_a_missing_path_says_so(tmp_path):
    with pytest.raises(RequestError, match="no file or folder"):
        read_documents(tmp_path / "nowhere")


def test_a_folder_without_documents_says_what_is_read(tmp_path):
    with pytest.raises(RequestError, match=r"\.md, \.rst, \.txt"):
        read_documents(tmp_path)


def test_a_folder_of_unreadable_files_says_why(tmp_path):
    (tmp_path / "a.md").write_bytes(b"\0")
    with pytest.raises(RequestError, match=r"a\.md: binary"):
        read_documents(tmp_path)
