//! ids → rows of the table · multiplier

use burn::tensor::{Int, Tensor};

use crate::dispatch::dispatch;

/// `y_t = multiplier · table[ids_t]`.
///
/// # Shapes
/// `table_vd`: [v, d], `ids`: [b, l] below v → [b, l, d]
pub fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
    dispatch!(flex: &table_vd => embedding(table_vd, ids, multiplier))
}

pub(crate) mod composite {
    use burn::tensor::{Int, Tensor};

    /// Composite of [`crate::embedding()`].
    ///
    /// # Shapes
    /// `table_vd`: [v, d], `ids`: [b, l] → [b, l, d]
    pub fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
        let [b, l] = ids.dims();
        let d = table_vd.dims()[1];
        table_vd.select(0, ids.reshape([b * l])).reshape([b, l, d]).mul_scalar(multiplier)
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::{
        backend::Flex,
        tensor::{Int, Tensor},
    };
    use itera_kernels::embedding;

    use crate::{
        flex::{
            array::{Array, ids as values_of},
            buffers,
        },
        function::{Function, apply, only},
    };

    pub(super) fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
        let embedding = Embedding { shape: ids.dims(), ids: values_of(ids), multiplier: multiplier as f32 };
        let [y] = apply(embedding, [table_vd.into_dispatch()]);
        Tensor::from_dispatch(y)
    }

    struct Embedding {
        ids: Vec<i32>,
        shape: [usize; 2],
        multiplier: f32,
    }

    impl Function<1, 1> for Embedding {
        type On = Flex;
        /// Elements of the table.
        type Saved = usize;

        fn forward(&self, [table]: [Array; 1], [wanted]: [bool; 1]) -> ([Array; 1], Option<usize>) {
            let d = table.width();
            let mut y = buffers::take(self.ids.len() * d);
            embedding::embedding(&self.ids, &table, d, self.multiplier, &mut y);
            let [b, l] = self.shape;
            ([Array::new(y, [b, l, d])], wanted.then_some(table.len()))
        }

        fn backward(&self, table_len: usize, grads: [Option<Array>; 1], _: [bool; 1]) -> [Option<Array>; 1] {
            let dy = only(grads);
            let mut d_table = buffers::take(table_len);
            embedding::embedding_backward(&self.ids, &dy, dy.width(), self.multiplier, &mut d_table);
            [Some(d_table.into())]
        }
    }
}
