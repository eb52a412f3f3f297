//! a directory of any family → its weights, each as it lies or in codes and scales apart, and their rows in f32.
//!
//! ```text
//! X.weight                                                           plain, whatever its kind
//! X.weight F8_E4M3, X.weight_scale                                   fp8     code · scale
//! X.weight_packed U8, X.weight_scale F8_E4M3, X.weight_global_scale  nvfp4   code · (scale / global)    compressed-tensors
//! X.weight U8, X.weight_scale F8_E4M3, X.weight_scale_2              nvfp4   code · (scale · scale_2)   ModelOpt
//! ```
//!
//! Headers are read at once and numbers a piece at a time. What a weight stands for is what compressed-tensors expands it to:
//! products in f32, rounded to the kind of the scales in fp8 and to bf16 in nvfp4.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use itera_kernels::quant::{
    Kind,
    apart::{NVFP4_GROUP, expand_fp8, expand_nvfp4},
    dequantize,
};
use safetensors::Dtype;

use super::shards::weight_files;
use crate::{
    error::{FormatError, Result},
    problem::PartsProblem,
    stream::{SafetensorsReader, TensorPlace},
};

/// Sides of the blocks that share a scale of fp8, where these are fewer than rows.
const BLOCK: usize = 128;

/// The files of weights of a directory, whose headers are read and agree with each other and with the index.
#[derive(Debug)]
pub struct Shards {
    /// In order of the names of their files.
    pub readers: Vec<SafetensorsReader>,
    /// Whether there is an index beside several files.
    pub has_index: bool,
}

impl Shards {
    /// Reads the headers of all files of weights of `dir`.
    ///
    /// # Errors
    /// If a file is absent or damaged, is not what the index says, or a tensor occurs twice.
    pub fn open(dir: &Path) -> Result<Self> {
        let (mut readers, mut names, mut has_index) = (Vec::new(), BTreeSet::new(), false);
        for file in weight_files(dir)? {
            let reader = SafetensorsReader::open(&file.path)?;
            file.check(reader.tensors().iter().map(|tensor| tensor.name.as_str()))?;
            has_index |= file.expected.is_some();
            for tensor in reader.tensors() {
                if !names.insert(tensor.name.clone()) {
                    let (path, unexpected) = (file.path.clone(), vec![tensor.name.clone()]);
                    return Err(FormatError::Names { path, missing: vec![], unexpected });
                }
            }
            readers.push(reader);
        }
        Ok(Self { readers, has_index })
    }
}

/// A tensor of a file of a directory.
#[derive(Clone, Debug)]
struct Part {
    shard: usize,
    place: TensorPlace,
}

/// Which weights of fp8 share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fp8Form {
    /// All.
    Tensor,
    /// Those of a row.
    Channel,
    /// Those of 128 rows and columns.
    Block,
}

/// How the numbers of a weight are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// As they are, in this kind of number.
    Plain(Dtype),
    /// E4M3 codes, and scales.
    Fp8(Fp8Form),
    /// E2M1 codes, a scale for 16 of a row, and a factor for all.
    Nvfp4,
}

/// A weight of a directory.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Its name: that of its tensor, or the one that its tensor had before it was rounded.
    pub name: String,
    /// Its shape, of numbers, the last dimension varying fastest.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub form: WeightForm,
    codes: Part,
    scales: Option<Part>,
    /// What nvfp4 multiplies its scales by, and whether it is the inverse that is stored.
    factor: Option<(Part, bool)>,
}

impl Weight {
    /// Bytes of its codes, scales and factor.
    pub fn size_bytes(&self) -> u64 {
        let parts = [Some(&self.codes), self.scales.as_ref(), self.factor.as_ref().map(|(part, _)| part)];
        parts.into_iter().flatten().map(|part| part.place.range.end - part.place.range.start).sum()
    }

