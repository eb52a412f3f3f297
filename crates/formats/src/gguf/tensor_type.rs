//! Kinds of number ⇄ their codes in files.

use itera_kernels::quant::Kind;

/// The kinds that GGUF has, their code as the type of a tensor, and their code as the type of a file most of whose
/// weights have it.
const CODES: [(Kind, u32, u32); 12] = [
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

/// The kind that a tensor of this type has; `None` if it is not read here.
pub(super) fn of(tensor_type: u32) -> Option<Kind> {
    CODES.into_iter().find(|(_, code, _)| *code == tensor_type).map(|(kind, ..)| kind)
}

/// The type of a tensor, and of a file that is mostly of this kind; `None` if GGUF has it not.
pub(super) fn codes(kind: Kind) -> Option<(u32, u32)> {
    CODES.into_iter().find(|(of, ..)| *of == kind).map(|(_, of_tensor, of_file)| (of_tensor, of_file))
}

/// Their names.
pub(super) fn names() -> String {
    CODES.map(|(kind, ..)| kind.name()).join(", ")
}
