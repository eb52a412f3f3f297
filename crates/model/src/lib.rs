//! The SSM-MoE language model
