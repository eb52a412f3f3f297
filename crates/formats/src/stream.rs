//! safetensors files of any size, a piece at a time: a reader that holds a header, and the beginning of a file that is written.
//!
//! ```text
//! file ── header ─▶ TensorPlace: name, dtype, shape, range ── read(range) ─▶ bytes
//! TensorHead: name, dtype, shape ── safetensors_head ─▶ the bytes before the numbers of all, which follow in that order
//! ```
//!
//! [`read_safetensors`](crate::read_safetensors) maps a file and reads it whole; this reads with a fixed amount of memory, and
//! of address space.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use itera_files::failed_to;
use itera_kernels::quant::Kind;
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    error::Result,
    tensors::{Described, header_end, header_of, kind_of, read_header},
};

/// A tensor and where it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlace {
    /// Its name in the file.
    pub name: String,
    /// Its kind of number.
    pub dtype: Dtype,
    /// Its shape, the last dimension varying fastest.
    pub shape: Vec<usize>,
    /// Its bytes, from the beginning of the file.
    pub range: Range<u64>,
}

impl TensorPlace {
    /// The kind of its numbers; `None` of one that models are not run from.
    pub fn kind(&self) -> Option<Kind> {
        kind_of(self.dtype)
    }
}

/// A file whose header is read and found valid, as that of [`read_safetensors`](crate::read_safetensors) is.
#[derive(Debug)]
pub struct SafetensorsReader {
    path: PathBuf,
    file: File,
    tensors: Vec<TensorPlace>,
}

impl SafetensorsReader {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// If the file cannot be read, its header is not valid, its tensors overlap, leave gaps or contradict their shapes, or it
    /// is not exactly as long as its header says.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(failed_to("read", path))?;
        let file_bytes = file.metadata().map_err(failed_to("read", path))?.len();
        let file_bytes = usize::try_from(file_bytes).unwrap_or(usize::MAX);
        let mut head = Vec::new();
        let mut read_to = |end: usize, head: &mut Vec<u8>| {
            let n_bytes = (end - head.len()) as u64;
            file.by_ref().take(n_bytes).read_to_end(head).map(drop).map_err(failed_to("read", path))
        };
        // as much as a pointer of Git LFS has
        read_to(file_bytes.min(1024), &mut head)?;
        let end = header_end(path, &head, file_bytes)?;
        read_to(end.max(head.len()), &mut head)?;
        head.truncate(end);
        let metadata = read_header(path, &head, file_bytes)?;
        let place = |name: String| {
            let TensorInfo { dtype, shape, data_offsets: (first, last) } =
                metadata.info(&name).expect("the header lists its own names").clone();
            let range = (end + first) as u64..(end + last) as u64;
            TensorPlace { name, dtype, shape, range }
        };
        let tensors = metadata.offset_keys().into_iter().map(place).collect();
        Ok(Self { path: path.to_owned(), file, tensors })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors, in the order in which they lie in it.
    pub fn tensors(&self) -> &[TensorPlace] {
        &self.tensors
    }

    /// Fills `bytes` with what lies at `offset` of the file.
    ///
    /// # Errors
    /// If the system refuses, or the file has become shorter than its header says.
    pub fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(bytes));
        Ok(read.map_err(failed_to("read", &self.path))?)
    }
}

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorHead {
    /// Its name in the file.
    pub name: String,
    /// Its kind of number.
    pub dtype: Dtype,
    /// Its shape, the last dimension varying fastest.
    pub shape: Vec<usize>,
}

impl TensorHead {
    /// Bytes of its numbers; `None` if memory could not address them, or they end within a byte.
    pub fn size_bytes(&self) -> Option<usize> {
        let n_bits = self.shape.iter().try_fold(self.dtype.bitsize(), |product, &size| product.checked_mul(size))?;
        n_bits.is_multiple_of(8).then_some(n_bits / 8)
    }
}

