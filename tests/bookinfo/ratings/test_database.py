"""Which database the environment names, and what a missing driver says."""

import sys

import pytest

from bookinfo.common.settings import InvalidSetting
from bookinfo.ratings.database import DatabaseError, Mongo, MySql, database_from_env


def test_mysql_by_its_environment():
    env = {"DB_TYPE": "mysql", "MYSQL_DB_HOST": "db", "MYSQL_DB_PORT": "3307", "MYSQL_DB_USER": "u"}
    assert database_from_env(env) == MySql("db", 3307, "u", "")


def test_a_wrong_port():
    with pytest.raises(InvalidSetting, match="MYSQL_DB_PORT"):
        database_from_env({"DB_TYPE": "mysql", "MYSQL_DB_PORT": "x"})


def test_mongo_otherwise():
    assert database_from_env({"MONGO_DB_URL": "mongodb://m/test"}) == Mongo("mongodb://m/test")


@pytest.mark.parametrize(
    ("database", "driver"), [(MySql("db", 1, "u", "p"), "pymysql"), (Mongo("mongodb://m"), "pymongo")]
)
def test_a_missing_driver_is_named(monkeypatch, database, driver):
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(DatabaseError, match=driver) as error:
        database.stars()
    assert error.value.status == 500
