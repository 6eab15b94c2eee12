import pytest

from lugsail.api.validation.headers import check_authority_once, check_headers, check_matched_name, check_value
from lugsail.api.validation.place import Place, Report
from lugsail.api.virtual_service import HeaderOperations, Headers


def messages(headers: Headers, rewritten: str = "") -> list[str]:
    report = Report()
    check_headers(Place("headers", report), headers)
    check_authority_once(Place("", report), rewritten, headers)
    return [str(error) for error in report.errors]


@pytest.mark.parametrize(
    "value",
    ["", "plain", "100%%", "%REQ(x)%", "a %HOSTNAME% b", "%START_TIME(%Y-%m)%", '%METADATA(["a", "b"])%', "\t"],
)
def test_values(value: str) -> None:
    report = Report()
    check_value(Place("x", report), value)
    assert report.errors == []


@pytest.mark.parametrize("value", ["100%", "abc%123", "%START_TIME%%", "%REQ(x", "%REQ(x)", "a\nb", "\x7f"])
def test_refused_values(value: str) -> None:
    report = Report()
    check_value(Place("x", report), value)
    assert len(report.errors) == 1


def test_names_that_cannot_be_changed() -> None:
    assert messages(
        Headers(
            request=HeaderOperations(set={"x-a": "1", ":path": "/"}, remove=("host", "x-b")),
            response=HeaderOperations(add={":status": "1", "Host": "x"}, remove=("",)),
        )
    ) == [
        'headers.request.set[":path"]: the pseudo header :path cannot be changed; use `rewrite` for path and authority',
        "headers.request.remove[0]: the Host header cannot be changed here; set it in a request's `set`, or use"
        " `rewrite.authority`",
        'headers.response.add[":status"]: the pseudo header :status cannot be changed; use `rewrite` for path and'
        " authority",
        "headers.response.add.Host: the Host header cannot be changed here; set it in a request's `set`, or use"
        " `rewrite.authority`",
        "headers.response.remove[0]: a header without a name",
    ]


def test_the_authority_is_set_once() -> None:
    assert messages(Headers(request=HeaderOperations(set={"Host": "a"}))) == []
    assert messages(Headers(request=HeaderOperations(set={":authority": "a"})), "b") == [
        "headers.request.set[\":authority\"]: the authority is set more than once: 'b' and 'a'; keep one of them"
    ]
    assert len(messages(Headers(request=HeaderOperations(set={"host": "a"}, add={":authority": "b"})))) == 1
    assert len(messages(Headers(request=HeaderOperations(set={"host": "a", "HOST": "b"})))) == 1


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("x-a", True),
        ("X_b", True),
        ("@request.auth.claims.sub", True),
        ("@REQUEST.AUTH.CLAIMS[a]", True),
        ("", False),
        ("a b", False),
        (":path", True),
        (":nothing", False),
        ("a.b!", True),
        ("a/b", False),
    ],
)
def test_matched_names(name: str, good: bool) -> None:
    report = Report()
    check_matched_name(Place("x", report), name)
    assert (report.errors == []) is good
