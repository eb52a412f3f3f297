//! What the fused operators of the device `flex` compute on, and its memory

pub(crate) mod array;
pub(crate) mod buffers;
pub(crate) mod kept;
pub(crate) mod ledger;
