//! named tensors ⇄ a safetensors file.
//!
//! ```text
//! [8 bytes: header length n] [n bytes: JSON of name → dtype, shape, offsets] [the numbers, little-endian, no gaps]
//! ```
//!
//! Format: <https://huggingface.co/docs/safetensors>. Written in order of name, so equal tensors give equal bytes.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use itera_files::{MappedFile, write_atomic_with};
use itera_kernels::quant::{Kind, dequantize, quantize};
use itera_shape::{NamedTensor, TensorRef};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::{
    error::{FormatError, Result},
    header::Header,
    lfs::refuse_pointer,
    problem::HeaderProblem,
};

/// Bytes of the header's length.
const LENGTH_BYTES: usize = 8;

/// Longest header that is read or written; the limit of every other reader as well.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// The kinds of number that are read and written, and what files call them.
const DTYPES: [(Kind, Dtype); 4] =
    [(Kind::F32, Dtype::F32), (Kind::F16, Dtype::F16), (Kind::Bf16, Dtype::BF16), (Kind::F8E4M3, Dtype::F8_E4M3)];

/// Numbers turned into bytes at a time.
const NUMBERS_AT_ONCE: usize = 1 << 14;

/// Writes tensors as F32 or, rounded to nearest, ties to even, as F16, BF16 or F8_E4M3; atomically. The order of `tensors` does not
/// show in the file.
///
/// # Errors
///
/// If it is another kind, a name occurs twice, a shape does not fit its numbers, or the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[TensorRef<'_>], kind: Kind) -> Result<()> {
    let dtype = dtype_of(kind)
        .ok_or_else(|| FormatError::Header { path: path.to_owned(), problem: HeaderProblem::Kind(kind) })?;
    let mut tensors = tensors.to_vec();
    tensors.sort_by_key(|tensor| tensor.name);
    let described = tensors.iter().map(|t| Described {
        name: t.name,
        dtype,
        shape: t.shape,
        size_bytes: t.data.len() * kind.block_bytes(),
    });
    let header = header_of(path, described)?;
    Ok(write_atomic_with(path, |file| {
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| write_numbers(file, tensor.data, kind))
    })?)
}

/// What files call a kind; `None` if they have no such number.
pub(crate) fn dtype_of(kind: Kind) -> Option<Dtype> {
    DTYPES.into_iter().find(|(known, _)| *known == kind).map(|(_, dtype)| dtype)
}

/// The kind that files call so; `None` of one that is not read.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    DTYPES.into_iter().find(|(_, known)| *known == dtype).map(|(kind, _)| kind)
}

/// A tensor whose bytes are made already.
pub(crate) struct Encoded<'a> {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// The bytes of a file. Errors name `path`.
///
/// # Errors
///
/// If a name occurs twice, or a shape does not fit its bytes.
pub(crate) fn encode(path: &Path, mut tensors: Vec<Encoded<'_>>) -> Result<Vec<u8>> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let described =
        tensors.iter().map(|t| Described { name: &t.name, dtype: t.dtype, shape: &t.shape, size_bytes: t.bytes.len() });
    let mut file = header_of(path, described)?;
    tensors.iter().for_each(|tensor| file.extend_from_slice(&tensor.bytes));
    Ok(file)
}

/// What a header says of a tensor.
pub(crate) struct Described<'a> {
    pub(crate) name: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    pub(crate) size_bytes: usize,
}

/// All that is before the numbers of tensors in order of name.
pub(crate) fn header_of<'a>(path: &Path, tensors: impl Iterator<Item = Described<'a>>) -> Result<Vec<u8>> {
    let invalid = |problem: HeaderProblem| FormatError::Header { path: path.to_owned(), problem };
    let mut end = 0;
    let mut infos: Vec<(String, TensorInfo)> = Vec::new();
    for Described { name, dtype, shape, size_bytes } in tensors {
        if infos.last().is_some_and(|(last, _)| last == name) {
            return Err(invalid(HeaderProblem::Twice { tensor: name.into() }));
        }
        let n_bits = shape.iter().try_fold(dtype.bitsize(), |product: usize, &size| product.checked_mul(size));
        if n_bits.is_none() || n_bits != size_bytes.checked_mul(8) {
            let (tensor, shape) = (name.into(), shape.to_vec());
            return Err(invalid(HeaderProblem::Size { tensor, size_bytes, dtype, shape }));
        }
        let start = end;
        end += size_bytes;
        infos.push((name.to_owned(), TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) }));
    }
    // transformers refuses a file that does not say which framework laid its tensors out
    let about = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    let metadata = Metadata::new(Some(about), infos).map_err(|error| invalid(error.into()))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|error| invalid(error.into()))?;
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    if header.len() > MAX_HEADER_BYTES {
        return Err(invalid(HeaderProblem::TooLong { size_bytes: header.len(), max_bytes: MAX_HEADER_BYTES }));
    }
    Ok([&(header.len() as u64).to_le_bytes(), &header[..]].concat())
}

