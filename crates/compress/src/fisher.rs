//! calibration text → gradients of single sequences → what an error in each weight costs
//!
//! ```text
//!                          ┌─ Σ g²    of each weight: the diagonal of the empirical Fisher information
//! sequence → gradient G ───┤
//!                          └─ Σ GᵀG   of each matrix: how errors in its columns go together
//! ```
//!
//! The first says by how much the loss changes, to second order, when a weight changes (Optimal Brain Damage, LeCun et al.
//! 1990; for the scales of codes SqueezeLLM, arXiv 2306.07629). The second is the factor of the Fisher information that
//! belongs to a layer's inputs (K-FAC, arXiv 1503.05671), each input weighted by how much its token matters; GPTQ (arXiv
//! 2210.17323) has the inputs unweighted. It needs nothing but gradients, so experts and embeddings have it too.

use itera_formats::rows_and_cols;
use itera_kernels::{
    gemm::{Matrix, MatrixMut, Write, par_gemm},
    quant::Feedback,
};
use itera_model::LanguageModel;
use itera_trainer::{MicroBatch, losses};

use crate::{
    candidate::Candidate,
    session::{Abort, Session},
};

/// Σ g² of each weight of a model, tensor by tensor, over about `tokens` tokens of the training split.
///
/// # Errors
/// If a signal asks to stop.
pub(crate) fn importance(model: &Candidate, tokens: usize, session: Session<'_>) -> Result<Vec<Vec<f32>>, Abort> {
    let mut sums: Vec<Vec<f32>> = model.parameters.iter().map(|tensor| vec![0.0; tensor.data.len()]).collect();
    for_each_gradient(model, tokens, session, |index, gradient| {
        sums[index].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g * g);
    })?;
    Ok(sums)
}

/// How errors in the columns of a matrix go together, tensor by tensor: one feedback for each expert, one for any other
/// matrix, none for what is no matrix. Over about `tokens` tokens of the training split.
///
/// # Errors
/// If a signal asks to stop.
pub(crate) fn feedback(model: &Candidate, tokens: usize, session: Session<'_>) -> Result<Vec<Vec<Feedback>>, Abort> {
    let specs = model.model().tensors();
    // columns of each matrix, and their products for each expert
    let cols: Vec<usize> = specs.iter().map(|spec| rows_and_cols(&spec.shape).1).collect();
    let experts = |shape: &[usize]| if let [experts, _, _] = *shape { experts } else { 1 };
    let mut products: Vec<Vec<f32>> = specs
        .iter()
        .zip(&cols)
        .map(|(spec, cols)| if spec.role.is_matrix() { vec![0.0; experts(&spec.shape) * cols * cols] } else { vec![] })
        .collect();
    for_each_gradient(model, tokens, session, |index, gradient| {
        let cols = cols[index];
        let each = gradient.len() / experts(&specs[index].shape);
        for (gradient, products) in gradient.chunks_exact(each).zip(products[index].chunks_exact_mut(cols * cols)) {
            let gradient = Matrix::new(gradient, each / cols, cols);
            par_gemm(gradient.t(), gradient, MatrixMut::new(products, cols, cols), Write::Add);
        }
    })?;
    let factor = |(products, cols): (Vec<f32>, usize)| -> Result<Vec<Feedback>, Abort> {
        let experts = products.chunks_exact(cols * cols);
        experts.map(|products| session.proceed().map(|()| Feedback::new(products, cols))).collect()
    };
    products.into_iter().zip(cols).map(factor).collect()
}

/// Give `each` the gradient of each tensor, for one sequence of the training split after the other.
fn for_each_gradient(
    candidate: &Candidate,
    tokens: usize,
    session: Session<'_>,
    mut each: impl FnMut(usize, &[f32]),
) -> Result<(), Abort> {
    let config = &candidate.design.config;
    let device = session.device.clone().autodiff();
    let model = LanguageModel::from_values(&config.model, &device, candidate.values())?;
    let sampler = candidate.design.data.sampler(config);
    for sequence in 0..tokens.div_ceil(config.train.seq_len) as u64 {
        session.proceed()?;
        let batch = sampler.batch(sequence, 1);
        let loss = losses(MicroBatch { model: &model, tokens: &batch, config: &config.train, dropout: None });
        for (index, gradient) in model.gradients(loss.nats.backward()).into_iter().enumerate() {
            each(index, &gradient);
        }
    }
    Ok(())
}
