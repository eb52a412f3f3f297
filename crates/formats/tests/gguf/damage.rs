//! A valid file, cut or changed.

use std::path::Path;

use itera_formats::ModelFile;
use itera_formats::gguf::Gguf;
use itera_kernels::quant::Kind;
use itera_testkit::chain;

use crate::support::small_file;

/// Bytes before the data, padding included.
fn header_bytes(file: &[u8]) -> usize {
    Gguf::parse(Path::new("file"), file).expect("valid").tensors[0].range.start
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let file = small_file(Kind::Q4_0);
    let header = header_bytes(&file);
    for length in (0..header + 100).chain((header..file.len()).step_by(331)).chain([file.len() - 33, file.len() - 1]) {
        let error = ModelFile::from_gguf(file[..length].to_vec()).map(drop);
        match error {
            // the padding behind the last tensor belongs to nothing
            Ok(()) => assert!(length > file.len() - 32, "{length} of {}", file.len()),
            Err(error) => assert!(error.to_string().contains("at byte"), "{length}: {error}"),
        }
    }
    let longer = chain(&ModelFile::from_gguf([&file[..], &[0]].concat()).expect_err("too long"));
    assert!(longer.contains("1 bytes that belong to nothing"), "{longer}");
}

#[test]
fn no_changed_byte_of_the_header_panics() {
    let mut file = small_file(Kind::Mxfp4);
    let mut n_refused = 0;
    for at in 0..header_bytes(&file) {
        for change in [1, 0x80, 0xff] {
            file[at] ^= change;
            n_refused += usize::from(ModelFile::from_gguf(file.clone()).is_err());
            file[at] ^= change;
        }
    }
    assert!(n_refused > 3_000, "{n_refused}");
}
