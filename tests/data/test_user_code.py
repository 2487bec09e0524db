from __future__ import annotations

import sys

import pytest

from tightfit.data.user_code import guarded, load_function, refused
from tightfit.errors import DataError, ModelError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_named_module_and_what_it_imports_are_found_and_the_folder_is_on_no_path(folder):
    (folder / "spelled.py").write_text(
        "import beside_it\ndef f():\n    import later_on\n    return later_on.X\n"
    )
    (folder / "beside_it.py").write_text("")
    (folder / "later_on.py").write_text("X = 7")
    assert load_function("spelled:f", "a function")() == 7
    assert str(folder) not in sys.path
    assert "" not in sys.path


def test_no_other_module_finds_what_lies_there(folder):
    (folder / "spelled_two.py").write_text("import json.decoder\ndef f(): return 1\n")
    (folder / "only_here.py").write_text("raise SystemExit")
    (folder / "tensorflow_of_nobody.py").write_text("raise SystemExit")
    load_function("spelled_two:f", "a function")
    with pytest.raises(ModuleNotFoundError):
        __import__("only_here")


@pytest.mark.parametrize(
    "raised",
    ["SystemExit(0)", "SystemExit", "GeneratorExit", "Own", "ValueError('two\\nlines')", "MemoryError()"],
)
def test_whatever_a_module_raises_is_a_sentence(folder, raised):
    (folder / "raising.py").write_text(f"class Own(BaseException): pass\nraise {raised}\n")
    with pytest.raises(DataError, match="The module 'raising' of 'raising:f' cannot be imported: "):
        load_function("raising:f", "a function")


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), ValueError("odd")])
def test_whatever_an_iterator_raises_is_a_sentence(raised):
    def items():
        yield 1
        raise raised

    got = guarded(items(), "'f' failed with", "Expected items.")
    assert next(got) == 1
    with pytest.raises(DataError, match=rf"'f' failed with {type(raised).__name__}.* Expected items\."):
        next(got)


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), ModelError("ours")])
def test_an_interrupt_and_our_own_errors_go_through(raised):
    with pytest.raises(type(raised)), refused("never said"):
        raise raised


def test_what_user_code_prints_goes_to_stderr(capsys):
    with refused("never said"):
        print("a progress bar")  # noqa: T201 - what is tested
    out, err = capsys.readouterr()
    assert (out, err) == ("", "a progress bar\n")
