"""A name that is refused is told by which rule, whose rule that is, and which name would do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.contract.names import NAME, suggested_name, wrong_name


@pytest.mark.parametrize(
    ("name", "rules", "legal"),
    [
        ("3d-model", ["a letter first (the vendor's SDK; the registry's guide allows a digit)"], "m-3d-model"),
        ("Model_1", ["lower-case letters only (the registry's guide; the vendor's SDK takes upper case)",
                     "no _ (the registry's guide and the vendor's SDK)"], "model-1"),
        ("model\n", ["no line end belongs to it (the registry's guide; the vendor's SDK lets one at the end through)"],
         "model"),
        ("a.b", ["no . (the registry's guide and the vendor's SDK)"], "a-b"),
        ("a" * 64, ["up to 63 characters (the vendor's SDK)"], "a" * 63),
        ("-a", ["a letter first (the vendor's SDK; the registry's guide allows -)"], "a"),
        ("a-", ["no - at the end (the vendor's SDK; the registry's guide allows it)"], "a"),
        ("my model", ["letters, digits and - only (the registry's guide and the vendor's SDK)"], "my-model"),
        ("modèle", ["ASCII only (the registry's guide and the vendor's SDK)"], "mod-le"),
    ],
)  # fmt: skip
def test_each_rule_with_its_owner_and_the_legal_name(name: str, rules: list[str], legal: str) -> None:
    found = wrong_name(name)
    assert found is not None
    what, remedy = found
    assert what.partition(" is no model name: ")[2] == ", ".join(rules)
    assert remedy == f'write it as "{legal}"'


@given(st.text(max_size=80))
def test_a_name_is_legal_or_some_rule_is_named_and_the_name_proposed_is_legal(name: str) -> None:
    found = wrong_name(name)
    assert (found is None) == (NAME.fullmatch(name) is not None)
    if found is not None and name:
        assert not found[0].endswith(": ")
    proposed = suggested_name(name)
    assert not proposed or wrong_name(proposed) is None


def test_what_tells_two_names_apart_is_not_taken_away() -> None:
    assert suggested_name("2d-net") != suggested_name("3d-net")
