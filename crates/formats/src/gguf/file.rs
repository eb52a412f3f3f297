//! bytes → header, metadata, and where each tensor lies.
//!
//! ```text
//! "GGUF" [u32: version] [u64: tensors] [u64: metadata entries]
//! metadata entry × n: [text: key] [type, value]
//! tensor × n: [text: name] [u32: dimensions] [u64 each, the innermost first] [u32: type] [u64: offset in the data]
//! padding, data; every tensor begins at a multiple of the alignment, and they leave no other gap
//! ```
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. A file is taken as hostile: every count is held
//! against the bytes that are left before anything is made of that size, so reading takes memory in proportion to the
//! header and no more.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use super::cursor::Cursor;
use super::tensor_type::TensorType;
use super::value::Value;
use crate::{
    error::{FormatError, Result},
    lfs::refuse_pointer,
    problem::GgufProblem,
};

pub(super) const MAGIC: [u8; 4] = *b"GGUF";

/// Version 2 differs from 3 in nothing that a file of a little-endian machine shows.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;

/// Alignment of a file that does not say.
pub(super) const ALIGNMENT: usize = 32;

/// Key of the alignment.
const ALIGNMENT_KEY: &str = "general.alignment";

/// Most dimensions of a tensor.
const MAX_DIMS: usize = 4;

/// Least bytes of a metadata entry: an empty key, a type, one byte.
const MIN_ENTRY_BYTES: usize = 13;

/// Bytes of the shortest entry of a tensor: an empty name, no dimension.
const MIN_TENSOR_BYTES: usize = 24;

/// What the header of a GGUF file says. Everything is checked but what the metadata means.
#[derive(Clone, Debug)]
pub struct Gguf<'a> {
    /// Version of the format.
    pub version: u32,
    /// Metadata in the order of the file; no key occurs twice.
    pub metadata: Vec<Entry<'a>>,
    /// Tensors in the order of the file; no name occurs twice, and no two share a byte.
    pub tensors: Vec<TensorInfo<'a>>,
}

/// One key and its value.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a str,
    /// Its value.
    pub value: Value<'a>,
    /// Byte of the file at which the entry begins.
    pub offset: usize,
}

/// What a tensor is and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its numbers are stored.
    pub stored_as: TensorType,
    /// Sizes of its dimensions; the last varies fastest. (Files have them the other way round.)
    pub shape: Vec<usize>,
    /// Its bytes in the file; up to the next tensor if its type is not known.
    pub range: Range<usize>,
}

impl<'a> Gguf<'a> {
    /// Reads the header of a file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`FormatError::Gguf`], with the field and its offset, if anything in the header is not as the format has it, or
    /// the file is shorter or longer than it says.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(path, bytes);
        refuse_pointer(path, bytes)?;
        if cursor.take(MAGIC.len(), "the magic number")? != MAGIC {
            return Err(cursor.invalid("the magic number", 0, GgufProblem::Magic));
        }
        let version = cursor.u32("the version")?;
        if !VERSIONS.contains(&version) {
            return Err(cursor.invalid("the version", MAGIC.len(), GgufProblem::Version(version)));
        }
        let n_tensors = cursor.count(MIN_TENSOR_BYTES, "the number of tensors")?;
        let n_entries = cursor.count(MIN_ENTRY_BYTES, "the number of metadata entries")?;
        let metadata = read_metadata(&mut cursor, n_entries)?;
        let alignment = alignment(&cursor, &metadata)?;
        let tensors = read_tensors(&mut cursor, n_tensors, alignment, bytes.len())?;
        Ok(Self { version, metadata, tensors })
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.metadata.iter().find(|entry| entry.key == key)
    }

    /// An error about the value of a key, or its absence.
    pub(super) fn unsupported(&self, key: &str, supported: impl Into<String>) -> FormatError {
        let found = self.entry(key).map(|entry| format!("{} at byte {}", entry.value, entry.offset));
        FormatError::Key {
            key: key.to_owned(),
            found: found.unwrap_or("absent".to_owned()),
            supported: supported.into(),
        }
    }
}

fn read_metadata<'a>(cursor: &mut Cursor<'a>, n_entries: usize) -> Result<Vec<Entry<'a>>> {
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..n_entries {
        let offset = cursor.offset();
        let key = cursor.text(format_args!("the key of metadata entry {index}"))?;
        if !seen.insert(key) {
            return Err(cursor.invalid(format_args!("`{key}`"), offset, GgufProblem::Twice));
        }
        entries.push(Entry { key, value: Value::read(cursor, key)?, offset });
    }
    Ok(entries)
}

fn alignment(cursor: &Cursor<'_>, metadata: &[Entry<'_>]) -> Result<usize> {
    let Some(entry) = metadata.iter().find(|entry| entry.key == ALIGNMENT_KEY) else { return Ok(ALIGNMENT) };
    // a file that pads to more than this wastes most of its bytes
    const LARGEST: usize = 1 << 16;
    entry.value.as_size().filter(|size| size.is_power_of_two() && *size <= LARGEST).ok_or_else(|| {
        let problem = GgufProblem::Alignment { found: entry.value.to_string(), largest: LARGEST };
        cursor.invalid(format_args!("`{ALIGNMENT_KEY}`"), entry.offset, problem)
    })
}

