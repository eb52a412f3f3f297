//! Operators on Burn tensors