fn write_numbers(file: &mut dyn Write, numbers: &[f32], kind: Kind) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for chunk in numbers.chunks(NUMBERS_AT_ONCE) {
        bytes.resize(chunk.len() * kind.block_bytes(), 0);
        quantize(kind, chunk, &mut bytes);
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads all tensors of a file, F32, F16, BF16 or F8_E4M3, as f32, in order of name. Numbers may be infinite or NaN.
///
/// # Errors
///
/// If the file cannot be read; if its header is not valid, or its tensors overlap, leave gaps, or contradict their
/// shapes; if it is not exactly as long as its header says; or if it holds another kind of number.
pub fn read_safetensors(path: &Path) -> Result<Vec<NamedTensor>> {
    parse(path, MappedFile::open(path)?.bytes())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>> {
    let (tensors, numbers) = index(path, bytes)?;
    let read = |tensor: Indexed| {
        let kind = tensor.kind(path)?;
        let Indexed { name, shape, range, .. } = tensor;
        let mut data = vec![0.0; shape.iter().product()];
        dequantize(kind, &numbers[range], &mut data);
        Ok(NamedTensor { name, shape, data })
    };
    tensors.into_iter().map(read).collect()
}

/// Where a tensor lies in a file.
pub(crate) struct Indexed {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Its bytes, counted from the end of the header.
    pub(crate) range: Range<usize>,
}

impl Indexed {
    /// The kind of its numbers; `None` of one that is not read.
    pub(crate) fn known_kind(&self) -> Option<Kind> {
        kind_of(self.dtype)
    }

    /// The kind of its numbers.
    pub(crate) fn kind(&self, path: &Path) -> Result<Kind> {
        self.known_kind().ok_or_else(|| FormatError::Dtype {
            path: path.to_owned(),
            tensor: self.name.clone(),
            dtype: self.dtype.to_string(),
            supported: DTYPES.map(|(_, dtype)| dtype.to_string()).join(", "),
        })
    }
}

/// The tensors of a file in order of name, and the bytes that they lie in; ranges are within those.
pub(crate) fn index<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Vec<Indexed>, &'a [u8])> {
    let (metadata, numbers) = split(path, bytes)?;
    let mut names = metadata.offset_keys();
    names.sort();
    let place = |name: String| {
        let TensorInfo { dtype, shape, data_offsets: (start, end) } =
            metadata.info(&name).expect("the header lists its own names").clone();
        Indexed { name, dtype, shape, range: start..end }
    };
    Ok((names.into_iter().map(place).collect(), numbers))
}

/// The header, which is found valid, and the bytes behind it, which are as many as it says.
fn split<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Metadata, &'a [u8])> {
    let (head, numbers) = bytes.split_at(header_end(path, bytes, bytes.len())?);
    Ok((read_header(path, head, bytes.len())?, numbers))
}

/// Where the header ends of a file of `file_bytes`, whose first bytes are these; all of the header is in the file.
pub(crate) fn header_end(path: &Path, first: &[u8], file_bytes: usize) -> Result<usize> {
    refuse_pointer(path, first)?;
    let invalid = |problem| FormatError::Header { path: path.to_owned(), problem };
    let Some((length, _)) = first.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(invalid(HeaderProblem::NoLength { size_bytes: file_bytes }));
    };
    let (length, left_bytes) = (u64::from_le_bytes(*length), file_bytes - LENGTH_BYTES);
    match usize::try_from(length) {
        Ok(length) if length <= MAX_HEADER_BYTES.min(left_bytes) => Ok(LENGTH_BYTES + length),
        _ => Err(invalid(HeaderProblem::Cut { said_bytes: length, left_bytes })),
    }
}

