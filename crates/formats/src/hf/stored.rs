//! the tensors of the files of a directory → those of the model, each in one kind.
//!
//! ```text
//! X.weight                                          ─▶ X.weight, where it lies
//! X.weight F8_E4M3, X.weight_scale                  ─▶ X.weight in f8_e4m3 where it lies, if the scales are 1, or in f32
//! X.weight_packed, X.weight_scale, X.weight_shape   ─▶ X.weight in q4_0
//! ```
//!
//! Scales and words are those of compressed-tensors (0.20): `naive-quantized` and `float-quantized`, a scale for a tensor
//! or for each row; `pack-quantized`, 4 bits in groups of 32. What they stand for is code · scale.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use itera_kernels::quant::{Kind, dequantize, quantize};
use safetensors::Dtype;

use super::int4;
use super::shards::Shard;
use crate::{
    error::{FormatError, Result},
    problem::PartsProblem,
    tensors::Indexed,
};

/// Codes of 4 bits in an I32.
pub(super) const CODES_A_WORD: usize = 8;

/// A tensor of a model, of one or of several tensors of the files.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) shape: Vec<usize>,
    /// Which of the files it is in.
    pub(crate) shard: usize,
    /// Its rows, in that file, or its codes, where it is unpacked.
    pub(crate) range: Range<usize>,
    /// Its rows, where the file has them in another form.
    pub(crate) unpacked: Option<Vec<u8>>,
    /// Bytes of the files that it takes, scales and all.
    pub(crate) size_bytes: usize,
}

impl Stored {
    /// Its rows.
    pub(crate) fn bytes<'a>(&'a self, shards: &'a [Shard]) -> &'a [u8] {
        self.unpacked.as_deref().unwrap_or(&shards[self.shard].bytes()[self.range.clone()])
    }
}

/// A tensor as it lies in a file, whatever it is.
pub(crate) struct Raw<'a> {
    pub(crate) tensor: Indexed,
    /// Which of the files it is in, and its path.
    pub(crate) shard: usize,
    path: &'a Path,
    /// From the beginning of the file.
    pub(crate) range: Range<usize>,
    bytes: &'a [u8],
}

/// The tensors in the files, in order of name.
///
/// # Errors
/// As of [`read_safetensors`](crate::read_safetensors), or if a name occurs twice.
pub(crate) fn raw(shards: &[Shard]) -> Result<BTreeMap<String, Raw<'_>>> {
    let mut all = BTreeMap::new();
    for (shard, file) in shards.iter().enumerate() {
        let (tensors, numbers) = file.tensors()?;
        let first_byte = file.bytes().len() - numbers.len();
        for tensor in tensors {
            let range = first_byte + tensor.range.start..first_byte + tensor.range.end;
            let (path, bytes, name) = (file.path(), &numbers[tensor.range.clone()], tensor.name.clone());
            if let Some(twice) = all.insert(name, Raw { tensor, shard, path, range, bytes }) {
                let unexpected = vec![twice.tensor.name];
                return Err(FormatError::Names { path: path.to_owned(), missing: vec![], unexpected });
            }
        }
    }
    Ok(all)
}

