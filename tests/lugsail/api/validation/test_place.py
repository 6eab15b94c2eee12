from lugsail.api.errors import FieldError
from lugsail.api.validation.place import Place, Report


def test_a_place_writes_where_it_stands() -> None:
    report = Report()
    place = Place("spec", report) / "http" / 0 / "match"
    (place / "a.b").fail("wrong", "do this")
    place.warn("odd")
    assert report.errors == [FieldError('spec.http[0].match["a.b"]', "wrong", "do this")]
    assert report.warnings == [FieldError("spec.http[0].match", "odd")]
