//! vectors → a file that `numpy.load` reads, whole or not at all.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.

use std::path::Path;

use itera_files::{FileError, write_atomic_with};

/// Rows of equal length.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// `<f4`
    F32(&'a [f32]),
    /// `|i1`
    Int8(&'a [i8]),
    /// `|u1`
    Bytes(&'a [u8]),
}

impl Numbers<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Int8(numbers) => numbers.len(),
            Self::Bytes(numbers) => numbers.len(),
        }
    }
}

/// Bytes that the beginning of the numbers is a multiple of.
const ALIGN: usize = 64;

/// Writes rows of `cols` numbers each; no rows if `cols` is 0.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If the numbers are not whole rows.
pub fn write_npy(path: &Path, numbers: Numbers<'_>, cols: usize) -> Result<(), FileError> {
    let rows = numbers.len() / cols.max(1);
    assert_eq!(rows * cols, numbers.len(), "rows of {cols} numbers");
    let kind = match numbers {
        Numbers::F32(_) => "<f4",
        Numbers::Int8(_) => "|i1",
        Numbers::Bytes(_) => "|u1",
    };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    const BEFORE: usize = 10;
    let len = (BEFORE + header.len() + 1).next_multiple_of(ALIGN) - BEFORE;
    header.extend(std::iter::repeat_n(' ', len - 1 - header.len()));
    header.push('\n');
    write_atomic_with(path, |file| {
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        match numbers {
            Numbers::F32(numbers) => numbers.chunks(1 << 14).try_for_each(|numbers| {
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                file.write_all(&bytes)
            }),
            Numbers::Int8(numbers) => {
                let bytes: Vec<u8> = numbers.iter().map(|x| x.to_le_bytes()[0]).collect();
                file.write_all(&bytes)
            }
            Numbers::Bytes(bytes) => file.write_all(bytes),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(numbers: Numbers<'_>, cols: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("v.npy");
        write_npy(&path, numbers, cols).expect("written");
        std::fs::read(path).expect("read")
    }

    #[test]
    fn files_are_those_of_numpy() {
        // numpy.save of numpy.array([[1, -2], [0.5, 3]], dtype='f4')
        let mut expected =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        for x in [1.0_f32, -2.0, 0.5, 3.0] {
            expected.extend(x.to_le_bytes());
        }
        assert_eq!(written(Numbers::F32(&[1.0, -2.0, 0.5, 3.0]), 2), expected);
        let bytes = written(Numbers::Int8(&[-1, 2, 3]), 3);
        assert!(bytes.starts_with(b"\x93NUMPY") && bytes[128..] == [255, 2, 3]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("'descr': '|i1'") && text.contains("'shape': (1, 3)"), "{text}");
        assert_eq!(written(Numbers::Bytes(&[7, 8]), 1)[128..], [7, 8]);
    }
}
