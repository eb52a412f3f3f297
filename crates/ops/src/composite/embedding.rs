//! ids → rows of the table · multiplier

use burn::tensor::{Int, Tensor};

/// Composite of [`crate::embedding`].
///
/// # Shapes
/// `table_vd`: [v, d], `ids`: [b, l] → [b, l, d]
pub fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
    let [b, l] = ids.dims();
    let d = table_vd.dims()[1];
    table_vd.select(0, ids.reshape([b * l])).reshape([b, l, d]).mul_scalar(multiplier)
}