    /// `fp8`, `nvfp4`, or the kind of number as files call it.
    pub fn kind(&self) -> String {
        match self.form {
            WeightForm::Plain(dtype) => dtype.to_string(),
            WeightForm::Fp8(_) => "fp8".into(),
            WeightForm::Nvfp4 => "nvfp4".into(),
        }
    }

    /// Rows along the last dimension, and numbers of a row.
    pub fn rows_and_cols(&self) -> (usize, usize) {
        crate::packed::rows_and_cols(&self.shape)
    }

    /// Whether its rows can be expanded to f32.
    pub fn has_numbers(&self) -> bool {
        self.codes.place.kind().is_some() || self.scales.is_some()
    }

    /// Whether its tensor lies in codes and scales.
    pub fn is_packed(&self) -> bool {
        self.scales.is_some()
    }
}

/// The weights of a directory, which are read a piece of rows at a time.
#[derive(Debug)]
pub struct WeightsDir {
    readers: Vec<SafetensorsReader>,
    weights: Vec<Weight>,
    by_name: BTreeMap<String, usize>,
}

/// What pieces are read into.
#[derive(Debug, Default)]
struct Pieces {
    codes: Vec<u8>,
    scales: Vec<u8>,
    steps: Vec<f32>,
}

impl WeightsDir {
    /// Reads the headers of a directory's files and joins codes with their scales. What has scales of another form is listed as
    /// it lies.
    ///
    /// # Errors
    /// As [`Shards::open`], or if scales do not fit their codes.
    pub fn open(dir: &Path) -> Result<Self> {
        let Shards { readers, .. } = Shards::open(dir)?;
        let tensors = readers.iter().enumerate();
        let mut parts: BTreeMap<String, Part> = tensors
            .flat_map(|(shard, reader)| reader.tensors().iter().map(move |place| (shard, place.clone())))
            .map(|(shard, place)| (place.name.clone(), Part { shard, place }))
            .collect();
        let mut weights = Vec::new();
        for (shard, reader) in readers.iter().enumerate() {
            for place in reader.tensors() {
                if let Some(weight) = join(&mut parts, place) {
                    weights.push(weight.checked(readers[shard].path())?);
                }
            }
        }
        // what was listed before the codes that it belongs to
        weights.retain(|weight| parts.contains_key(&weight.codes.place.name));
        let by_name: BTreeMap<String, usize> =
            weights.iter().enumerate().map(|(index, weight)| (weight.name.clone(), index)).collect();
        if let Some((_, twice)) = weights.iter().enumerate().find(|(index, weight)| by_name[&weight.name] != *index) {
            let (path, unexpected) = (readers[twice.codes.shard].path().to_owned(), vec![twice.name.clone()]);
            return Err(FormatError::Names { path, missing: vec![], unexpected });
        }
        Ok(Self { readers, weights, by_name })
    }

