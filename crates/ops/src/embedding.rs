//! ids → rows of the table · multiplier

use burn::tensor::{Int, Tensor};

use crate::composite;

/// The rows of `table_vd` that `ids` name, times `multiplier`.
///
/// # Shapes
/// `table_vd`: [v, d], `ids`: [b, l] → [b, l, d]
pub fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if crate::function::fused(&table_vd) {
        let embedding = flex::Embedding { shape: ids.dims(), ids: crate::ids(ids), multiplier: multiplier as f32 };
        let [y] = crate::function::apply(embedding, [table_vd.into_dispatch()]);
        return Tensor::from_dispatch(y);
    }
    composite::embedding(table_vd, ids, multiplier)
}

#[cfg(feature = "flex")]
mod flex {
    use itera_kernels::embedding;

    use crate::{
        array::Array,
        buffers,
        function::{Function, only},
    };

    pub(super) struct Embedding {
        pub(super) ids: Vec<i32>,
        pub(super) shape: [usize; 2],
        pub(super) multiplier: f32,
    }

    impl Function<1, 1> for Embedding {
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
