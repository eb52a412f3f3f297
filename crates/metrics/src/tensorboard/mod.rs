//! Event files for TensorBoard.
//!
//! ```text
//! StepRecord → scalars by tag → Event (protocol buffer) → length, crc, bytes, crc → events.out.tfevents…
//! ```
//!
//! The crates that write these files have had no release since 2022 (`tensorboard-rs`) or 2023 (`tfrecord`,
//! `tboard`) and want protobuf 2, a C compiler or `protoc` to build. The format is a page long, so it is written
//! here over `prost` and `crc32c`, which are maintained.

mod event;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use event::{Event, Value};
use prost::Message;

use itera_files::failed_to;

use crate::{error::Result, record::StepRecord};

/// How the name of every event file begins; the second of its making follows.
const PREFIX: &str = "events.out.tfevents.";

/// Appends the scalars of a run to an event file in a directory that TensorBoard watches.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: File,
}

impl TensorBoard {
    /// Begins an event file in `dir`, making the directory; readers forget what earlier files there say.
    pub fn create(dir: &Path) -> Result<Self> {
        Self::start(dir, 0)
    }

    /// Begins another event file in `dir`, for a run that resumes from a checkpoint at `after_step`; readers forget
    /// the later steps of earlier files.
    pub fn resume(dir: &Path, after_step: u64) -> Result<Self> {
        Self::start(dir, after_step + 1)
    }

    fn start(dir: &Path, from_step: u64) -> Result<Self> {
        fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
        let path = dir.join(format!("{PREFIX}{:010}.itera", next_second(dir)?));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed_to("create", &path))?;
        let mut board = Self { path, file };
        board.append(Event::file_start())?;
        board.append(Event::session_start(from_step))?;
        Ok(board)
    }

    /// Writes every number of `record` under a tag: `train/loss_nats`, `val/bpb`, `speed/tokens_per_s`,
    /// `experts/l0_e1` (its share of the layer's tokens) …
    pub fn write(&mut self, record: &StepRecord) -> Result<()> {
        self.append(Event::summary(record.step, scalars(record)))
    }

    /// Writes a text, such as a sample, under `tag`; TensorBoard renders it as Markdown.
    pub fn write_text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        self.append(Event::summary(step, vec![Value::text(tag, text)]))
    }

    fn append(&mut self, event: Event) -> Result<()> {
        let record = record_at(wall_time(), event);
        Ok(self.file.write_all(&record).map_err(failed_to("append to", &self.path))?)
    }
}

/// An event of this time as it stands in a file.
fn record_at(wall_time: f64, event: Event) -> Vec<u8> {
    frame(&Event { wall_time, ..event }.encode_to_vec())
}

/// The second in the name of a new file. TensorBoard reads the files of a directory in the order of their names, one to
/// its end and then the next, and never goes back: a file whose name comes before that of another is read too early,
/// whose restart then purges it, or not at all. So where the clock is behind the files that are there, the name is a second
/// after the last of them.
fn next_second(dir: &Path) -> Result<u64> {
    let mut second = wall_time() as u64;
    for entry in fs::read_dir(dir).map_err(failed_to("list", dir))? {
        let name = entry.map_err(failed_to("list", dir))?.file_name();
        let taken = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok());
        second = taken.map_or(second, |taken| second.max(taken.saturating_add(1)));
    }
    Ok(second)
}

fn scalars(record: &StepRecord) -> Vec<Value> {
    let named = [
        ("train/loss_nats", Some(record.loss_nats)),
        ("train/lr", Some(record.lr)),
        ("train/grad_norm", Some(record.grad_norm)),
        ("train/load_balance_loss", record.load_balance_loss),
        ("train/z_loss", record.z_loss),
        ("train/tokens", Some(record.tokens as f64)),
        ("train/skipped", Some(record.skipped as f64)),
        ("train/loss_scale", record.loss_scale),
        ("val/bpb", record.val_bpb),
        ("val/loss_nats", record.val_loss_nats),
        ("val/perplexity", record.val_perplexity),
        ("speed/tokens_per_s", Some(record.tokens_per_s)),
        ("speed/step_ms", Some(record.step_ms)),
        ("speed/resident_mb", record.resident_mb),
    ];
    let mut values: Vec<Value> =
        named.into_iter().filter_map(|(tag, value)| Some(Value::scalar(tag, value?))).collect();
    for (layer, counts) in record.tokens_per_expert.iter().enumerate() {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let share = |(expert, &count)| Value::scalar(format!("experts/l{layer}_e{expert}"), count as f64 / total);
        values.extend(counts.iter().enumerate().map(share));
    }
    values
}

