//! ids → rows of the table · multiplier

use burn::tensor::{Int, Tensor};

use crate::dispatch::dispatch;

/// `y_t = multiplier · table[ids_t]`.
///
/// # Shapes
/// `table_vd`: [v, d], `ids`: [b, l] below v → [b, l, d]
pub fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
    dispatch!(flex, cube: &table_vd => embedding(table_vd, ids, multiplier))
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

#[cfg(feature = "cube")]
mod cube {
    use burn::tensor::{Int, Tensor};
    use burn_cubecl::CubeBackend;
    use cubecl::prelude::*;

    use crate::{
        cube::array::{Array, Indices, UNITS, cubes, units},
        function::{Function, apply, only},
    };

    pub(super) fn embedding(table_vd: Tensor<2>, ids: Tensor<2, Int>, multiplier: f64) -> Tensor<3> {
        let [b, l] = ids.dims();
        let ids = Indices::of(ids.reshape([b * l]));
        let [y] = apply(Embedding { shape: [b, l], ids, multiplier: multiplier as f32 }, [table_vd.into_dispatch()]);
        Tensor::from_dispatch(y)
    }

    struct Embedding {
        ids: Indices,
        shape: [usize; 2],
        multiplier: f32,
    }

    impl Function<1, 1> for Embedding {
        type On = CubeBackend;
        /// Rows of the table.
        type Saved = usize;

        fn forward(&self, [table]: [Array; 1], [wanted]: [bool; 1]) -> ([Array; 1], Option<usize>) {
            let [b, l] = self.shape;
            let y = table.beside([b, l, table.width()]);
            let (count, dim) = units(y.client(), y.len());
            look_up::launch(
                y.client(),
                count,
                dim,
                self.ids.arg(),
                table.arg(),
                y.arg(),
                self.multiplier,
                table.width(),
            );
            ([y], wanted.then_some(table.len() / table.width()))
        }

        fn backward(&self, n_rows: usize, grads: [Option<Array>; 1], _: [bool; 1]) -> [Option<Array>; 1] {
            let dy = only(grads);
            let d_table = dy.beside([n_rows, dy.width()]);
            let (count, dim) = cubes(dy.client(), n_rows);
            let [b, l] = self.shape;
            table_gradient::launch(
                dy.client(),
                count,
                dim,
                self.ids.arg(),
                dy.arg(),
                d_table.arg(),
                self.multiplier,
                n_rows,
                dy.width(),
                (b * l).div_ceil(UNITS as usize),
                UNITS as usize,
            );
            [Some(d_table)]
        }
    }

    #[cube(launch)]
    fn look_up(ids: &[i32], table: &[f32], y: &mut [f32], multiplier: f32, width: usize) {
        let at = ABSOLUTE_POS;
        if at < y.len() {
            y[at] = multiplier * table[ids[at / width] as usize * width + at % width];
        }
    }

    /// A cube a row of the table: its units look through a part of the ids each, then all add up what parts hold the row.
    #[cube(launch)]
    fn table_gradient(
        ids: &[i32],
        dy: &[f32],
        d_table: &mut [f32],
        multiplier: f32,
        n_rows: usize,
        width: usize,
        part: usize,
        #[comptime] n_units: usize,
    ) {
        let row = CUBE_POS as i32;
        let unit = UNIT_POS as usize;
        let mut found = 0i32;
        for at in unit * part..((unit + 1) * part).min(ids.len()) {
            if ids[at] == row {
                found = 1;
            }
        }
        let mut holds = Shared::<[i32]>::new_slice(n_units);
        holds[unit] = found;
        sync_cube();
        if CUBE_POS < n_rows {
            for column in range_stepped(unit, width, n_units) {
                let mut sum = 0.0f32;
                for of in 0..n_units {
                    if holds[of] == 1 {
                        for at in of * part..((of + 1) * part).min(ids.len()) {
                            if ids[at] == row {
                                sum += dy[at * width + column];
                            }
                        }
                    }
                }
                d_table[CUBE_POS * width + column] = sum * multiplier;
            }
        }
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
