//! headers + selection → what becomes of every tensor, and every byte of the files that are written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use itera_formats::{TensorHead, TensorPlace, hf::INDEX, safetensors_head};
use serde::Serialize;

use crate::{
    copy,
    error::{PtqError, Result},
    fused,
    method::{Layout, Method, Rounding},
    rows::{Rows, wide_kind},
    selection::{Kept, Selection},
    source::{MODELOPT_CONFIG, Source},
};

/// A module that has a linear layer in every causal model, though its weights may be those of the embedding.
const HEAD: &str = "lm_head";

/// What is to be done with a directory. It holds headers, no weights.
pub struct Plan {
    pub(crate) source: Source,
    pub(crate) method: Method,
    pub(crate) layout: Layout,
    pub(crate) rounding: Rounding,
    pub(crate) shards: Vec<ShardPlan>,
    /// Modules whose weights stay, by their full names.
    pub(crate) kept: Vec<String>,
    /// Files that are copied, relative to the directory.
    pub(crate) others: Vec<PathBuf>,
    tensors: Vec<PlannedTensor>,
    unused: Vec<String>,
}

/// What becomes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedTensor {
    /// Its name in the source.
    pub name: String,
    /// Its kind of number there, as files call it.
    pub dtype: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Its bytes there.
    pub size_bytes: u64,
    /// What is written in its place.
    pub stored: Stored,
}

/// What is written in the place of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// The same bytes.
    Kept {
        /// Why.
        why: String,
    },
    /// Codes and scales.
    Packed {
        /// `nvfp4` or `fp8`.
        kind: &'static str,
        /// Bytes of both.
        size_bytes: u64,
    },
}

/// A file that is written.
pub(crate) struct ShardPlan {
    pub(crate) file_name: String,
    /// All before the numbers.
    pub(crate) head: Vec<u8>,
    pub(crate) items: Vec<Item>,
    /// The names of its tensors.
    pub(crate) names: Vec<String>,
    /// Bytes of its numbers.
    pub(crate) numbers_bytes: u64,
}

/// What is done with a tensor of a file; places are from the beginning of the file that is written.
pub(crate) enum Item {
    Copy { place: TensorPlace, at: u64 },
    Pack(Vec<Matrix>),
}

/// A matrix that is packed.
pub(crate) struct Matrix {
    pub(crate) rows: Rows,
    /// Matrices of the same number share their factor.
    pub(crate) group: Option<usize>,
    /// Where codes, scales and what these are relative to begin.
    pub(crate) at: Vec<u64>,
}

impl Plan {
    /// Reads the headers of a directory and decides on every tensor.
    ///
    /// # Errors
    /// If the directory is none of a model, or damaged; if its weights are rounded already; if no tensor is to be packed, or the
    /// layout has no such scales.
    pub fn new(dir: &Path, method: Method, layout: Layout, selection: &Selection) -> Result<Self> {
        if !method.fits(layout) {
            return Err(PtqError::NoScales);
        }
        let source = Source::open(dir)?;
        let places = || source.shards.iter().flat_map(|shard| shard.tensors());
        let unused = selection.unused(places().map(|tensor| tensor.name.as_str()));
        let mut chosen = Vec::new();
        for (shard, reader) in source.shards.iter().enumerate() {
            for place in reader.tensors() {
                let what = choose(shard, place, method, selection)?;
                let heads = heads(place, &what, method, layout);
                chosen.push(Chosen { shard, place, what, heads });
            }
        }
        let tensors: Vec<PlannedTensor> = chosen.iter().map(|chosen| chosen.planned(method)).collect();
        if tensors.iter().all(|tensor| matches!(tensor.stored, Stored::Kept { .. })) {
            return Err(PtqError::NothingToPack { dir: dir.into(), n_tensors: tensors.len() });
        }
        let mut kept: BTreeSet<String> = BTreeSet::from([HEAD.to_owned()]);
        kept.extend(chosen.iter().filter_map(Chosen::kept_module));
        for (name, _) in chosen.iter().flat_map(Chosen::matrices) {
            kept.remove(name);
        }
        let shards = shards(&source, &chosen)?;
        let ours: BTreeSet<String> = (0..source.shards.len())
            .map(|shard| source.file_name(shard))
            .chain(["config.json", INDEX, MODELOPT_CONFIG].map(String::from))
            .collect();
        let others = copy::others(dir, |path| path.to_str().is_some_and(|path| ours.contains(path)))?;
        let kept = kept.into_iter().collect();
        drop(chosen);
        let rounding = Rounding::default();
        Ok(Self { source, method, layout, rounding, shards, kept, others, tensors, unused })
    }