/// A TFRecord: length, its checksum, data, its checksum (`tensorflow/core/lib/io/record_writer.h`).
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// CRC-32C, rotated and shifted, because a checksum of data that holds checksums is weak.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;
    use crate::record::tests::record;

    /// Events of every file in `dir`, in reading order; panics on a record whose length or checksum is wrong.
    fn read_back(dir: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| events(&fs::read(path).unwrap())).collect()
    }

    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = vec![];
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (length_crc, rest) = rest.split_at(4);
            assert_eq!(length_crc, masked_crc(length));
            let (data, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (data_crc, rest) = rest.split_at(4);
            assert_eq!(data_crc, masked_crc(data));
            events.push(Event::decode(data).unwrap());
            bytes = rest;
        }
        events
    }

    fn scalar(event: &Event, tag: &str) -> Option<f32> {
        event.summary.as_ref()?.value.iter().find(|value| value.tag == tag)?.simple_value
    }

    /// What TensorBoard's own code writes: `tests/golden/tensorboard/make_golden.py`.
    const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/tensorboard/events");
    const GOLDEN_ROWS: &str = include_str!("../../../../tests/golden/tensorboard/rows.jsonl");

    #[test]
    fn records_are_those_that_tensorboard_writes() {
        let rows: Vec<StepRecord> = GOLDEN_ROWS.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        let text = Value::text("sample/0", "Once upon a time, *Ada* found a 🦔.\n");
        let mut events = vec![Event::file_start(), Event::session_start(1)];
        events.extend(rows.iter().map(|row| Event::summary(row.step, scalars(row))));
        events.push(Event::summary(4, vec![text]));
        let times = (0..).map(|index| 1_700_000_000.25 + f64::from(index) / 2.0);
        let written: Vec<u8> = times.zip(events).flat_map(|(time, event)| record_at(time, event)).collect();
        assert_eq!(written, GOLDEN);
    }

    #[test]
    fn a_new_file_is_read_after_all_others_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        // of machines whose clocks are ahead, and what is no event file
        let others =
            ["events.out.tfevents.9000000000.itera", "events.out.tfevents.9000000004.host.77.0.v2", "notes.txt"];
        for name in others {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let written: Vec<PathBuf> = (0..3).map(|_| TensorBoard::resume(dir.path(), 5).unwrap().path).collect();
        let mut names: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.to_str().unwrap().contains("tfevents"));
        names.sort();
        assert_eq!(names[2..], written);

        let fresh = tempfile::tempdir().unwrap();
        let name = TensorBoard::create(fresh.path()).unwrap().path;
        let second: u64 = name.to_str().unwrap().rsplit('.').nth(1).unwrap().parse().unwrap();
        assert!(second.abs_diff(wall_time() as u64) < 100, "{second}");
    }

    #[test]
    fn records_read_back_and_a_resumed_run_purges_what_it_repeats() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(dir.path()).unwrap();
        for step in 1..=4 {
            board.write(&record(step)).unwrap();
        }
        board.write_text("sample/0", 4, "Once upon a time").unwrap();
        let mut board = TensorBoard::resume(dir.path(), 2).unwrap();
        board.write(&record(3)).unwrap();

        let files = read_back(dir.path());
        assert_eq!(files.len(), 2);
        for (file, from_step) in files.iter().zip([0, 3]) {
            assert_eq!(file[0].file_version.as_deref(), Some("brain.Event:2"));
            assert_eq!((file[1].session_log.unwrap().status, file[1].step), (1, from_step));
        }
        assert_eq!(files[0][2..].iter().map(|event| event.step).collect::<Vec<_>>(), [1, 2, 3, 4, 4]);
        assert_eq!(scalar(&files[1][2], "train/loss_nats"), Some(7.0 / 3.0));
        assert_eq!(scalar(&files[1][2], "val/bpb"), None);
        assert_eq!(scalar(&files[0][5], "val/bpb"), Some(0.9));
        assert_eq!(scalar(&files[0][5], "experts/l1_e2"), Some(1.0));
        let text = &files[0][6].summary.as_ref().unwrap().value[0];
        assert_eq!(text.tensor.as_ref().unwrap().string_val, ["Once upon a time"]);
    }
}
