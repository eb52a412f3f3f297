//! tensors of a model file → sums by kind of number, and what they would be in f32

use std::io::{self, Write};

use itera_formats::{ListedTensor, Listing};
use serde::Serialize;

/// Sizes of a model file or directory.
#[derive(Serialize)]
pub struct Sizes {
    /// By kind of number, in the order of the file.
    kinds: Vec<KindSizes>,
    tensors: usize,
    params: usize,
    tensor_bytes: usize,
    /// Bytes of the tensors in f32, for each byte that they take; `None` if they take none.
    times_smaller_than_f32: Option<f64>,
    /// Of the file, or of the files of the directory: tokenizer and metadata included.
    file_bytes: u64,
}

#[derive(Serialize)]
struct KindSizes {
    kind: String,
    tensors: usize,
    params: usize,
    tensor_bytes: usize,
}

impl Sizes {
    pub fn of(listing: &Listing) -> Self {
        let mut order: Vec<&str> = Vec::new();
        for tensor in &listing.tensors {
            if !order.contains(&tensor.stored_as.name()) {
                order.push(tensor.stored_as.name());
            }
        }
        let kinds = order.into_iter().map(|kind| {
            let of_kind = || listing.tensors.iter().filter(|tensor| tensor.stored_as.name() == kind);
            KindSizes {
                kind: kind.to_owned(),
                tensors: of_kind().count(),
                params: of_kind().map(ListedTensor::n_params).sum(),
                tensor_bytes: of_kind().map(|tensor| tensor.size_bytes).sum(),
            }
        });
        let kinds: Vec<_> = kinds.collect();
        let params: usize = kinds.iter().map(|kind| kind.params).sum();
        let tensor_bytes: usize = kinds.iter().map(|kind| kind.tensor_bytes).sum();
        let f32_bytes = (size_of::<f32>() * params) as f64;
        Self {
            kinds,
            tensors: listing.tensors.len(),
            params,
            tensor_bytes,
            times_smaller_than_f32: (tensor_bytes > 0).then(|| f32_bytes / tensor_bytes as f64),
            file_bytes: listing.file_bytes,
        }
    }

    /// A table, and a line below it.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{:8} {:>8} {:>12} {:>12}", "kind", "tensors", "parameters", "bytes")?;
        for KindSizes { kind, tensors, params, tensor_bytes } in &self.kinds {
            writeln!(out, "{kind:8} {tensors:>8} {params:>12} {tensor_bytes:>12}")?;
        }
        let Self { tensors, params, tensor_bytes, .. } = self;
        writeln!(out, "{:8} {tensors:>8} {params:>12} {tensor_bytes:>12}", "all")?;
        write!(out, "on disk  {} bytes, tokenizer and metadata included", self.file_bytes)?;
        match self.times_smaller_than_f32 {
            Some(times) => writeln!(out, "; tensors {times:.2} times smaller than in f32"),
            None => writeln!(out),
        }
    }
}

/// A shape as people write it.
pub fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}
