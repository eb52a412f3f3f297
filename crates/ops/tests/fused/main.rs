//! Fused operators against their composites: outputs, states and gradients, for every choice of inputs that are tracked
//! and of outputs that the loss reads, at random and awkward shapes.

mod adamw;
mod attention;
mod case;
mod distillation;
mod dropout;
mod head;
mod linear;
mod mamba2;
mod mixture;
mod muon;
mod precision;

use burn::tensor::{Device, Tensor};
use itera_ops::{AttentionShape, causal_attention, composite};

#[test]
fn operators_are_fused_but_where_composites_are_asked_for() {
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 2, scale: 1.0, rope: None };
    let qkv = Tensor::<3>::ones([1, 3, 6], &Device::flex().autodiff()).require_grad();
    // the keys of the fused form carry no gradient
    let fused = || !causal_attention(qkv.clone(), None, &shape).1.0.is_tracked();
    assert!(fused());
    composite::only(|| {
        assert!(!fused());
        composite::only(|| assert!(!fused()));
        assert!(!fused());
    });
    assert!(fused());
    assert!(std::panic::catch_unwind(|| composite::only(|| panic!("in an operator"))).is_err());
    assert!(fused());
}