    /// All weights, in the order in which the files have them.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// The index of the weight of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The numbers that some rows of a weight stand for, into `numbers`, which grows to what they need.
    ///
    /// # Shapes
    /// `numbers`: [rows, cols]
    ///
    /// # Errors
    /// If the system refuses, or the numbers are of a kind that is none of F32, F16, BF16, F8_E4M3.
    ///
    /// # Panics
    /// If there is no such weight, or it has fewer rows.
    pub fn read(&mut self, weight: usize, rows: Range<usize>, numbers: &mut Vec<f32>) -> Result<()> {
        let Self { readers, weights, .. } = self;
        let weight = &weights[weight];
        let (n_rows, cols) = weight.rows_and_cols();
        assert!(rows.start <= rows.end && rows.end <= n_rows, "rows {rows:?} of {n_rows}");
        let mut pieces = Pieces::default();
        numbers.resize(rows.len() * cols, 0.0);
        read_part(readers, &weight.codes, n_rows, rows.clone(), &mut pieces.codes)?;
        match weight.form {
            WeightForm::Plain(_) => {
                let kind = kind_of(readers, &weight.codes)?;
                dequantize(kind, &pieces.codes, numbers);
            }
            WeightForm::Fp8(form) => {
                let scales = weight.scales.as_ref().expect("fp8 has scales");
                let across = if form == Fp8Form::Block { cols.div_ceil(BLOCK) } else { 1 };
                let (first, last) = match form {
                    Fp8Form::Tensor => (0, 1),
                    Fp8Form::Channel => (rows.start, rows.end),
                    Fp8Form::Block => (rows.start / BLOCK, rows.end.div_ceil(BLOCK)),
                };
                let of = match form {
                    Fp8Form::Tensor => 1,
                    Fp8Form::Channel => n_rows,
                    Fp8Form::Block => n_rows.div_ceil(BLOCK),
                };
                let kind = kind_of(readers, scales)?;
                read_part(readers, scales, of, first..last, &mut pieces.scales)?;
                pieces.steps.resize((last - first) * across, 0.0);
                dequantize(kind, &pieces.scales, &mut pieces.steps);
                let width = if form == Fp8Form::Block { BLOCK } else { cols.max(1) };
                for (row, (codes, numbers)) in
                    rows.zip(pieces.codes.chunks(cols.max(1)).zip(numbers.chunks_mut(cols.max(1))))
                {
                    let at = match form {
                        Fp8Form::Tensor => 0,
                        Fp8Form::Channel => row - first,
                        Fp8Form::Block => row / BLOCK - first,
                    };
                    let steps = &pieces.steps[at * across..][..across];
                    for ((codes, numbers), step) in codes.chunks(width).zip(numbers.chunks_mut(width)).zip(steps) {
                        expand_fp8(kind, codes, *step, numbers);
                    }
                }
            }
            WeightForm::Nvfp4 => {
                let (scales, (factor, is_inverse)) =
                    (weight.scales.as_ref().expect("nvfp4 has scales"), weight.factor.as_ref().expect("and a factor"));
                let (mut bytes, mut value) = (Vec::new(), [0.0]);
                read_part(readers, factor, 1, 0..1, &mut bytes)?;
                dequantize(Kind::F32, &bytes, &mut value);
                read_part(readers, scales, n_rows, rows, &mut pieces.scales)?;
                pieces.steps.resize(pieces.scales.len(), 0.0);
                dequantize(Kind::F8E4M3, &pieces.scales, &mut pieces.steps);
                let [factor] = value;
                pieces
                    .steps
                    .iter_mut()
                    .for_each(|step| *step = if *is_inverse { *step / factor } else { *step * factor });
                expand_nvfp4(&pieces.codes, &pieces.steps, numbers);
            }
        }
        Ok(())
    }

    /// Fills `bytes` with what lies at `offset` of the codes, or numbers, of a weight, as its file has them.
    ///
    /// # Errors
    /// If the system refuses.
    ///
    /// # Panics
    /// If there is no such weight, or it ends before.
    pub fn read_bytes(&mut self, weight: usize, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let Part { shard, place } = &self.weights[weight].codes;
        let start = place.range.start + offset;
        assert!(start + bytes.len() as u64 <= place.range.end, "{} bytes at {offset}", bytes.len());
        self.readers[*shard].read(start, bytes)
    }
}

/// The part `rows` of a tensor of `n_rows` rows of equal bytes.
fn read_part(
    readers: &mut [SafetensorsReader],
    part: &Part,
    n_rows: usize,
    rows: Range<usize>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let Range { start, end } = part.place.range;
    let row_bytes = (end - start) / (n_rows as u64).max(1);
    bytes.resize(rows.len() * row_bytes as usize, 0);
    readers[part.shard].read(start + rows.start as u64 * row_bytes, bytes)
}

