"""The conversions by DuckDB: duckdb_peer.py CASE INPUT OUTPUT"""

import sys

import duckdb

from measured import measure

JSONL = "SELECT {what} FROM read_json('{source}', format = 'newline_delimited')"
CSV = "SELECT {what} FROM read_csv('{source}', header = true)"
PARQUET = "SELECT {what} FROM read_parquet('{source}')"

TO_JSONL = "FORMAT json"
TO_CSV = "FORMAT csv, HEADER"
TO_PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"

# It has no HMAC: a hash of key and value is some work less.
HASHED = "* REPLACE (left(sha256('0123456789abcdef' || \"user\"), 32) AS \"user\")"

CASES = {
    "jsonl_to_parquet": (JSONL, "*", "", TO_PARQUET),
    "csv_to_parquet": (CSV, "*", "", TO_PARQUET),
    "parquet_to_jsonl": (PARQUET, "*", "", TO_JSONL),
    "parquet_to_csv": (PARQUET, "*", "", TO_CSV),
    "filter_select": (CSV, 'id, "user", score, text', "WHERE lang IN ('en', 'de') AND score >= 25", TO_CSV),
    "deduplicate": (JSONL, 'DISTINCT ON ("user") *', "", TO_PARQUET),
    "mask": (CSV, HASHED, "", TO_CSV),
}

if __name__ == "__main__":
    case, source, target = sys.argv[1:]
    select, what, where, form = CASES[case]
    query = f"COPY ({select.format(what=what, source=source)} {where}) TO '{target}' ({form})"
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    measure(lambda: connection.execute(query))
