//! Weights of a mixture of experts, and where it sends tokens.

#[cfg(any(feature = "flex", feature = "cube"))]
use burn::backend::DispatchTensor;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, assert_shape};

/// Weights of a SwiGLU MLP: `w_out·(silu(gate) · up)`, `gate | up = w_in·u` (arXiv 2002.05202 eq. 6).
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// [2·f, d], the gate's rows first.
    pub w_in: Tensor<2>,
    /// [d, f]
    pub w_out: Tensor<2>,
}

impl MlpWeights {
    /// Check the weights against the width of their input.
    pub(super) fn assert_shapes(&self, d: usize) {
        let [_, f] = self.w_out.dims();
        assert_shape!(self.w_in, [2 * f, d]);
        assert_shape!(self.w_out, [d, f]);
    }
}

/// Weights of a mixture of SwiGLU experts with a shared one.
#[derive(Clone, Debug)]
pub struct MixtureWeights {
    /// [e, d]
    pub router: Tensor<2>,
    /// [e, 2·f, d], the gate's rows of an expert first.
    pub w_in: Tensor<3>,
    /// [e, d, f]
    pub w_out: Tensor<3>,
    /// The expert that every token goes through.
    pub shared: MlpWeights,
}

/// Where the router sent each token.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Router logits [t, e], f32.
    pub logits: Tensor<2>,
    /// Ids of the chosen experts [t, k], from the largest logit.
    pub expert_ids: Tensor<2, Int>,
}

impl Routing {
    /// Tokens that each expert got `[e]`, counted on the device: whole numbers, exact up to 2²⁴.
    pub fn expert_counts(&self) -> Tensor<1> {
        let ([_, e], [t, k]) = (self.logits.dims(), self.expert_ids.dims());
        let device = self.logits.device();
        let ids = self.expert_ids.clone().reshape([t * k]);
        Tensor::zeros([e], &device).scatter(0, ids, Tensor::ones([t * k], &device), IndexingUpdateOp::Add)
    }

    /// Tokens that each expert got, read from the device.
    pub fn tokens_per_expert(&self) -> Vec<u64> {
        let mut counts = vec![0; self.logits.dims()[1]];
        for id in self.expert_ids.to_data().iter::<i64>() {
            counts[id as usize] += 1;
        }
        counts
    }
}

/// What a fused form takes: u, router, w_in and w_out of the experts, then of the shared one, residual.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) fn inputs(u: Tensor<3>, weights: MixtureWeights, residual: Tensor<3>) -> [DispatchTensor; 7] {
    [
        u.into_dispatch(),
        weights.router.into_dispatch(),
        weights.w_in.into_dispatch(),
        weights.w_out.into_dispatch(),
        weights.shared.w_in.into_dispatch(),
        weights.shared.w_out.into_dispatch(),
        residual.into_dispatch(),
    ]
}

/// What a fused form gives: the sum, router logits, and the ids of the chosen experts as floats, which carry no gradient.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) fn outputs([y, logits, ids]: [DispatchTensor; 3]) -> (Tensor<3>, Routing) {
    let expert_ids = Tensor::<2>::from_dispatch(ids).detach().int();
    (Tensor::from_dispatch(y), Routing { logits: Tensor::from_dispatch(logits), expert_ids })
}