/// The bytes before the numbers of a file whose tensors follow in this order, without a gap. Errors name `path`.
///
/// # Errors
/// If a name occurs twice, a tensor is too large to address, or the header would be longer than readers accept.
pub fn safetensors_head(path: &Path, tensors: &[TensorHead]) -> Result<Vec<u8>> {
    let described = tensors.iter().map(|tensor| Described {
        name: &tensor.name,
        dtype: tensor.dtype,
        shape: &tensor.shape,
        // a size that is none is refused as one that is not that of its shape
        size_bytes: tensor.size_bytes().unwrap_or(usize::MAX),
    });
    header_of(path, described)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use itera_shape::TensorRef;
    use proptest::prelude::*;

    use super::*;
    use crate::{FormatError, read_safetensors, write_safetensors};

    fn head(name: &str, dtype: Dtype, shape: &[usize]) -> TensorHead {
        TensorHead { name: name.into(), dtype, shape: shape.into() }
    }

    #[test]
    fn what_is_written_in_one_order_is_found_in_it_and_read_a_piece_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let heads = [head("z", Dtype::U8, &[3, 2]), head("none", Dtype::F32, &[0, 4]), head("a", Dtype::BF16, &[5])];
        let numbers: Vec<u8> = (0..16).collect();
        fs::write(&path, [safetensors_head(&path, &heads).expect("a header"), numbers.clone()].concat())
            .expect("written");
        let mut reader = SafetensorsReader::open(&path).expect("opened");
        let found: Vec<TensorHead> =
            reader.tensors().iter().map(|place| head(&place.name, place.dtype, &place.shape)).collect();
        assert_eq!(found, heads);
        let places = reader.tensors().to_vec();
        let mut piece = [0; 2];
        reader.read(places[0].range.start + 4, &mut piece).expect("read");
        assert_eq!(piece, [4, 5]);
        reader.read(places[2].range.start, &mut piece).expect("read");
        assert_eq!(piece, [6, 7]);
        assert_eq!(places[2].range.end, fs::metadata(&path).expect("a file").len());
        assert!(places[1].range.is_empty());
    }

    #[test]
    fn heads_that_make_no_file_are_refused() {
        for (heads, said) in [
            ([head("a", Dtype::U8, &[1]), head("a", Dtype::U8, &[2])], "tensor `a` was given twice"),
            ([head("a", Dtype::U8, &[1]), head("b", Dtype::F32, &[usize::MAX, 2])], "tensor `b`"),
        ] {
            let error = safetensors_head(Path::new("out"), &heads).expect_err("refused").to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_cut_after_it_was_opened_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write_safetensors(&path, &[TensorRef { name: "a", shape: &[4], data: &[1.0; 4] }], Kind::F32).expect("written");
        let mut reader = SafetensorsReader::open(&path).expect("opened");
        let range = reader.tensors()[0].range.clone();
        File::options().write(true).open(&path).and_then(|file| file.set_len(range.end - 1)).expect("cut");
        assert!(matches!(reader.read(range.start, &mut [0; 16]), Err(FormatError::Io(_))));
        assert!(matches!(SafetensorsReader::open(&path), Err(FormatError::Length { cut_tensor: Some(_), .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever the bytes, both readers take the file or both refuse it with the same words.
        #[test]
        fn a_damaged_file_is_refused_as_one_that_is_read_whole(at in 0usize..200, byte: u8, cut in 0usize..4) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("file");
            let tensors = [("a", [2, 3]), ("b", [1, 2])].map(|(name, shape): (_, [usize; 2])| (name, shape, vec![1.5; shape[0] * shape[1]]));
            let refs = tensors.iter().map(|(name, shape, data)| TensorRef { name, shape, data }).collect::<Vec<_>>();
            write_safetensors(&path, &refs, Kind::F32).expect("written");
            let mut bytes = fs::read(&path).expect("read");
            let n_bytes = bytes.len();
            bytes[at % n_bytes] = byte;
            bytes.truncate(n_bytes - cut);
            fs::write(&path, &bytes).expect("written");
            let (whole, streamed) = (read_safetensors(&path), SafetensorsReader::open(&path));
            match (whole, streamed) {
                (Ok(whole), Ok(streamed)) => prop_assert_eq!(whole.len(), streamed.tensors().len()),
                (Err(FormatError::Dtype { .. }), Ok(_)) => {}
                (Err(whole), Err(streamed)) => prop_assert_eq!(whole.to_string(), streamed.to_string()),
                (whole, streamed) => prop_assert!(false, "{:?} {:?}", whole, streamed),
            }
        }
    }
}
