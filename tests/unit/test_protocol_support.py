"""The page that lists each rule and its test."""

import pytest

from tests.conformance.rules import PAGE, RULES, listed, page


def test_the_page_is_what_the_tests_say() -> None:
    """docs/protocol-support.md is made of the tests as they are."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_test(rule: str) -> None:
    """Each rule is shown by a test."""
    assert any(rule in rules for _, _, rules in listed())