/// The tensors of the model in the files, in order of name.
///
/// # Errors
/// As of [`read_safetensors`](crate::read_safetensors), or if the parts of a tensor do not fit together.
pub(crate) fn stored(shards: &[Shard]) -> Result<Vec<Stored>> {
    let mut parts = raw(shards)?;
    let mut stored = Vec::new();
    // `X.weight` and `X.weight_packed` come before their scales
    while let Some((name, part)) = parts.pop_first() {
        let (shard, range) = (part.shard, part.range.clone());
        let size_bytes = range.len();
        let scale_of = |weight: &str| format!("{weight}_scale");
        let words = Some(&name).filter(|_| part.tensor.dtype == Dtype::I32);
        stored.push(if let Some(weight) = words.and_then(|name| name.strip_suffix("_packed")) {
            let (scale, shape) = (parts.remove(&scale_of(weight)), parts.remove(&format!("{weight}_shape")));
            let (Some(scale), Some(shape)) = (scale, shape) else {
                return Err(part.misfit(PartsProblem::Alone));
            };
            let size_bytes = size_bytes + scale.bytes.len() + shape.bytes.len();
            let (shape, blocks) = part.int4(&scale, &shape)?;
            let (name, unpacked) = (weight.to_owned(), Some(blocks));
            Stored { name, kind: Kind::Q4_0, shape, shard, range, unpacked, size_bytes }
        } else if part.tensor.dtype == Dtype::F8_E4M3
            && let Some(scale) = parts.remove(&scale_of(&name))
        {
            let size_bytes = size_bytes + scale.bytes.len();
            let unpacked = part.scaled(&scale)?;
            let kind = if unpacked.is_some() { Kind::F32 } else { Kind::F8E4M3 };
            Stored { name, kind, shape: part.tensor.shape, shard, range, unpacked, size_bytes }
        } else {
            let kind = part.tensor.kind(part.path)?;
            Stored { name, kind, shape: part.tensor.shape, shard, range, unpacked: None, size_bytes }
        });
    }
    Ok(stored)
}

impl Raw<'_> {
    fn misfit(&self, problem: PartsProblem) -> FormatError {
        FormatError::Parts { path: self.path.to_owned(), tensor: self.tensor.name.clone(), problem }
    }

    /// As f32.
    fn numbers(&self) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; self.tensor.shape.iter().product()];
        dequantize(self.tensor.kind(self.path)?, self.bytes, &mut numbers);
        Ok(numbers)
    }

    /// Codes times a scale, one or one for each row, as the bytes of f32; `None` if every scale is 1.
    fn scaled(&self, scale: &Self) -> Result<Option<Vec<u8>>> {
        let expected = match (self.tensor.shape.as_slice(), scale.tensor.shape.as_slice()) {
            (_, [] | [1]) => 1,
            (&[rows, _], &[of, 1]) if rows == of => rows,
            (codes, found) => {
                return Err(scale.misfit(PartsProblem::Scales { found: found.into(), codes: codes.into() }));
            }
        };
        let scales = scale.numbers()?;
        if scales.iter().all(|scale| *scale == 1.0) {
            return Ok(None);
        }
        let mut numbers = self.numbers()?;
        let cols = numbers.len() / expected;
        for (row, scale) in numbers.chunks_mut(cols.max(1)).zip(scales) {
            row.iter_mut().for_each(|number| *number *= scale);
        }
        Ok(Some(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
    }

    /// Words of codes (I32), scales and a shape: that and the blocks of q4_0.
    fn int4(&self, scale: &Self, shape: &Self) -> Result<(Vec<usize>, Vec<u8>)> {
        let not_codes = || self.misfit(PartsProblem::Words(self.tensor.shape.clone()));
        let &[rows, words] = self.tensor.shape.as_slice() else { return Err(not_codes()) };
        let cols = words.checked_mul(CODES_A_WORD).ok_or_else(not_codes)?;
        let said: Vec<u8> = [rows, cols].iter().flat_map(|size| (*size as u64).to_le_bytes()).collect();
        if (shape.tensor.dtype, shape.bytes) != (Dtype::I64, &said) {
            return Err(shape.misfit(PartsProblem::Said { rows, cols }));
        }
        if !cols.is_multiple_of(int4::GROUP) || scale.tensor.shape != [rows, cols / int4::GROUP] {
            let found = scale.tensor.shape.clone();
            return Err(scale.misfit(PartsProblem::Groups { found, rows, cols }));
        }
        let scales = scale.numbers()?;
        let (mut halves, mut kept) = (vec![0; scales.len() * Kind::F16.block_bytes()], vec![0.0; scales.len()]);
        quantize(Kind::F16, &scales, &mut halves);
        dequantize(Kind::F16, &halves, &mut kept);
        match scales.iter().zip(&kept).find(|(scale, kept)| scale != kept) {
            Some((lost, _)) => Err(scale.misfit(PartsProblem::Scale(*lost))),
            None => Ok((vec![rows, cols], int4::blocks(self.bytes, &halves))),
        }
    }
}
