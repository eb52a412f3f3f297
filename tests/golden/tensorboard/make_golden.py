"""An event file as TensorBoard's own code writes it: `rows.jsonl` → `events`.

    pip install tensorboard==2.21.0 protobuf==7.36.2 && python make_golden.py

Rows are those of `metrics.jsonl`. Their tags are spelt out below once more, messages are TensorBoard's, and so is the
writer of records; in the end its reader is asked what the file says. Deterministic, seconds.
"""

import io
import json
import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

HERE = Path(__file__).parent

# event i is written i·0.5 s after this
FIRST_WALL_TIME = 1_700_000_000.25

TAGS = {
    "train/loss_nats": "loss_nats",
    "train/lr": "lr",
    "train/grad_norm": "grad_norm",
    "train/load_balance_loss": "load_balance_loss",
    "train/z_loss": "z_loss",
    "train/tokens": "tokens",
    "train/skipped": "skipped",
    "val/bpb": "val_bpb",
    "val/loss_nats": "val_loss_nats",
    "val/perplexity": "val_perplexity",
    "speed/tokens_per_s": "tokens_per_s",
    "speed/step_ms": "step_ms",
    "speed/resident_mb": "resident_mb",
}

# absent in a row where they are not finite, and NaN in TensorBoard; what is absent otherwise was not measured
NEVER_ABSENT = {"loss_nats", "lr", "grad_norm", "tokens_per_s", "step_ms"}

TEXT = "Once upon a time, *Ada* found a 🦔.\n"


def scalars(row):
    for tag, key in TAGS.items():
        value = row[key]
        if value is None and key in NEVER_ABSENT:
            value = float("nan")
        if value is not None:
            yield Summary.Value(tag=tag, simple_value=value)
    for layer, counts in enumerate(row["tokens_per_expert"]):
        for expert, count in enumerate(counts):
            yield Summary.Value(tag=f"experts/l{layer}_e{expert}", simple_value=count / sum(counts))


def text(tag, value):
    metadata = create_summary_metadata(display_name="", description="")
    return Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto([value.encode()]))


def main():
    rows = [json.loads(line) for line in (HERE / "rows.jsonl").read_text().splitlines()]
    events = [
        Event(file_version="brain.Event:2"),
        Event(step=1, session_log=SessionLog(status=SessionLog.START)),
        *(Event(step=row["step"], summary=Summary(value=scalars(row))) for row in rows),
        Event(step=rows[-1]["step"], summary=Summary(value=[text("sample/0", TEXT)])),
    ]
    written = io.BytesIO()
    writer = RecordWriter(written)
    for index, event in enumerate(events):
        event.wall_time = FIRST_WALL_TIME + index / 2
        writer.write(event.SerializeToString())
    (HERE / "events").write_bytes(written.getvalue())

    # its reader finds what was meant
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "events.out.tfevents.1700000000.golden").write_bytes(written.getvalue())
        found = EventAccumulator(directory).Reload()
    assert [event.step for event in found.Scalars("train/lr")] == [row["step"] for row in rows]
    assert [event.step for event in found.Scalars("val/bpb")] == [row["step"] for row in rows if row["val_bpb"] is not None]
    [sample] = found.Tensors("sample/0")
    assert sample.tensor_proto.string_val[0].decode() == TEXT
    print(f"{len(events)} events, {len(written.getvalue())} bytes")


if __name__ == "__main__":
    main()