    /// The same plan, scales chosen as `rounding` says.
    ///
    /// # Errors
    /// [`PtqError::NoSearch`] if the method has no such choice.
    pub fn with_rounding(self, rounding: Rounding) -> Result<Self> {
        match (self.method, rounding) {
            (Method::Fp8(_), Rounding::Mse) => Err(PtqError::NoSearch),
            _ => Ok(Self { rounding, ..self }),
        }
    }

    /// Every tensor, in the order of the files.
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// The patterns of the selection that match no tensor.
    pub fn unused_patterns(&self) -> &[String] {
        &self.unused
    }

    /// Files that are copied as they are, relative to the directory.
    pub fn other_files(&self) -> &[PathBuf] {
        &self.others
    }

    /// Bytes of all tensors before and after.
    pub fn size_bytes(&self) -> (u64, u64) {
        let before = self.tensors.iter().map(|tensor| tensor.size_bytes).sum();
        (before, self.shards.iter().map(|shard| shard.numbers_bytes).sum())
    }
}

struct Chosen<'s> {
    shard: usize,
    place: &'s TensorPlace,
    /// Why it stays, or the modules that it becomes and where their matrices lie.
    what: Result<Vec<(String, Rows)>, Kept>,
    /// The tensors that are written for it.
    heads: Vec<TensorHead>,
}

impl Chosen<'_> {
    fn matrices(&self) -> impl Iterator<Item = (&str, &Rows)> {
        self.what.iter().flatten().map(|(name, rows)| (name.as_str(), rows))
    }

    /// The module of a matrix that stays and that a reader may take for one of a linear layer.
    fn kept_module(&self) -> Option<String> {
        let module = self.place.name.strip_suffix(".weight")?;
        (self.what.is_err() && self.place.shape.len() == 2).then(|| module.to_owned())
    }

    fn planned(&self, method: Method) -> PlannedTensor {
        let TensorPlace { name, dtype, shape, range } = self.place;
        let stored = match &self.what {
            Err(kept) => Stored::Kept { why: kept.to_string() },
            Ok(_) => {
                let sizes = self.heads.iter().map(|head| head.size_bytes().unwrap_or(usize::MAX) as u64);
                Stored::Packed { kind: method.name(), size_bytes: sizes.sum() }
            }
        };
        let size_bytes = range.end - range.start;
        PlannedTensor { name: name.clone(), dtype: dtype.to_string(), shape: shape.clone(), size_bytes, stored }
    }
}

/// What becomes of a tensor: why it stays, or its matrices, by the names of their modules.
fn choose(
    shard: usize,
    place: &TensorPlace,
    method: Method,
    selection: &Selection,
) -> Result<Result<Vec<(String, Rows)>, Kept>> {
    let stacked = stacked(place);
    let parts = stacked.as_ref().map_or_else(|| vec![place.clone()], |experts| experts.clone());
    // every part of one stands for the others, but for its name
    let kept = parts.iter().find_map(|part| selection.kept(part, method));
    let is_asked = matches!(kept, Some(Kept::Asked(_)));
    if place.shape.len() == 3 && stacked.is_none() && is_of_experts(&place.name) && !is_asked {
        return Err(PtqError::Stacked { tensor: place.name.clone(), shape: place.shape.clone() });
    }
    let (None, Some(kind)) = (&kept, wide_kind(place)) else {
        return Ok(Err(kept.unwrap_or(Kept::Dtype(place.dtype))));
    };
    let matrix = |part: &TensorPlace| {
        let module = part.name.strip_suffix(".weight").unwrap_or(&part.name).to_owned();
        let (rows, cols, start) = (part.shape[0], part.shape[1], part.range.start);
        let first = (start - place.range.start) / kind.block_bytes() as u64;
        (module, Rows { shard, tensor: place.name.clone(), kind, rows, cols, start, first })
    };
    Ok(Ok(parts.iter().map(matrix).collect()))
}

/// Whether a name is that of the weights of experts.
fn is_of_experts(name: &str) -> bool {
    name.split('.').any(|part| part.contains("expert") || part.contains("moe"))
}