fn kind_of(readers: &[SafetensorsReader], part: &Part) -> Result<Kind> {
    part.place.kind().ok_or_else(|| FormatError::Dtype {
        path: readers[part.shard].path().to_owned(),
        tensor: part.place.name.clone(),
        dtype: part.place.dtype.to_string(),
        supported: "F32, F16, BF16, F8_E4M3".into(),
    })
}

/// The weight whose codes, or numbers, lie at `place`; its scales are taken out of `parts`.
fn join(parts: &mut BTreeMap<String, Part>, place: &TensorPlace) -> Option<Weight> {
    let codes = parts.get(&place.name)?.clone();
    let beside = |ending: &str, dtype: Option<Dtype>| {
        let name = format!("{}{ending}", place.name.strip_suffix("_packed").unwrap_or(&place.name));
        parts.get(&name).filter(|part| dtype.is_none_or(|dtype| part.place.dtype == dtype)).cloned()
    };
    let of_e4m3 = || beside("_scale", Some(Dtype::F8_E4M3));
    let factor = match place.dtype {
        Dtype::U8 if place.name.ends_with("_packed") => {
            beside("_global_scale", Some(Dtype::F32)).map(|part| (part, true))
        }
        Dtype::U8 => beside("_scale_2", Some(Dtype::F32)).map(|part| (part, false)),
        _ => None,
    };
    let (form, scales, factor) = match (place.dtype, factor, of_e4m3()) {
        (Dtype::U8, Some(factor), Some(scales)) => (WeightForm::Nvfp4, Some(scales), Some(factor)),
        (Dtype::F8_E4M3, _, _) => match beside("_scale", None) {
            Some(scales) => (WeightForm::Fp8(Fp8Form::Tensor), Some(scales), None),
            None => (WeightForm::Plain(place.dtype), None, None),
        },
        _ => (WeightForm::Plain(place.dtype), None, None),
    };
    for part in scales.iter().chain(factor.as_ref().map(|(part, _)| part)) {
        parts.remove(&part.place.name);
    }
    let (name, shape) = (place.name.clone(), place.shape.clone());
    Some(Weight { name, shape, form, codes, scales, factor })
}

impl Weight {
    /// The weight by its own name and shape, its scales found to fit.
    fn checked(mut self, path: &Path) -> Result<Self> {
        let Some(scales) = &self.scales else { return Ok(self) };
        let found = scales.place.shape.clone();
        let misfit = |part: &Part, codes: Vec<usize>| FormatError::Parts {
            path: path.to_owned(),
            tensor: part.place.name.clone(),
            problem: PartsProblem::Scales { found: part.place.shape.clone(), codes },
        };
        if self.form == WeightForm::Nvfp4 {
            let &[rows, half] = self.shape.as_slice() else { return Err(misfit(scales, self.shape)) };
            let shape =
                half.checked_mul(2).filter(|cols| cols.is_multiple_of(NVFP4_GROUP)).map(|cols| vec![rows, cols]);
            let Some(shape) = shape.filter(|shape| found == [rows, shape[1] / NVFP4_GROUP]) else {
                return Err(misfit(scales, self.shape));
            };
            if let Some((factor, _)) = self.factor.iter().find(|(part, _)| !matches!(part.place.shape[..], [] | [1])) {
                return Err(misfit(factor, self.shape));
            }
            if let Some(name) = self.name.strip_suffix("_packed") {
                self.name = name.to_owned();
            }
            self.shape = shape;
            return Ok(self);
        }
        let form = match (self.shape.as_slice(), found.as_slice()) {
            (_, [] | [1]) => Fp8Form::Tensor,
            (&[rows, _], &[of] | &[of, 1]) if rows == of => Fp8Form::Channel,
            (&[rows, cols], found) if *found == [rows.div_ceil(BLOCK), cols.div_ceil(BLOCK)] => Fp8Form::Block,
            _ => return Err(misfit(scales, self.shape)),
        };
        self.form = WeightForm::Fp8(form);
        Ok(self)
    }
}
