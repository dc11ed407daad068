"""What staff are not shown, and what they see in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from outbox import conf, redaction
from outbox.errors import InvalidSetting
from outbox.redaction import DEFAULT, Redactor

TEXT = "[redacted: text of 6 characters]"
SECRET = "hidden"


def shown(payload: Any, *rules: str, topic: str = "orders") -> Any:
    return Redactor(rules, topic=topic).payload(payload)


@pytest.mark.parametrize(
    ("rule", "payload", "expected"),
    [
        ("user.email", {"user": {"email": SECRET}}, {"user": {"email": TEXT}}),
        ("user.email", {"email": "a", "user": {"name": "b"}}, {"email": "a", "user": {"name": "b"}}),
        ("user.email", {"user": [{"email": SECRET}]}, {"user": [{"email": TEXT}]}),
        ("*.password", {"password": SECRET}, {"password": TEXT}),
        ("*.password", {"a": [{"b": {"password": SECRET}}]}, {"a": [{"b": {"password": TEXT}}]}),
        ("**.password", {"a": {"password": SECRET}}, {"a": {"password": TEXT}}),
        ("user.*.email", {"user": {"x": {"y": {"email": SECRET}}}}, {"user": {"x": {"y": {"email": TEXT}}}}),
        ("user.*.email", {"user": {"email": SECRET}, "email": "a"}, {"user": {"email": TEXT}, "email": "a"}),
        ("items[].card", {"items": [{"card": SECRET, "n": 1}]}, {"items": [{"card": TEXT, "n": 1}]}),
        ("items.card", {"items": [{"card": SECRET}]}, {"items": [{"card": TEXT}]}),
        ("rows[].card", {"rows": [[{"card": SECRET}]]}, {"rows": [[{"card": TEXT}]]}),
        ("[].card", [{"card": SECRET}], [{"card": TEXT}]),
        ("codes[]", {"codes": [SECRET, 1]}, {"codes": [TEXT, "[redacted: number]"]}),
        ("codes[]", {"codes": SECRET}, {"codes": TEXT}),
        ("user.*", {"user": {"a": SECRET, "b": [SECRET]}}, {"user": {"a": TEXT, "b": "[redacted: list of 1 item]"}}),
        ("*", SECRET, TEXT),
        ("*", [SECRET, {"a": SECRET}], [TEXT, {"a": TEXT}]),
        ("*token", {"accessToken": SECRET, "tokens": 1}, {"accessToken": TEXT, "tokens": 1}),
        ("api_key", {"apiKey": SECRET, "API-KEY": SECRET}, {"apiKey": TEXT, "API-KEY": TEXT}),
        ('"a.b".c', {"a.b": {"c": SECRET}, "a": {"b": {"c": 1}}}, {"a.b": {"c": TEXT}, "a": {"b": {"c": 1}}}),
        ("orders:user", {"user": SECRET}, {"user": TEXT}),
        ("ord*:user", {"user": SECRET}, {"user": TEXT}),
        ("other:user", {"user": "a"}, {"user": "a"}),
        ('orders:"a:b"', {"a:b": SECRET}, {"a:b": TEXT}),
    ],
)
def test_a_rule_hides_what_its_path_names(rule: str, payload: Any, expected: Any) -> None:
    assert shown(payload, rule) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "[redacted: text of 1 character]"),
        (True, "[redacted: boolean]"),
        (17.5, "[redacted: number]"),
        (None, "[redacted: null]"),
        ({"a": 1, "b": 2}, "[redacted: object of 2 keys]"),
        ([1] * 1_000, "[redacted: list of 1,000 items]"),
    ],
)
def test_a_marker_tells_type_and_length(value: Any, expected: str) -> None:
    assert shown({"it": value}, "it") == {"it": expected}


def test_headers_are_hidden_by_name_and_by_rules_for_everywhere() -> None:
    headers = {"X-User": SECRET, "authorization": SECRET, "source": "shop"}
    found = Redactor(["headers.x-user", "*.authorization", "source"], topic="orders").headers(headers)
    assert found == {"X-User": TEXT, "authorization": TEXT, "source": "shop"}


def test_by_default_what_is_named_like_a_secret_is_hidden() -> None:
    for name in ("password", "newPassword", "token", "access_token", "client-secret", "Authorization", "apiKey", "CVV"):
        assert shown({"a": [{name: SECRET}]}, *DEFAULT) == {"a": [{name: TEXT}]}
        assert Redactor(DEFAULT, topic="orders").headers({name: SECRET}) == {name: TEXT}
    harmless = {"order": 17, "total": "9.90", "shipping": {"city": "Bonn"}}
    assert shown(harmless, *DEFAULT) == harmless


def test_what_is_nested_too_deep_to_be_looked_at_is_hidden() -> None:
    deep: Any = SECRET
    for _ in range(900):
        deep = {"a": deep}
    assert SECRET not in json.dumps(shown(deep, "*.password"))


def test_without_rules_all_is_shown() -> None:
    payload = {"password": "x"}
    assert shown(payload) == payload


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)


@given(
    document=documents,
    secret=st.recursive(
        st.just("s3cret"), lambda inner: st.lists(inner) | st.fixed_dictionaries({"a": inner}), max_leaves=4
    ),
)
def test_nothing_of_a_hidden_value_is_left(document: Any, secret: Any) -> None:
    for hidden in ({"a": {"pin": secret}, "b": document}, [document, {"pin": secret}], {"pin": [secret, document]}):
        assert "s3cret" not in json.dumps(shown(hidden, "*.pin"))


@pytest.mark.parametrize(
    "rule", ["", ".a", "a.", "a..b", "a[0]", "a b", "a:b:c", "x y:a", '"a', "a[]b", "[]x", ":a", "*[]", "a.[]"]
)
def test_a_rule_that_cannot_be_understood_is_refused(rule: str, settings: Settings) -> None:
    assert redaction.problem(["user.email", rule])
    settings.OUTBOX_REDACT = ["user.email", rule or " x y"]
    with pytest.raises(InvalidSetting, match="OUTBOX_REDACT"):
        conf.get()


def test_rules_come_as_a_list_or_from_the_environment(settings: Settings) -> None:
    assert conf.get().redact == DEFAULT
    settings.OUTBOX_REDACT = ["user.email", "orders:*"]
    assert conf.get().redact == ("user.email", "orders:*")
    settings.OUTBOX_REDACT = "user.email, orders:*,"
    assert conf.get().redact == ("user.email", "orders:*")
    settings.OUTBOX_REDACT = ""
    assert conf.get().redact == ()


@pytest.mark.parametrize("value", [17, {"user.email": True}, [1]])
def test_what_is_no_list_is_refused(value: Any, settings: Settings) -> None:
    settings.OUTBOX_REDACT = value
    (problem,) = conf.problems()
    assert "list of texts" in str(problem)