/// The names of the matrices in a tensor of all experts `[n, rows, cols]`, each of as many rows, as llm-compressor gives them;
/// `None` of a tensor that is none.
pub(crate) fn experts(name: &str, shape: &[usize]) -> Option<Vec<String>> {
    let &[n_experts, rows, _] = shape else { return None };
    if shape.contains(&0) {
        return None;
    }
    let (whole, parts): (&str, &[&str]) = match name {
        name if name.contains("gate_up_proj") => ("gate_up_proj", &["gate_proj", "up_proj"]),
        name if name.contains("down_proj") => ("down_proj", &["down_proj"]),
        _ => return None,
    };
    let named = |expert: usize, part: &str| {
        let name = name.replace(whole, &format!("{expert}.{part}"));
        if name.ends_with(".weight") { name } else { format!("{name}.weight") }
    };
    let names = || (0..n_experts).flat_map(|expert| parts.iter().map(move |part| named(expert, part)));
    rows.is_multiple_of(parts.len()).then(|| names().collect())
}

/// The matrices in a tensor of all experts.
fn stacked(place: &TensorPlace) -> Option<Vec<TensorPlace>> {
    let names = experts(&place.name, &place.shape)?;
    let (n_bytes, cols) = ((place.range.end - place.range.start) / names.len() as u64, place.shape[2]);
    let shape = vec![place.shape[0] * place.shape[1] / names.len(), cols];
    let part = |(index, name): (usize, String)| {
        let start = place.range.start + index as u64 * n_bytes;
        TensorPlace { name, dtype: place.dtype, shape: shape.clone(), range: start..start + n_bytes }
    };
    Some(names.into_iter().enumerate().map(part).collect())
}

/// The tensors that are written for one: itself, or the parts of its matrices.
fn heads(
    place: &TensorPlace,
    what: &Result<Vec<(String, Rows)>, Kept>,
    method: Method,
    layout: Layout,
) -> Vec<TensorHead> {
    let TensorPlace { name, dtype, shape, .. } = place;
    let Ok(matrices) = what else {
        return vec![TensorHead { name: name.clone(), dtype: *dtype, shape: shape.clone() }];
    };
    let parts = |(module, Rows { rows, cols, .. }): &(String, Rows)| {
        let parts = method.parts(layout, *dtype, *rows, *cols).into_iter();
        let named = |(ending, dtype, shape)| TensorHead { name: format!("{module}.{ending}"), dtype, shape };
        parts.map(named).collect::<Vec<_>>()
    };
    matrices.iter().flat_map(parts).collect()
}

fn shards(source: &Source, chosen: &[Chosen<'_>]) -> Result<Vec<ShardPlan>> {
    let names: Vec<String> =
        chosen.iter().flat_map(|chosen| chosen.matrices().map(|(module, _)| format!("{module}.weight"))).collect();
    // a group is whole by the names of all tensors, so one that is kept is looked for too
    let all = names.iter().map(String::as_str).chain(chosen.iter().map(|chosen| chosen.place.name.as_str()));
    let groups = fused::groups(all.collect::<BTreeSet<_>>().into_iter());
    let shard = |shard: usize| {
        let here = || chosen.iter().filter(move |chosen| chosen.shard == shard);
        let heads: Vec<TensorHead> = here().flat_map(|chosen| chosen.heads.clone()).collect();
        let head = safetensors_head(source.shards[shard].path(), &heads)?;
        let mut end = head.len() as u64;
        let mut ends = heads.iter().map(|head| {
            let at = end;
            end += head.size_bytes().unwrap_or(0) as u64;
            at
        });
        let mut items = Vec::new();
        for chosen in here() {
            items.push(match &chosen.what {
                Err(_) => Item::Copy { place: chosen.place.clone(), at: ends.next().unwrap_or_default() },
                Ok(matrices) => Item::Pack(
                    matrices
                        .iter()
                        .map(|(module, rows)| {
                            let n_parts = chosen.heads.len() / matrices.len();
                            let group = groups.get(format!("{module}.weight").as_str()).copied();
                            Matrix { rows: rows.clone(), group, at: ends.by_ref().take(n_parts).collect() }
                        })
                        .collect(),
                ),
            });
        }
        drop(ends);
        let (names, numbers_bytes) = (heads.into_iter().map(|head| head.name).collect(), end - head.len() as u64);
        Ok(ShardPlan { file_name: source.file_name(shard), head, items, names, numbers_bytes })
    };
    (0..source.shards.len()).map(shard).collect()
}
