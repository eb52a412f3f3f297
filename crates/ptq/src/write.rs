//! plan → the directory, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use itera_files::{failed_to, publish_dir, write_atomic};
use itera_formats::{
    TensorPlace,
    hf::{INDEX, read_index},
};
use serde_json::{Map, Value, json};

use crate::{
    config::{modelopt_file, quantized},
    copy::copy,
    error::{PtqError, Result},
    method::Layout,
    pack::{Failed, Packer},
    plan::{Item, Matrix, Plan, ShardPlan},
    source::MODELOPT_CONFIG,
};

/// What has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many bytes of the source are read, of all that will be, those that are read twice counted twice.
    Read {
        /// Bytes read.
        done: u64,
        /// Bytes of all readings.
        total: u64,
    },
}

/// Bytes that are copied at a time.
const COPY: usize = 8 << 20;

/// Carries out a plan: `out` appears with everything in it, or does not. Memory holds a piece of a tensor, whatever its size.
///
/// `on_event` is called some times a second; when it returns false, the work stops.
///
/// # Errors
/// If `out` is there; if a weight that would be packed is not finite; if a file changed since the plan was made; if the system
/// refuses; [`PtqError::Stopped`]. Nothing is left of `out` then.
pub fn quantize(plan: &mut Plan, out: &Path, on_event: &mut dyn FnMut(Event) -> bool) -> Result<()> {
    if fs::symlink_metadata(out).is_ok() {
        return Err(PtqError::Taken { path: out.into() });
    }
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(failed_to("create", parent))?;
    }
    publish_dir(out, |dir| {
        let mut work = Work::new(plan, on_event);
        for shard in 0..work.plan.shards.len() {
            work.shard(shard, dir)?;
        }
        finish(work.plan, dir)
    })
}

struct Work<'p> {
    plan: &'p mut Plan,
    packer: Packer,
    /// The largest magnitudes of groups that are known.
    largest: BTreeMap<usize, f32>,
    progress: Progress<'p>,
}

struct Progress<'p> {
    done: u64,
    total: u64,
    on_event: &'p mut dyn FnMut(Event) -> bool,
}

impl Progress<'_> {
    fn add(&mut self, n_bytes: u64) -> Result<()> {
        self.done += n_bytes;
        match (self.on_event)(Event::Read { done: self.done, total: self.total }) {
            true => Ok(()),
            false => Err(PtqError::Stopped),
        }
    }
}

impl<'p> Work<'p> {
    fn new(plan: &'p mut Plan, on_event: &'p mut dyn FnMut(Event) -> bool) -> Self {
        let packer = Packer::new(plan.method, plan.layout, plan.rounding);
        let times = if packer.needs_largest() { 2 } else { 1 };
        let bytes_of = |matrix: &Matrix| (matrix.rows.rows * matrix.rows.cols * matrix.rows.kind.block_bytes()) as u64;
        let items = plan.shards.iter().flat_map(|shard| &shard.items);
        let total = items
            .map(|item| match item {
                Item::Copy { place, .. } => place.range.end - place.range.start,
                Item::Pack(matrices) => times * matrices.iter().map(bytes_of).sum::<u64>(),
            })
            .sum();
        let progress = Progress { done: 0, total, on_event };
        Self { plan, packer, largest: BTreeMap::new(), progress }
    }

    fn shard(&mut self, shard: usize, dir: &Path) -> Result<()> {
        let path = dir.join(&self.plan.shards[shard].file_name);
        let refused = |error| failed_to("write", &path)(error);
        let mut file = File::create(&path).map_err(refused)?;
        file.write_all(&self.plan.shards[shard].head).map_err(refused)?;
        for item in 0..self.plan.shards[shard].items.len() {
            self.item(shard, item, &mut file).map_err(|failed| match failed {
                Failed::Read(error) => error,
                Failed::Write(error) => refused(error).into(),
            })?;
        }
        file.sync_all().map_err(refused)?;
        Ok(())
    }

    fn item(&mut self, shard: usize, item: usize, file: &mut File) -> Result<(), Failed> {
        let Plan { shards, source, .. } = &mut *self.plan;
        match &shards[shard].items[item] {
            Item::Copy { place: TensorPlace { range, .. }, at } => {
                file.seek(SeekFrom::Start(*at)).map_err(Failed::Write)?;
                let mut bytes = vec![0; COPY.min((range.end - range.start) as usize)];
                let mut from = range.start;
                while from < range.end {
                    let bytes = &mut bytes[..COPY.min((range.end - from) as usize)];
                    source.shards[shard].read(from, bytes)?;
                    file.write_all(bytes).map_err(Failed::Write)?;
                    from += bytes.len() as u64;
                    self.progress.add(bytes.len() as u64)?;
                }
                Ok(())
            }
            Item::Pack(matrices) => {
                let tick = &mut |n_bytes| self.progress.add(n_bytes);
                for matrix in matrices {
                    let mut largest = 0.0;
                    if self.packer.needs_largest() {
                        let known = matrix.group.and_then(|group| self.largest.get(&group));
                        largest = match known {
                            Some(known) => *known,
                            None => {
                                members(shards, matrix).iter().try_fold(0.0, |most: f32, Matrix { rows, .. }| {
                                    let reader = &mut source.shards[rows.shard];
                                    Ok::<_, PtqError>(most.max(self.packer.largest(rows, reader, tick)?))
                                })?
                            }
                        };
                        self.largest.extend(matrix.group.map(|group| (group, largest)));
                    }
                    self.packer.pack(matrix, largest, &mut source.shards[shard], file, tick)?;
                }
                Ok(())
            }
        }
    }
}

/// The matrices that share the factor of `matrix`, wherever they are; itself alone if none do.
fn members<'p>(shards: &'p [ShardPlan], matrix: &'p Matrix) -> Vec<&'p Matrix> {
    let Some(group) = matrix.group else { return vec![matrix] };
    let items = shards.iter().flat_map(|shard| &shard.items);
    let packed = items.filter_map(|item| if let Item::Pack(matrices) = item { Some(matrices) } else { None });
    packed.flatten().filter(|other| other.group == Some(group)).collect()
}

/// All files but those of weights.
fn finish(plan: &Plan, dir: &Path) -> Result<()> {
    let Plan { source, method, layout, kept, others, shards, .. } = plan;
    let write = |name: &str, value: &Value| write_atomic(&dir.join(name), format!("{value:#}\n").as_bytes());
    write("config.json", &quantized(&source.config, *method, *layout, kept))?;
    if *layout == Layout::ModelOpt {
        write(MODELOPT_CONFIG, &modelopt_file(*method, kept))?;
    }
    if source.has_index {
        write(INDEX, &index(&source.dir, shards)?)?;
    }
    Ok(copy(&source.dir, dir, others)?)
}

/// The index of the source with the tensors and bytes that there are now.
fn index(dir: &Path, shards: &[ShardPlan]) -> Result<Value> {
    let mut index: Map<String, Value> = read_index(dir)?;
    let total: u64 = shards.iter().map(|shard| shard.numbers_bytes).sum();
    match index.get_mut("metadata").and_then(Value::as_object_mut) {
        Some(metadata) => drop(metadata.insert("total_size".into(), total.into())),
        None => drop(index.insert("metadata".into(), json!({ "total_size": total }))),
    }
    let names = shards.iter().flat_map(|shard| shard.names.iter().map(|name| (name, &shard.file_name)));
    let map: BTreeMap<_, _> = names.collect();
    index.insert("weight_map".into(), json!(map));
    Ok(Value::Object(index))
}
