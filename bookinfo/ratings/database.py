"""Ratings kept in MySQL or MongoDB (version 2). The drivers are optional: `pip install pymysql` or `pymongo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bookinfo.common.settings import port

CONNECT_TIMEOUT_S = 5
REVIEWERS = 2


class DatabaseError(Exception):
    """What to answer when the stars cannot be read: the text is the body's `error`, `status` the HTTP status."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


class RatingsDatabase(Protocol):
    """Somewhere that stars are kept."""

    def stars(self) -> list[int]:
        """The stars of reviewer 1, 2. Blocks: call it on a thread. Raises DatabaseError."""


def database_from_env(env: Mapping[str, str]) -> RatingsDatabase:
    """The database that DB_TYPE names: `mysql`, anything else is MongoDB. Raises InvalidSetting."""
    if env.get("DB_TYPE") == "mysql":
        return MySql(
            host=env.get("MYSQL_DB_HOST", "mysqldb"),
            port=port(env, "MYSQL_DB_PORT", 3306),
            user=env.get("MYSQL_DB_USER", "root"),
            password=env.get("MYSQL_DB_PASSWORD", ""),
        )
    return Mongo(env.get("MONGO_DB_URL") or "mongodb://mongodb:27017/test")


@dataclass(frozen=True, slots=True)
class MySql:
    """Table `ratings(ReviewID, Rating)` of the database `test`."""

    host: str
    port: int
    user: str
    password: str

    def stars(self) -> list[int]:
        """See RatingsDatabase. A connection that fails is a 200 whose body holds the error: Bookinfo's contract."""
        try:
            import pymysql
        except ImportError:
            raise DatabaseError("DB_TYPE=mysql needs the pymysql package, which is not installed") from None
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                database="test",
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=CONNECT_TIMEOUT_S,
            )
        except pymysql.MySQLError:
            raise DatabaseError(f"could not connect to the ratings database at {self.host}:{self.port}", 200) from None
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT Rating FROM ratings ORDER BY ReviewID LIMIT %s", (REVIEWERS,))
                return _checked([row[0] for row in cursor.fetchall()])
        except pymysql.MySQLError as error:
            raise DatabaseError(f"could not read the table test.ratings: {type(error).__name__}") from None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Mongo:
    """Collection `ratings` of documents `{"rating": n}` in the URL's database (`test` where it names none)."""

    url: str

    def stars(self) -> list[int]:
        """See RatingsDatabase."""
        try:
            import pymongo
            import pymongo.errors
        except ImportError:
            raise DatabaseError("ratings in MongoDB need the pymongo package, which is not installed") from None
        try:
            client = pymongo.MongoClient(self.url, serverSelectionTimeoutMS=CONNECT_TIMEOUT_S * 1000)
            with client:
                found = client.get_default_database("test")["ratings"].find().limit(REVIEWERS)
                return _checked([document["rating"] for document in found])
        except pymongo.errors.PyMongoError as error:
            # The URL may hold a password: name the failure, not the address.
            raise DatabaseError(f"could not read ratings from MongoDB: {type(error).__name__}") from None


def _checked(stars: list[int]) -> list[int]:
    if len(stars) < REVIEWERS:
        raise DatabaseError(f"the ratings database holds {len(stars)} ratings of {REVIEWERS}")
    return stars