/// A tensor whose place is not known to be in the file yet.
struct Claim<'a> {
    name: &'a str,
    stored_as: TensorType,
    shape: Vec<usize>,
    /// `None` if its type is not known.
    n_bytes: Option<usize>,
    /// From the beginning of the data.
    start: u64,
    /// Byte of the file that says so.
    offset: usize,
}

fn read_tensors<'a>(
    cursor: &mut Cursor<'a>,
    n_tensors: usize,
    alignment: usize,
    file_bytes: usize,
) -> Result<Vec<TensorInfo<'a>>> {
    let claims = (0..n_tensors).map(|index| read_claim(cursor, index)).collect::<Result<Vec<_>>>()?;
    let starts: Vec<u64> = claims.iter().map(|claim| claim.start).collect();
    let mut seen = HashSet::new();
    let mut end = cursor.offset();
    let data = end.next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(claims.len());
    for (index, Claim { name, stored_as, shape, n_bytes, start, offset }) in claims.into_iter().enumerate() {
        let field = format_args!("the offset of tensor `{name}`");
        if !seen.insert(name) {
            return Err(cursor.invalid(format_args!("tensor `{name}`"), offset, GgufProblem::Twice));
        }
        let expected = end.next_multiple_of(alignment) - data;
        if start != expected as u64 {
            return Err(cursor.invalid(field, offset, GgufProblem::Gap { start, expected }));
        }
        let first = data + expected;
        let left = file_bytes.saturating_sub(first);
        let n_bytes = n_bytes.unwrap_or_else(|| match starts.get(index + 1) {
            Some(next) => usize::try_from(next.saturating_sub(start)).unwrap_or(usize::MAX),
            None => left,
        });
        end = first
            .checked_add(n_bytes)
            .filter(|end| *end <= file_bytes)
            .ok_or_else(|| cursor.invalid(field, offset, GgufProblem::CutTensor { n_left: left, n_bytes }))?;
        let n_numbers: usize = shape.iter().product();
        if n_numbers.div_ceil(8) > n_bytes {
            return Err(cursor.invalid(field, offset, GgufProblem::Thin { n_bytes, n_numbers }));
        }
        tensors.push(TensorInfo { name, stored_as, shape, range: first..end });
    }
    let longest = end.next_multiple_of(alignment);
    if file_bytes > longest {
        let problem = GgufProblem::Surplus { n_bytes: file_bytes - longest };
        return Err(cursor.invalid("the end of the data", longest, problem));
    }
    Ok(tensors)
}

fn read_claim<'a>(cursor: &mut Cursor<'a>, index: usize) -> Result<Claim<'a>> {
    let name = cursor.text(format_args!("the name of tensor {index}"))?;
    let offset = cursor.offset();
    let invalid = |cursor: &Cursor<'_>, what: &str, at, problem| -> FormatError {
        cursor.invalid(format_args!("the {what} of tensor `{name}`"), at, problem)
    };
    let n_dims = cursor.u32(format_args!("the number of dimensions of tensor `{name}`"))? as usize;
    if n_dims > MAX_DIMS {
        let problem = GgufProblem::Dimensions { n_dims, most: MAX_DIMS };
        return Err(invalid(cursor, "number of dimensions", offset, problem));
    }
    let mut shape = Vec::with_capacity(n_dims);
    for _ in 0..n_dims {
        let (at, size) = (cursor.offset(), cursor.u64(format_args!("a dimension of tensor `{name}`"))?);
        let size = usize::try_from(size).map_err(|_| invalid(cursor, "shape", at, GgufProblem::Side(size)))?;
        shape.insert(0, size);
    }
    let stored_as = TensorType { code: cursor.u32(format_args!("the type of tensor `{name}`"))? };
    // of a type that is not known, as if it took a byte a number: their count must fit all the same
    let (block_len, block_bytes) = stored_as.block().unwrap_or((1, 1));
    let cols = shape.last().copied().unwrap_or(1);
    let row_bytes = if cols.is_multiple_of(block_len) { (cols / block_len).checked_mul(block_bytes) } else { None };
    let n_rows = shape.iter().rev().skip(1).try_fold(1_usize, |rows, size| rows.checked_mul(*size));
    let n_bytes = n_rows.zip(row_bytes).and_then(|(rows, row_bytes)| rows.checked_mul(row_bytes));
    let n_bytes = n_bytes.ok_or_else(|| {
        let problem = GgufProblem::Shape { shape: shape.clone(), block_len };
        invalid(cursor, "shape", offset, problem)
    })?;
    let n_bytes = stored_as.block().map(|_| n_bytes);
    let offset = cursor.offset();
    let start = cursor.u64(format_args!("the offset of tensor `{name}`"))?;
    Ok(Claim { name, stored_as, shape, n_bytes, start, offset })
}
