//! How a file stores the numbers of a tensor: a code, and what is known of it.
//!
//! ```text
//! 8 ──▶ q8_0, 34 bytes for 32 numbers, Kind::Q8_0        12 ──▶ q4_K, 144 bytes for 256 numbers        77 ──▶ type 77
//! ```

use std::fmt;

use itera_kernels::quant::Kind;

/// The type of a tensor in a file, known here or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Its code in files, `GGML_TYPE_…` of ggml.
    pub code: u32,
}

/// The kinds that models are run from, their code as the type of a tensor, and their code as the type of a file most of
/// whose weights have it.
const KINDS: [(Kind, u32, u32); 12] = [
    (Kind::F32, 0, 0),
    (Kind::F16, 1, 1),
    (Kind::Bf16, 30, 32),
    (Kind::Q8_0, 8, 7),
    (Kind::Q4_0, 2, 2),
    (Kind::Q4_1, 3, 3),
    (Kind::Q5_0, 6, 8),
    (Kind::Q5_1, 7, 9),
    (Kind::Iq4Nl, 20, 25),
    (Kind::Mxfp4, 39, 38),
    (Kind::Nvfp4, 40, 39),
    (Kind::Q2_0, 42, 41),
];

/// The other types that ggml has or that files of 2024 have: code, name, numbers of a block, bytes of a block.
const OTHERS: [(u32, &str, usize, usize); 29] = [
    (9, "q8_1", 32, 40),
    (10, "q2_K", 256, 84),
    (11, "q3_K", 256, 110),
    (12, "q4_K", 256, 144),
    (13, "q5_K", 256, 176),
    (14, "q6_K", 256, 210),
    (15, "q8_K", 256, 292),
    (16, "iq2_xxs", 256, 66),
    (17, "iq2_xs", 256, 74),
    (18, "iq3_xxs", 256, 98),
    (19, "iq1_s", 256, 50),
    (21, "iq3_s", 256, 110),
    (22, "iq2_s", 256, 82),
    (23, "iq4_xs", 256, 136),
    (24, "i8", 1, 1),
    (25, "i16", 1, 2),
    (26, "i32", 1, 4),
    (27, "i64", 1, 8),
    (28, "f64", 1, 8),
    (29, "iq1_m", 256, 56),
    // rows of q4_0 and iq4_nl interleaved
    (31, "q4_0_4_4", 32, 18),
    (32, "q4_0_4_8", 32, 18),
    (33, "q4_0_8_8", 32, 18),
    (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66),
    (36, "iq4_nl_4_4", 32, 18),
    (37, "iq4_nl_4_8", 32, 18),
    (38, "iq4_nl_8_8", 32, 18),
    (41, "q1_0", 128, 18),
];

impl TensorType {
    /// The kind of its numbers, if models are run from it.
    pub fn kind(self) -> Option<Kind> {
        KINDS.into_iter().find(|(_, code, _)| *code == self.code).map(|(kind, ..)| kind)
    }

    /// Numbers and bytes of a block; `None` of a type that is not known.
    pub(super) fn block(self) -> Option<(usize, usize)> {
        let known = self.kind().map(|kind| (kind.block_len(), kind.block_bytes()));
        known.or_else(|| self.other().map(|(_, len, bytes)| (len, bytes)))
    }

    fn other(self) -> Option<(&'static str, usize, usize)> {
        OTHERS.into_iter().find(|(code, ..)| *code == self.code).map(|(_, name, len, bytes)| (name, len, bytes))
    }
}

/// The name that llama.cpp prints, or the code.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind().map(Kind::name).or_else(|| self.other().map(|(name, ..)| name)) {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.code),
        }
    }
}

/// The type of a tensor, and of a file that is mostly of this kind; `None` if GGUF lacks it.
pub(super) fn codes(kind: Kind) -> Option<(u32, u32)> {
    KINDS.into_iter().find(|(of, ..)| *of == kind).map(|(_, of_tensor, of_file)| (of_tensor, of_file))
}

/// The names of the kinds that models are run from.
pub(super) fn names() -> String {
    KINDS.map(|(kind, ..)| kind.name()).join(", ")
}
