"""Reads a file back by pyarrow, and prints its rows and columns: check.py FILE"""

import json
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

path = sys.argv[1]
if path.endswith(".parquet"):
    file = pq.ParquetFile(path)
    # The footer tells the count; the pages have to be sound, too.
    rows, schema = sum(batch.num_rows for batch in file.iter_batches()), file.schema_arrow
else:
    # The ending of the file tells how it is compressed.
    stream = pa.input_stream(path, compression="detect")
    reader = pa.csv.open_csv(stream) if ".csv" in path else pa.json.open_json(stream)
    rows, schema = sum(batch.num_rows for batch in reader), reader.schema
print(json.dumps({"rows": rows, "columns": schema.names}))
