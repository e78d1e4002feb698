"""The conversions by pyarrow: pyarrow_peer.py CASE INPUT OUTPUT

Batch after batch, by one thread: that took no more CPU than whole tables and a quarter of their memory. Where whole tables
are needed, they are read whole.
"""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from measured import measure

ROW_GROUP_BYTES = 32 << 20
BLOCK_BYTES = 4 << 20


def open_jsonl(path):
    return pa.json.open_json(path, read_options=pa.json.ReadOptions(use_threads=False))


def open_csv(path, columns=None):
    options = pa.csv.ReadOptions(use_threads=False)
    return pa.csv.open_csv(path, read_options=options, convert_options=pa.csv.ConvertOptions(include_columns=columns))


def write_parquet(schema, batches, path):
    """Each batch as a row group of its own would be cheaper by nothing, and the file a tenth larger."""
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        held = []
        for batch in batches:
            held.append(batch)
            if sum(batch.nbytes for batch in held) >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held))


def write_csv(schema, batches, path):
    with pa.csv.CSVWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def jsonl_to_parquet(source, target):
    reader = open_jsonl(source)
    write_parquet(reader.schema, reader, target)


def csv_to_parquet(source, target):
    reader = open_csv(source)
    write_parquet(reader.schema, reader, target)


def parquet_to_csv(source, target):
    file = pq.ParquetFile(source)
    write_csv(file.schema_arrow, file.iter_batches(use_threads=False), target)


def filter_select(source, target):
    reader = open_csv(source, ["id", "user", "score", "lang", "text"])
    condition = pc.field("lang").isin(["en", "de"]) & (pc.field("score") >= 25.0)
    wanted = ["id", "user", "score", "text"]
    kept = (batch.filter(condition).select(wanted) for batch in reader)
    write_csv(pa.schema([reader.schema.field(name) for name in wanted]), kept, target)


def deduplicate(source, target):
    """It has no such function: the number of the first row of each user, and then those rows."""
    table = pa.json.read_json(source, read_options=pa.json.ReadOptions(use_threads=False))
    numbered = pa.table({"user": table["user"], "row": pa.array(range(table.num_rows))})
    first = numbered.group_by("user", use_threads=False).aggregate([("row", "min")])["row_min"]
    kept = table.take(pc.take(first, pc.array_sort_indices(first)))
    write_parquet(table.schema, kept.to_batches(), target)


def compress(codec, source, target):
    """Its streams take no level, so each block is a member (gzip) or a frame (zstd) of its own."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while block := reader.read(BLOCK_BYTES):
            writer.write(codec.compress(block))


CASES = {
    "jsonl_to_parquet": jsonl_to_parquet,
    "csv_to_parquet": csv_to_parquet,
    "parquet_to_csv": parquet_to_csv,
    "filter_select": filter_select,
    "deduplicate": deduplicate,
    "gzip": lambda source, target: compress(pa.Codec("gzip", 6), source, target),
    "zstd": lambda source, target: compress(pa.Codec("zstd", 3), source, target),
}

if __name__ == "__main__":
    case, source, target = sys.argv[1:]
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    measure(lambda: CASES[case](source, target))