/// What the bytes before the numbers say, the header's length among them, of a file of `file_bytes`.
pub(crate) fn read_header(path: &Path, head: &[u8], file_bytes: usize) -> Result<Metadata> {
    let invalid = |problem| FormatError::Header { path: path.to_owned(), problem };
    let header = &head[LENGTH_BYTES..];
    let Header(mut tensors) = serde_json::from_slice(header).map_err(|error| invalid(error.into()))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // offsets are found to start at 0, to leave no gap, and to agree with dtype and shape
    let metadata = Metadata::new(None, tensors).map_err(|error| invalid(error.into()))?;
    let n_left = file_bytes - head.len();
    if metadata.data_len() == n_left {
        return Ok(metadata);
    }
    let is_cut = |name: &String| metadata.info(name).is_some_and(|info| info.data_offsets.1 > n_left);
    Err(FormatError::Length {
        path: path.to_owned(),
        expected_bytes: head.len().saturating_add(metadata.data_len()),
        size_bytes: file_bytes,
        cut_tensor: metadata.offset_keys().into_iter().find(is_cut),
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    use super::*;

    /// Up to five tensors, some with no dimension or no element, and any bit pattern as a number.
    fn any_tensors() -> impl Strategy<Value = Vec<NamedTensor>> {
        let tensor = prop::collection::vec(0usize..4, 0..4).prop_flat_map(|shape| {
            let numbers = prop::collection::vec(any::<u32>().prop_map(f32::from_bits), shape.iter().product::<usize>());
            numbers.prop_map(move |data| (shape.clone(), data))
        });
        prop::collection::btree_map("[a-z.\"é]{0,8}", tensor, 0..5).prop_map(|tensors| {
            tensors.into_iter().map(|(name, (shape, data))| NamedTensor { name, shape, data }).collect()
        })
    }

    fn written(tensors: &[TensorRef<'_>]) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write_safetensors(&path, tensors, Kind::F32).expect("written");
        std::fs::read(path).expect("read")
    }

    fn read(bytes: &[u8]) -> Result<Vec<NamedTensor>> {
        parse(Path::new("some.safetensors"), bytes)
    }

    fn example() -> Vec<u8> {
        let tensor = |name, shape, data| TensorRef { name, shape, data };
        written(&[tensor("b", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), tensor("a", &[2], &[f32::NAN, -0.0])])
    }

    fn with_header(header: &str, numbers: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
    }

    proptest! {
        // each case waits for the disk twice
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_is_written_is_read_bit_for_bit(tensors in any_tensors()) {
            let refs: Vec<_> = tensors.iter().map(NamedTensor::as_ref).collect();
            let bytes = written(&refs);
            let found = read(&bytes).expect("readable");
            // compared as text of bits, because NaN differs from itself
            let bits = |tensors: &[NamedTensor]| -> Vec<_> {
                let of = |t: &NamedTensor| (t.name.clone(), t.shape.clone(), t.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
                tensors.iter().map(of).collect()
            };
            prop_assert_eq!(bits(&found), bits(&tensors));

            let reversed: Vec<_> = refs.iter().rev().copied().collect();
            prop_assert_eq!(written(&reversed), bytes, "the order shows");
        }
    }

    #[test]
    fn the_reference_library_reads_what_is_written() {
        let bytes = example();
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        let b = file.tensor("b").expect("a tensor");
        assert_eq!((b.dtype(), b.shape()), (Dtype::F32, &[2, 3][..]));
        assert_eq!(b.data()[..8], [0, 0, 128, 63, 0, 0, 0, 64]);
        let (header_len, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("valid");
        assert_eq!(metadata.metadata().as_ref().and_then(|about| about.get("format")).map(String::as_str), Some("pt"));
        assert_eq!(header_len % LENGTH_BYTES, 0, "numbers start at a multiple of their size");
    }

    #[test]
    fn bf16_is_written_as_the_nearest_and_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        // above 1 come 1 + 2⁻⁷ and 1 + 2⁻⁶: ties go to the even one
        let numbers = [1.0, 1.0 + 0.6 / 128.0, 1.0 + 0.5 / 128.0, 1.0 + 1.5 / 128.0, -3.4e38, f32::NAN];
        let nearest = [1.0, 1.0 + 1.0 / 128.0, 1.0, 1.0 + 2.0 / 128.0, f32::NEG_INFINITY];
        let tensor = |name, shape, data| TensorRef { name, shape, data };
        write_safetensors(&path, &[tensor("b", &[6], &numbers), tensor("a", &[0], &[])], Kind::Bf16).expect("written");
        let bytes = std::fs::read(&path).expect("bytes");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        assert_eq!(file.tensor("b").expect("a tensor").dtype(), Dtype::BF16);
        let found = read(&bytes).expect("readable");
        assert_eq!((found[0].data.len(), &found[1].data[..5]), (0, &nearest[..]));
        assert!(found[1].data[5].is_nan());
    }

    #[test]
    fn half_precision_is_widened_exactly() {
        let numbers = [0.0, -1.5, 65504.0, f32::INFINITY, 6.1e-5];
        let halves: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let brains: Vec<u8> = numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let view = |dtype, bytes| TensorView::new(dtype, vec![5], bytes).expect("a view");
        let file = [("f16", view(Dtype::F16, &halves)), ("bf16", view(Dtype::BF16, &brains))];
        let found = read(&safetensors::serialize(file, None).expect("bytes")).expect("readable");
        assert_eq!(found[0].data, numbers.map(|x| bf16::from_f32(x).to_f32()));
        assert_eq!(found[1].data, numbers.map(|x| f16::from_f32(x).to_f32()));
    }

    #[test]
    fn a_file_of_any_other_length_is_refused() {
        let bytes = example();
        for length in 0..bytes.len() {
            let error = read(&bytes[..length]).expect_err("cut").to_string();
            assert!(error.contains("some.safetensors"), "{length}: {error}");
        }
        let cut = read(&bytes[..bytes.len() - 1]).expect_err("cut").to_string();
        assert!(cut.contains("tensor `b` is cut") && cut.contains(&bytes.len().to_string()), "{cut}");
        let longer = read(&[&bytes[..], &[0]].concat()).expect_err("too long").to_string();
        assert!(longer.contains(&bytes.len().to_string()), "{longer}");
    }

    #[test]
    fn a_damaged_header_never_panics_nor_invents_numbers() {
        let bytes = example();
        let header_end = bytes.len() - size_of::<[f32; 8]>();
        for at in 0..header_end {
            for damage in 1..=u8::MAX {
                let mut damaged = bytes.clone();
                damaged[at] ^= damage;
                if let Ok(tensors) = read(&damaged) {
                    assert_eq!(tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>(), 8, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn hostile_headers_are_refused() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let two = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
        let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        for (header, named) in [
            (entry("I64", "[1]", "[0,8]"), "`w` is stored as I64"),
            (entry("F32", "[2]", "[4,12]"), "`w`"),
            (entry("F32", "[2]", "[8,0]"), "`w`"),
            (entry("F32", "[3]", "[0,8]"), "shape"),
            (entry("F32", "[4294967296,4294967296,4294967296]", "[0,8]"), "overflow"),
            (entry("F32", "[-1]", "[0,8]"), "line 1"),
            (two.to_owned(), "`b`"),
            (twice.to_owned(), "tensor `a` is given twice"),
            (r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), "given twice"),
            ("[]".to_owned(), "no valid safetensors file"),
        ] {
            let error = read(&with_header(&header, &[0; 8])).expect_err("refused").to_string();
            assert!(error.contains(named), "{header}: {error}");
        }
        for length in [9, MAX_HEADER_BYTES as u64 + 1, u64::MAX] {
            let error = read(&[&length.to_le_bytes()[..], b"{}      "].concat()).expect_err("refused").to_string();
            assert!(error.contains(&length.to_string()), "{error}");
        }
    }

    #[test]
    fn every_kind_that_is_written_is_read_back_rounded_as_it_rounds() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let numbers = [0.1, -70000.0, 1e-9, 3.0];
        let tensor = [TensorRef { name: "w", shape: &[2, 2], data: &numbers }];
        for (kind, _) in DTYPES {
            write_safetensors(&path, &tensor, kind).expect("written");
            let (mut bytes, mut rounded) = (vec![0; 4 * kind.block_bytes()], [0.0; 4]);
            quantize(kind, &numbers, &mut bytes);
            dequantize(kind, &bytes, &mut rounded);
            assert_eq!(read(&std::fs::read(&path).expect("bytes")).expect("readable")[0].data, rounded, "{kind:?}");
        }
        let error = write_safetensors(&path, &tensor, Kind::Q8_0).expect_err("refused").to_string();
        assert!(error.contains("q8_0"), "{error}");
    }

    #[test]
    fn tensors_that_contradict_themselves_are_not_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = |name, shape| TensorRef { name, shape, data: &[1.0] };
        for tensors in [vec![one("twin", &[1]), one("twin", &[1])], vec![one("misfit", &[2])]] {
            let error =
                write_safetensors(&dir.path().join("file"), &tensors, Kind::F32).expect_err("refused").to_string();
            assert!(error.contains(tensors[0].name), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}
