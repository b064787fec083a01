"""YAML 1.2, and nothing that readers of YAML disagree about."""

import math
import time

import pytest
import yaml

from phasepipe.errors import SweepError
from phasepipe.specification.configuration import read_configuration
from phasepipe.specification.yaml_reader import YamlError, parse_yaml

BOMB = "a0: &a0 [1, 1]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-2", 0.01),
        ("1E3", 1000.0),
        ("1e+3", 1000.0),
        ("-1.5e1", -15.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+12", 12),
        ("0", 0),
        ("-0", 0),
        ("0x1F", 31),
        ("007.5", 7.5),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'yes'", "yes"),
        ('"064"', "064"),
        ("'1:30'", "1:30"),
        ("'12'", "12"),
        ("|-\n  12", "12"),
        ("y", "y"),
        ("2024-13-45", "2024-13-45"),
        ("2024-01-01", "2024-01-01"),
        ("01:00:00", "01:00:00"),
        ("=", "="),
        ("tcp://10.0.0.1:8786", "tcp://10.0.0.1:8786"),
        ("0.1.0", "0.1.0"),
        ("1e", "1e"),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    read = parse_yaml(f"key: {text}")["key"]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number():
    assert math.isnan(parse_yaml("key: .nan")["key"])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("064", "64"),
        ("-012", "-12"),
        ("00", "0"),
        ("0o17", "15"),
        ("0b101", "5"),
        ("1_000", "1000"),
        ("1_0.5", "10.5"),
        ("1:30", "90"),
        ("12:00:00", "43200"),
        ("-1:30.5", "-90.5"),
        ("yes", "true"),
        ("On", "true"),
        ("NO", "false"),
        ("off", "false"),
    ],
)
def test_what_readers_disagree_about_is_refused_with_its_place(text, meant):
    with pytest.raises(YamlError) as refused:
        parse_yaml(f"sweeps:\n  a:\n    N: [16, {text}]\n")
    assert str(refused.value).startswith(f"line 3: sweeps.a.N.1 = {text} ")
    assert f"write {meant}, or '{text}' in quotes" in str(refused.value)


def test_a_disputed_key_is_refused():
    with pytest.raises(YamlError, match="on is interpreted differently"):
        parse_yaml("on: 3")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", ["the key 'a' twice", "lines 1 and 3", "keep one"]),
        ("s:\n  x: {b: 1}\n  y: 2\n  x: 3", ["the key 'x' of s twice", "lines 2 and 4"]),
        ("alpha:\n  64: [1]\n  '64': [2]", ["of alpha twice", "lines 2 and 3"]),
        ("a: !!int word", ["tag", "line 1", "remove it"]),
        ("a: !!python/object/apply:os.system [x]", ["tag", "remove it"]),
        ("a:\n  - !mine {}", ["tag !mine in line 2"]),
        ("a: " + "9" * 5000, ["a = 999", "5000 digits"]),
        ("a: 1e400", ["a = 1e400", "double precision"]),
        ("a: 1e-400", ["a = 1e-400", "double precision"]),
        ("[" * 10_000, ["nested deeper", "line 1"]),
        ("- " * 5000, ["nested deeper"]),
        ("{" * 3000, ["nested deeper"]),
        ("a: &x [*x]", ["contains itself"]),
        (BOMB, ["more than 200000 values", "aliases"]),
        ("? [1]\n: 2", ["key that is itself a list"]),
        ("~: 2", ["a key is a word or an integer"]),
        ("1.5: 2", ["a key is a word or an integer"]),
        ("<<: 3", ["merges", "not a mapping"]),
        ("a: [1, 2", ["not valid YAML", "line 1, column 9"]),
        ("a: *nobody", ["not valid YAML", "undefined alias"]),
        ("--- 1\n--- 2", ["not valid YAML", "another document"]),
        ("a: \0", ["not valid YAML", "#x0000"]),
        ("a:\t'", ["not valid YAML"]),
        ("%YAML 9.9\n--- 1", ["not valid YAML"]),
    ],
)
def test_hostile_text_is_refused_by_one_sentence_and_soon(text, words):
    began = time.process_time()
    with pytest.raises(YamlError) as refused:
        parse_yaml(text)
    assert time.process_time() - began < 3
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
    for word in words:
        assert word in str(refused.value)


def test_a_long_word_of_underscores_takes_no_time():
    text = "1" + "_" * 200_000 + "x"
    began = time.process_time()
    assert parse_yaml(f"a: {text}") == {"a": text}
    assert time.process_time() - began < 3


def test_the_largest_file_is_read_in_ten_seconds(tmp_path):
    path = tmp_path / "long.yaml"
    cells = "".join(f"      - {{N: 64, alpha: {1 + i / 1e5}, instances: 256}}\n" for i in range(10_000))
    path.write_text(f"sweep: a\nsweeps:\n  a:\n    refine:\n{cells}")
    began = time.process_time()
    assert len(read_configuration(path)["sweeps"]["a"]["refine"]) == 10_000
    assert time.process_time() - began < 10


def test_aliases_and_merge_keys_work():
    text = "base: &base {instances: 4, seed: 1}\na: {<<: *base, seed: 2}\nb: *base\nc: {<<: [{x: 1}, {x: 2}]}"
    read = parse_yaml(text)
    assert read["a"] == {"instances": 4, "seed": 2}
    assert read["b"] == read["base"]
    assert read["c"] == {"x": 1}


def test_what_pyyaml_writes_is_read_back():
    content = {
        "a": [
            1,
            1e-20,
            1e20,
            0.1,
            -3,
            None,
            True,
            "yes",
            "12:00:00",
            "064",
            "01:00:00",
            "é",
            "2024-01-01",
            "",
        ]
    }
    assert parse_yaml(yaml.safe_dump(content, allow_unicode=True)) == content


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfsweep: a\r\nsweeps: {}\r\n")
    assert read_configuration(path) == {"sweep": "a", "sweeps": {}}


def test_the_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("sweep: a\nsweep: b\n")
    with pytest.raises(
        SweepError, match=r"^configuration .*mine\.yaml has the key 'sweep' twice, in lines 1 and 2"
    ):
        read_configuration(path)
