"""Whatever stands where a schema should be: a schema, or words about what is wrong with it."""

import base64
import random
from typing import Any

import pyarrow as pa
import pytest

from bulkload.core.contract.schemas import SchemaProblem, canonical, look_at, parse_schema

SCHEMAS = (
    pa.schema([("x", pa.int64())]),
    pa.schema([("x", pa.list_(pa.float32(), 3)), ("y", pa.struct([("a", pa.timestamp("us", tz="UTC"))]))]),
    pa.schema([("m", pa.map_(pa.string(), pa.int8())), ("d", pa.dictionary(pa.int8(), pa.string()))], {"k": "v"}),
    pa.schema([]),
)
SIGNS = [
    "list<",
    "struct<",
    "a: ",
    ">",
    "[3]",
    "[",
    "]",
    ",",
    "int64",
    "float32",
    "timestamp[us",
    "tz=",
    "é",
    "\0",
    " ",
]


def hostile(chance: random.Random) -> Any:
    """A damaged base64 text, a damaged type, or something that is no schema at all."""
    match chance.randrange(3):
        case 0:
            data = bytearray(chance.choice(SCHEMAS).serialize().to_pybytes())
            for _ in range(chance.randint(1, 5)):
                position = chance.randrange(len(data))
                if chance.random() < 0.7:
                    data[position] = chance.choice([0, 1, 255, 128, chance.randrange(256)])
                else:
                    del data[position : position + chance.randint(1, 8)]
            return base64.b64encode(bytes(data)).decode()
        case 1:
            return {"x": "".join(chance.choice(SIGNS) for _ in range(chance.randint(1, 12)))}
        case _:
            return chance.choice(
                [[], {}, [[]], [{"name": "x"}], {"x": {}}, "x", 3, None, {"": "int64"}, [{"name": "x", "type": []}]]
            )


def problem_of(value: Any) -> SchemaProblem | None:
    try:
        text = parse_schema(value)
        look_at(text)
        canonical(text)
    except SchemaProblem as problem:
        return problem
    return None


def judge(seeds: range) -> None:
    for seed in seeds:
        value = hostile(random.Random(seed))
        problem = problem_of(value)
        assert problem is None or (str(problem).isprintable() and problem.remedy), seed


def test_hostile_schemas() -> None:
    judge(range(600))


@pytest.mark.attack
@pytest.mark.timeout(600)
def test_14_000_hostile_schemas() -> None:
    judge(range(14_000))
